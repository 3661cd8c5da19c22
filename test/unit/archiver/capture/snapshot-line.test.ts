import type { SnapshotStored } from '@tidemark/catalog';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { CaptureOptions } from '../../../../services/archiver/src/capture/capture-options.ts';
import { SnapshotLine } from '../../../../services/archiver/src/capture/snapshot-line.ts';
import type { TimelineWriter } from '../../../../services/archiver/src/capture/timeline-writer.ts';
import type { Logger } from '../../../../services/archiver/src/logger.ts';
import { closed, opened } from '../../../support/log-events.ts';
import { MemoryStore } from '../../../support/memory-store.ts';
import { RdbBuilder } from '../../../support/rdb-builder.ts';
import { logged, openShipRun, type ShipRun } from '../../../support/ship-harness.ts';
import { TempDir } from '../../../support/temp-dir.ts';

const RDB = new RdbBuilder({ version: 10 }).selectDb(0).string('a', '1').build();
const quiet: Logger = {
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
  child: () => quiet,
};

let temp: TempDir;
let run: ShipRun;
let store: MemoryStore;
/** The node sends the rest of its snapshot. */
let goOn: () => void;
let line: SnapshotLine;
beforeEach(async () => {
  temp = await TempDir.create();
  store = new MemoryStore();
  run = await openShipRun(temp.path, store);
  await run.log.append(opened());
  const { clock, backlog, options } = run;
  // No sample has come yet, and none comes while the tail waits.
  const fileStart = () => ({ offset: 0n, secondBefore: null });
  const writer = { timeline: 't1', firstMark: null, place: { seq: 0, position: 0 }, fileStart };
  line = new SnapshotLine({
    capture: { clock, logger: quiet } as unknown as CaptureOptions,
    outlet: { backlog, shipping: options },
    life: { writer: writer as unknown as TimelineWriter, servesFrom: null },
    source: () => null,
    isQuiet: () => true,
    signal: run.stop.signal,
    onFailed: () => undefined,
  });
});
afterEach(async () => {
  goOn();
  await line.settled();
  await temp[Symbol.asyncDispose]();
});

async function offer(): Promise<void> {
  const rest = new Promise<void>((resolve) => (goOn = resolve));
  const open = async function* (): AsyncGenerator<Buffer> {
    yield RDB.subarray(0, 9);
    await rest;
    yield RDB.subarray(9);
  };
  await line.offer({ name: 'sync', seq: 0, alignedSeq: 0, position: 0, size: 0, open });
}

describe('SnapshotLine.leave()', () => {
  it('waits until the first snapshot of the timeline is sealed, so that it is not refused', async () => {
    await offer();
    let left = false;
    const leaving = line.leave(run.stop.signal).then(() => (left = true));
    for (let turn = 0; turn < 50; turn++) await run.clock.sleep(1);
    expect(left).toBe(false);
    goOn();
    await leaving;
    const { timeline } = run.backlog.state;
    await run.backlog.addEvent(closed(timeline!.end));
    await run.backlog.settled();
    await line.settled();
    const [stored, ...more] = await logged(store, 'SnapshotStored');
    expect([(stored!.event as SnapshotStored).timeline, more]).toEqual(['t1', []]);
    expect([run.failures, line.count]).toEqual([[], 1]);
  });

  it('does not wait where the timeline has a snapshot, or none is under way', async () => {
    await line.leave(run.stop.signal);
    await offer();
    goOn();
    await line.settled();
    expect(line.count).toBe(1);
    await offer();
    await line.leave(run.stop.signal);
  });

  it('ends with the signal', async () => {
    await offer();
    const over = new AbortController();
    const leaving = line.leave(over.signal);
    over.abort(new Error('over'));
    await expect(leaving).rejects.toThrow('over');
  });
});
