import type { BatchThrottle } from '../throttle/latency-throttle.ts';
import { slotOf } from './cluster-slot.ts';
import type { KeyWriter } from './key-writer.ts';
import { LARGE_BYTES, type WriteTask } from './write-task.ts';

/** Keys of one transaction, and values that are held for it on either side. */
const BATCH_KEYS = 256;
const BATCH_BYTES = LARGE_BYTES;

/** Writes tasks of one database in batches as large as the throttle allows at the moment. */
export async function writeAll(
  tasks: readonly WriteTask[],
  writer: KeyWriter,
  options: {
    readonly throttle: BatchThrottle;
    readonly cluster: boolean;
    /** Only look at them. */
    readonly dryRun?: boolean;
    readonly onWritten: (keys: number) => void;
  },
): Promise<void> {
  const groups = options.cluster ? bySlot(tasks) : [tasks];
  for (const group of groups) {
    for (let start = 0; start < group.length;) {
      const count = batchEnd(group, start, options.throttle) - start;
      const batch = group.slice(start, start + count);
      await (options.dryRun === true ? writer.judge(batch) : writer.write(batch));
      options.onWritten(count);
      start += count;
    }
  }
}

/** A transaction of a cluster may touch one slot only. */
function bySlot(tasks: readonly WriteTask[]): readonly (readonly WriteTask[])[] {
  const slots = new Map<number, WriteTask[]>();
  for (const task of tasks) {
    const slot = slotOf(task.key);
    const group = slots.get(slot);
    if (group === undefined) slots.set(slot, [task]);
    else group.push(task);
  }
  return [...slots.values()];
}

function batchEnd(
  tasks: readonly WriteTask[],
  start: number,
  { window, batchBytes }: Pick<BatchThrottle, 'window' | 'batchBytes'>,
): number {
  const most = Math.max(1, Math.min(BATCH_KEYS, window));
  const mostBytes = Math.min(BATCH_BYTES, batchBytes);
  let bytes = 0;
  let end = start;
  while (end < tasks.length && end - start < most) {
    const { want, presentBytes, db } = tasks[end] as WriteTask;
    bytes += Math.min(LARGE_BYTES, want?.bytes ?? 0) + Math.min(LARGE_BYTES, presentBytes);
    const other = db !== tasks[start]?.db;
    if (end > start && (other || bytes > mostBytes)) break;
    end += 1;
  }
  return end;
}
