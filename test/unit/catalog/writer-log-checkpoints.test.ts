import { writerCheckpointKey, writerLogKey } from '@tidemark/archive';
import type { WriterLog } from '@tidemark/catalog';
import type { ObjectStore } from '@tidemark/store';
import { describe, expect, it } from 'vitest';
import { heartbeat, LOG, START_MS } from '../../support/log-events.ts';
import { openTestLog } from '../../support/log-harness.ts';
import { failsBefore, MemoryStore } from '../../support/memory-store.ts';

const { iid, shard, writer } = LOG;
const keyOf = (seq: number): string => writerLogKey(iid, shard, writer, seq);
const beat = (index: number): ReturnType<typeof heartbeat> =>
  heartbeat(0n, { timeline: null, atMs: START_MS + index });

async function openOwned(store: ObjectStore): Promise<WriterLog> {
  const log = await openTestLog(store);
  await log.claim({ ownerId: 'spool-a', takeOver: false });
  return log;
}

describe('checkpoints', () => {
  const checkpointKey = (seq: number): string => writerCheckpointKey(iid, shard, writer, seq);

  async function writeEntries(log: WriterLog, count: number): Promise<void> {
    for (let i = 0; i < count; i++) await log.append(beat(i));
  }

  it('stand at every 1,024th entry and spare the reading of what lies before', async () => {
    const store = new MemoryStore();
    const log = await openOwned(store);
    await writeEntries(log, 2050);
    expect(store.keys().filter((key) => key.includes('/checkpoint/'))).toEqual([
      checkpointKey(1024),
      checkpointKey(2048),
    ]);
    const reader = store.through();
    const again = await openTestLog(reader);
    expect(again.state).toEqual(log.state);
    const gets = reader.calls.filter(({ op }) => op === 'get');
    expect(gets.some(({ key }) => key === keyOf(2048))).toBe(false);
    expect(gets.length).toBeLessThanOrEqual(8);
    expect(reader.calls.filter(({ op }) => op === 'list')).toHaveLength(1);
  });

  it('that are damaged are passed over and named', async () => {
    const store = new MemoryStore();
    const log = await openOwned(store);
    await writeEntries(log, 2050);
    const bytes = Buffer.from(store.objects.get(checkpointKey(2048)) ?? []);
    bytes[80] = (bytes[80] ?? 0) ^ 1;
    store.tamper(checkpointKey(2048), bytes);
    const again = await openTestLog(store);
    expect(again.state).toEqual(log.state);
    expect(again.damagedCheckpoints).toEqual([checkpointKey(2048)]);
  });

  it('that cannot be put do not fail an append; the next one tries again', async () => {
    const store = new MemoryStore();
    let down = true;
    const handle = store.through(({ op, key }) =>
      op === 'put' && key.includes('/checkpoint/') && down ? failsBefore(key) : undefined,
    );
    const log = await openOwned(handle);
    await writeEntries(log, 1026);
    expect(store.objects.has(checkpointKey(1024))).toBe(false);
    down = false;
    await writeEntries(log, 1);
    expect(store.objects.has(checkpointKey(1024))).toBe(true);
    const again = await openTestLog(store);
    expect(again.state).toEqual(log.state);
  });

  it('that a killed owner did not write are written by the next', async () => {
    const store = new MemoryStore();
    const log = await openOwned(store);
    await writeEntries(log, 1030);
    const whole = store.objects.get(checkpointKey(1024));
    store.tamper(checkpointKey(1024), null);
    await openOwned(store);
    expect(store.objects.get(checkpointKey(1024))).toEqual(whole);
  });

  it('are not looked for by who goes on from what was read before, unless that one passed some', async () => {
    const store = new MemoryStore();
    const owner = await openOwned(store);
    await writeEntries(owner, 40);
    const first = await openTestLog(store);
    await writeEntries(owner, 1);
    const handle = store.through();
    const from = first.readSoFar!;
    const second = await openTestLog(handle, { from });
    expect(second.state).toEqual(owner.state);
    expect(handle.calls.filter(({ op }) => op === 'list')).toEqual([]);
    expect(handle.calls.filter(({ op }) => op === 'get').length).toBeLessThan(5); // of 42
    await writeEntries(owner, 1_024);
    await first.catchUp();
    expect(first.readSoFar).toBeNull(); // a checkpoint waits to be put
  });
});
