import type { SnapshotStored } from '@tidemark/catalog';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { CaptureOptions } from '../../../../services/archiver/src/capture/capture-options.ts';
import type { CaptureSource } from '../../../../services/archiver/src/capture/capture-source.ts';
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
let isBegun: boolean;
/** Where the tail is, and whether the node was asked for a base. */
let place: { readonly seq: number; readonly position: number };
let isAsked: boolean;
/** What the capture takes for the time; waiting takes none. */
let nowMs: number;
beforeEach(async () => {
  temp = await TempDir.create();
  store = new MemoryStore();
  [isBegun, isAsked, nowMs] = [true, false, 0];
  place = { seq: 0, position: 0 };
  goOn = () => undefined;
  run = await openShipRun(temp.path, store);
  await run.log.append(opened());
  const { clock, backlog, options } = run;
  // No sample has come yet, and none comes while the tail waits.
  const fileStart = () => ({ offset: 0n, secondBefore: null });
  const writer = {
    ...{ timeline: 't1', firstMark: null, fileStart },
    get place() {
      return place;
    },
  };
  const source = {
    askBase: () => {
      isAsked = true;
      return new Promise<void>(() => undefined);
    },
    releaseBase: () => Promise.resolve(),
  } as unknown as CaptureSource;
  const patient = { ...clock, monotonicMs: () => nowMs, sleep: wait };
  line = new SnapshotLine({
    capture: { clock: patient, logger: quiet } as unknown as CaptureOptions,
    outlet: { backlog, shipping: options },
    life: { writer: writer as unknown as TimelineWriter, servesFrom: null },
    source: () => source,
    isBegun: () => isBegun,
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

/** The process does something else. */
async function wait(_ms: number, signal?: AbortSignal): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
  signal?.throwIfAborted();
}

async function offer(seq = 0): Promise<void> {
  const rest = new Promise<void>((resolve) => (goOn = resolve));
  const open = async function* (): AsyncGenerator<Buffer> {
    yield RDB.subarray(0, 9);
    await rest;
    yield RDB.subarray(9);
  };
  await line.offer({ name: `sync-${seq}`, seq, alignedSeq: seq, position: 0, size: 0, open });
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

describe('SnapshotLine.backup()', () => {
  const manual = { mode: 'manual' } as const;
  /** A base that stands behind whatever was read when a backup was asked for. */
  async function offerLater(): Promise<void> {
    place = { seq: 1, position: 0 };
    await offer(1);
  }

  it('is under way from when it is asked for until it is stored, and no other one is begun', async () => {
    expect(line.isBackingUp).toBe(false);
    const made = line.backup('manual');
    while (!isAsked) await wait(0);
    await expect(line.backup('manual')).rejects.toMatchObject({ code: 'TM_BUSY' });
    await offerLater();
    // The node has given its base: it is being sealed now.
    await expect(line.backup('automated')).rejects.toMatchObject({ code: 'TM_BUSY' });
    expect(line.isBackingUp).toBe(true);
    goOn();
    expect(await made).toMatchObject(manual);
    expect(line.isBackingUp).toBe(false);
    expect(await logged(store, 'SnapshotStored')).toHaveLength(1);
  });

  it('waits until the source has begun: the base that was there before is not the one', async () => {
    isBegun = false;
    const made = line.backup('manual');
    expect(line.isBackingUp).toBe(true);
    await offer();
    goOn();
    await line.settled();
    const [first] = await logged(store, 'SnapshotStored');
    expect(first?.event).toMatchObject({ mode: 'attach' });
    isBegun = true;
    while (!isAsked) await wait(0);
    await offerLater();
    goOn();
    expect(await made).toMatchObject(manual);
  });

  it('ends with the capture, and where nothing is ever read', async () => {
    isBegun = false;
    const vain = line.backup('manual');
    nowMs += 31_000;
    await expect(vain).rejects.toMatchObject({ code: 'TM_ARCHIVER_DOWN' });
    const made = line.backup('manual');
    run.stop.abort(new Error('the capture ends'));
    await expect(made).rejects.toMatchObject({ code: 'TM_ARCHIVER_DOWN' });
    expect(line.isBackingUp).toBe(false);
  });
});
