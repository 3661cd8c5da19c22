import type { WriterEvent, WriterLog } from '@tidemark/catalog';
import { StoreError } from '@tidemark/core';
import { beforeEach, describe, expect, it } from 'vitest';
import { EventLine } from '../../../../services/archiver/src/capture/event-line.ts';
import { openTestInstance } from '../../../support/catalog-harness.ts';
import { closed, opened, START_MS, stored } from '../../../support/log-events.ts';
import { readTestLog } from '../../../support/log-harness.ts';
import { failsBefore, MemoryStore } from '../../../support/memory-store.ts';
import { steppingClock, type SteppingClock } from '../../../support/stepping-clock.ts';

const HEARTBEAT_MS = 20_000;

let store: MemoryStore;
let down: boolean;
let log: WriterLog;
let clock: SteppingClock;
let stop: AbortController;
let retries: string[];
let line: EventLine;
beforeEach(async () => {
  store = new MemoryStore();
  down = false;
  log = await openTestInstance(store.through(({ key }) => (down ? failsBefore(key) : undefined)));
  clock = steppingClock(START_MS);
  stop = new AbortController();
  retries = [];
  line = new EventLine(log, HEARTBEAT_MS, {
    clock,
    signal: stop.signal,
    onRetry: ({ code }) => retries.push(code),
    onRecovered: () => retries.push('recovered'),
  });
});

/** Types and offsets in the order of the log, the claim left out. */
const logged = async (): Promise<string[]> =>
  (await readTestLog(store)).slice(1).map(({ event }) => describeEvent(event));
function describeEvent(event: WriterEvent): string {
  if (event.type === 'SegmentStored') return `segment ${event.segment.start}`;
  if (event.type === 'Heartbeat') return `heartbeat ${event.offset} ${String(event.provenTo)}`;
  return event.type;
}

/** Lets the clock's sleeps run until `holds`. */
async function until(holds: () => boolean): Promise<void> {
  for (let i = 0; i < 10_000 && !holds(); i++) await new Promise(setImmediate);
  expect(holds()).toBe(true);
}

describe('EventLine.append()', () => {
  it('keeps the order of the calls, however long one takes', async () => {
    down = true;
    const all = Promise.all([line.append(opened()), line.append(stored(0n, 10n))]);
    await until(() => retries.length > 3);
    down = false;
    await all;
    expect(await logged()).toEqual(['TimelineOpened', 'segment 0']);
  });

  it('waits for a store that is away, and appends each event once', async () => {
    await line.append(opened());
    down = true;
    const append = line.append(stored(0n, 10n));
    await until(() => retries.length >= 40);
    expect(new Set(retries)).toEqual(new Set(['TM_STORE_IO']));
    down = false;
    await append;
    expect(retries.at(-1)).toBe('recovered');
    expect(await logged()).toEqual(['TimelineOpened', 'segment 0']);
  });

  it('gives a refused event back to its caller and goes on with the next', async () => {
    await line.append(opened());
    await expect(line.append(stored(5n, 10n))).rejects.toMatchObject({ code: 'TM_LOG_STATE' });
    await line.append(stored(0n, 10n));
    expect(await logged()).toEqual(['TimelineOpened', 'segment 0']);
    expect(retries).toEqual([]);
  });

  it('ends with the reason of the signal when the store stays away', async () => {
    down = true;
    const append = line.append(opened());
    await until(() => retries.length > 0);
    const reason = new StoreError('TM_STORE_IO', 'too late');
    stop.abort(reason);
    await expect(append).rejects.toBe(reason);
  });
});

describe('EventLine.heartbeat()', () => {
  const proven = (): number => 77;

  it('is due only when nothing was appended for a while', async () => {
    await line.heartbeat(() => null, false);
    expect(await logged()).toEqual([]);
    clock.now += HEARTBEAT_MS;
    await line.heartbeat(() => null, false);
    await line.heartbeat(() => null, false);
    expect(await logged()).toEqual(['heartbeat 0 null']);
  });

  it('is due at once when the clock of the archiver was set back', async () => {
    await line.append(opened());
    clock.now -= HEARTBEAT_MS + 10;
    await line.heartbeat(proven, false);
    await line.heartbeat(proven, false);
    expect(await logged()).toEqual(['TimelineOpened', 'heartbeat 0 77']);
  });

  it('names the durable end and what is proven there', async () => {
    await line.append(opened());
    await line.append(stored(0n, 10n));
    clock.now += HEARTBEAT_MS + 10;
    const asked = new Set<bigint>();
    await line.heartbeat((durable) => {
      asked.add(durable);
      return 77;
    }, false);
    expect([...asked]).toEqual([10n]);
    expect(await logged()).toEqual(['TimelineOpened', 'segment 0', 'heartbeat 10 77']);
  });

  it('comes at once when that is asked for and it proves more than the log', async () => {
    await line.append(opened());
    await line.append(stored(0n, 10n, { provenTo: 77 }));
    await line.heartbeat(proven, true);
    await line.heartbeat(proven, false);
    expect(await logged()).toHaveLength(2);
    await line.heartbeat(() => 78, true);
    expect(await logged()).toEqual(['TimelineOpened', 'segment 0', 'heartbeat 10 78']);
  });

  it('says what holds when its turn comes: the segment before it moved the end', async () => {
    await line.append(opened());
    clock.now += HEARTBEAT_MS + 10;
    await Promise.all([line.append(stored(0n, 10n)), line.heartbeat(proven, false)]);
    expect(await logged()).toEqual(['TimelineOpened', 'segment 0', 'heartbeat 10 77']);
  });

  it('is left out when what stood before it in the line was a sign of life itself', async () => {
    await line.append(opened());
    clock.now += HEARTBEAT_MS + 10;
    const segment = stored(0n, 10n, { atMs: clock.now });
    await Promise.all([line.append(segment), line.heartbeat(() => null, false)]);
    expect(await logged()).toEqual(['TimelineOpened', 'segment 0']);
  });

  it('is not refused when the timeline closes, or opens, while it waits', async () => {
    await line.append(opened());
    clock.now += HEARTBEAT_MS + 10;
    await Promise.all([line.append(closed(0n)), line.heartbeat(proven, false)]);
    const next = opened({ timeline: 't2', previous: 't1' });
    await Promise.all([line.append(next), line.heartbeat(proven, false)]);
    expect(await logged()).toEqual([
      ...['TimelineOpened', 'TimelineClosed', 'heartbeat 0 null', 'TimelineOpened'],
    ]);
  });
});
