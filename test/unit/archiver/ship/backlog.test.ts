import { readdir, readFile, truncate, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { segmentCommands, writerLogKey } from '@tidemark/archive';
import type { SegmentStored, WriterEvent } from '@tidemark/catalog';
import { bytesOf } from '@tidemark/core';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { shipSnapshot } from '../../../../services/archiver/src/ship/snapshot-shipper.ts';
import { changeByte } from '../../../support/change-byte.ts';
import { layOut, type Element } from '../../../support/aof-layout.ts';
import { closed, LOG, opened, START_MS } from '../../../support/log-events.ts';
import {
  failsBefore,
  MemoryStore,
  storeDown,
  type StoreCall,
} from '../../../support/memory-store.ts';
import { patternBytes } from '../../../support/pattern.ts';
import { collect } from '../../../support/segments.ts';
import {
  logged,
  openShipped,
  openShipRun,
  rollSegment,
  type ShipRun,
} from '../../../support/ship-harness.ts';
import { TempDir } from '../../../support/temp-dir.ts';

const SMALL: Element = ['SET', 'a', '1'];
const LARGE: Element = ['SET', 'large', patternBytes(400_000)];
const killed = new Error('killed');
const die = (): never => {
  throw killed;
};
const isPut = ({ op }: StoreCall): boolean => op === 'put';

/** What a put that waits for a run's store ends in. */
const endings = new Map<ShipRun, (cause: Error) => void>();

let temp: TempDir;
let store: MemoryStore;
beforeEach(async () => {
  temp = await TempDir.create();
  store = new MemoryStore();
});
afterEach(() => temp[Symbol.asyncDispose]());

async function begin(): Promise<ShipRun> {
  const run = await openShipRun(temp.path, store);
  if (run.log.state.timeline === null) await run.log.append(opened());
  return run;
}

/** The store is away from now on: puts wait, until it is back or the process is killed. */
function leave(run: ShipRun): void {
  let answer = (_: Error): void => undefined;
  const away = new Promise<never>((_, reject) => (answer = reject));
  away.catch(() => undefined);
  run.faults.hook = (call) => (isPut(call) ? { before: () => away } : undefined);
  endings.set(run, answer);
}

function comeBack(run: ShipRun): void {
  run.faults.hook = undefined;
  endings.get(run)?.(storeDown(''));
}

/** Seals segments one behind the other. @returns Their names in the spool. */
async function seal(run: ShipRun, ...elements: readonly Element[]): Promise<string[]> {
  const names: string[] = [];
  for (const element of elements) {
    const start = run.backlog.state.timeline!.end;
    const { name, event } = await run.shipper.seal(rollSegment(start, element), null);
    run.backlog.add(name, event);
    names.push(name);
  }
  return names;
}

/** Ends a run as a kill does: nothing it does later reaches the store. */
async function kill(run: ShipRun): Promise<void> {
  run.faults.hook = () => ({ before: die });
  run.stop.abort(killed);
  endings.get(run)?.(killed);
  await run.backlog.ended();
}

const step = (offset: bigint): WriterEvent => ({
  ...{ type: 'ClockStepped', timeline: 't1', direction: 'back', before: offset, offset },
  ...{ untilMs: START_MS, fromMs: START_MS - 9_000, toMs: START_MS - 8_000 },
  ...{ sinceMs: START_MS - 8_500, provenTo: null, atMs: START_MS },
});
const events = async (): Promise<string[]> =>
  (await logged(store, 'SegmentStored', 'ClockStepped', 'TimelineClosed', 'TimelineOpened')).map(
    ({ event }) => event.type,
  );
const segments = () => logged(store, 'SegmentStored');
async function shippedCommands(): Promise<Buffer> {
  const parts: Buffer[] = [];
  for (const entry of await segments()) {
    const { segment } = entry.event as SegmentStored;
    const plain = await openShipped(store, entry, segment);
    parts.push(await collect(segmentCommands(bytesOf(plain), segment)));
  }
  return Buffer.concat(parts);
}

describe('Backlog, while the store is away', () => {
  it('takes segments and events in, and knows what the log will be', async () => {
    const run = await begin();
    leave(run);
    await seal(run, SMALL, LARGE);
    const { end } = run.backlog.state.timeline!;
    await run.backlog.addEvent(step(end));
    await run.backlog.addEvent(closed(end, { timeline: 't1' }));
    await run.backlog.addEvent(opened({ timeline: 't2', previous: 't1' }));
    expect(run.backlog.state.timeline).toMatchObject({ timeline: 't2', end: 0n });
    expect(run.log.state.timeline).toMatchObject({ timeline: 't1', end: 0n });
    const size = { entries: 5, logBytes: Number(end), bytes: run.spool.bytes };
    expect(run.backlog.size).toMatchObject({ ...size, oldestMs: expect.any(Number) as number });
    expect(run.failures).toEqual([]);
    await kill(run);
  });

  it('drains in order when it is back, each entry once', async () => {
    const run = await begin();
    leave(run);
    await seal(run, SMALL, LARGE);
    const { end } = run.backlog.state.timeline!;
    await run.backlog.addEvent(step(end));
    await seal(run, SMALL);
    comeBack(run);
    await run.backlog.settled();
    expect(await events()).toEqual([
      'TimelineOpened',
      'SegmentStored',
      'SegmentStored',
      'ClockStepped',
      'SegmentStored',
    ]);
    expect((await shippedCommands()).equals(layOut([SMALL, LARGE, SMALL]).stream)).toBe(true);
    expect(run.backlog.size).toEqual({ entries: 0, bytes: 0, logBytes: 0, oldestMs: null });
    expect(run.backlog.state).toBe(run.log.state);
    expect(await readdir(run.spoolDir)).toEqual([]);
  });

  it('refuses what may not follow what waits', async () => {
    const run = await begin();
    leave(run);
    await seal(run, SMALL);
    const { name, event } = await run.shipper.seal(rollSegment(900n, SMALL), null);
    expect(() => run.backlog.add(name, event)).toThrow(
      expect.objectContaining({ code: 'TM_LOG_STATE' }),
    );
    await kill(run);
  });

  it('logs a snapshot before the timeline after its own', async () => {
    const run = await begin();
    let snapshotMayGo = false;
    run.faults.hook = (call) =>
      isPut(call) && call.key.includes('/rdb/') && !snapshotMayGo
        ? failsBefore(call.key)
        : undefined;
    const shipping = shipSnapshot(
      {
        backup: 'bk-1',
        open: null,
        timeline: 't1',
        offset: 0n,
        mode: 'attach',
        from: () => Promise.resolve(1),
      },
      run.options,
      run.backlog,
    );
    await run.backlog.addEvent(closed(0n, { timeline: 't1' }));
    while (!run.told.includes('TM_STORE_IO')) await new Promise(setImmediate);
    await run.backlog.addEvent(opened({ timeline: 't2', previous: 't1' }));
    for (let at = 0; at < 20; at++) await new Promise(setImmediate);
    expect(run.log.state.timeline).toMatchObject({ timeline: 't1' });
    snapshotMayGo = true;
    await shipping;
    await run.backlog.settled();
    const order = (await logged(store, 'SnapshotStored', 'TimelineOpened')).map(
      ({ event }) => event.type,
    );
    expect(order).toEqual(['TimelineOpened', 'SnapshotStored', 'TimelineOpened']);
  });

  it('puts a snapshot only once its timeline is open: it cannot lose its object before it is logged', async () => {
    const run = await begin();
    let mayOpen = false;
    const opening = writerLogKey(LOG.iid, LOG.shard, LOG.writer, run.log.state.seq + 1);
    run.faults.hook = (call) =>
      isPut(call) && call.key === opening && !mayOpen ? failsBefore(call.key) : undefined;
    await run.backlog.addEvent(closed(0n, { timeline: 't1' }));
    await run.backlog.addEvent(opened({ timeline: 't2', previous: 't1' }));
    const job = { backup: 'bk-2', open: null, timeline: 't2', offset: 0n, mode: 'attach' } as const;
    const from = (): Promise<number> => Promise.resolve(1);
    const shipping = shipSnapshot({ ...job, from }, run.options, run.backlog);
    await until(() => run.told.length > 500);
    expect(store.keys().filter((key) => key.includes('/rdb/'))).toEqual([]);
    mayOpen = true;
    const { object } = await shipping;
    expect(store.objects.get(object.key ?? '')).toHaveLength(object.size);
    expect(await logged(store, 'SnapshotStored')).toHaveLength(1);
  });

  it('fails once with an error that time does not mend, and brings nothing behind it', async () => {
    const run = await begin();
    run.faults.hook = ({ key }) => (key.includes('/log/') ? { before: die } : undefined);
    await seal(run, SMALL, SMALL);
    await run.backlog.settled();
    run.faults.hook = undefined;
    await seal(run, SMALL);
    await run.backlog.settled();
    expect([run.failures, await segments()]).toEqual([[killed], []]);
  });

  it('notices that the disk did not keep an object, and puts nothing from it on', async () => {
    const run = await begin();
    leave(run);
    const names = await seal(run, SMALL, LARGE, SMALL);
    await changeByte(join(run.spoolDir, `${names[1]}.sealed`), -1);
    comeBack(run);
    await run.backlog.settled();
    expect(run.failures).toMatchObject([{ code: 'TM_SPOOL_DAMAGED', context: { name: names[1] } }]);
    expect(await segments()).toHaveLength(1);
    const next = await begin();
    expect(await next.recover()).toBe(0);
    expect(await readdir(run.spoolDir)).toEqual([]);
  });
});

describe('Backlog.recover()', () => {
  it.each<[string, string, 'before' | 'after', number]>([
    ['before its key', '/keys/', 'before', 3],
    ['after its key', '/keys/', 'after', 3],
    ['before its put', '/seg/', 'before', 3],
    ['after its put', '/seg/', 'after', 3],
    ['before its entry', '/log/', 'before', 3],
    ['after its entry', '/log/', 'after', 2],
  ])('brings all in once, in order and whole, after a kill %s', async (_, part, when, taken) => {
    const first = await begin();
    first.faults.hook = ({ op, key }) =>
      op === 'put' && key.includes(part) ? { [when]: die } : undefined;
    const names = await seal(first, LARGE);
    const bytes = await readFile(join(first.spoolDir, `${names[0]}.sealed`));
    await first.backlog.addEvent(step(first.backlog.state.timeline!.end));
    await seal(first, SMALL);
    await first.backlog.ended();
    expect(first.failures).toEqual([killed]);
    const second = await begin();
    expect(await second.recover()).toBe(taken);
    const all = await segments();
    expect(all).toHaveLength(2);
    const { key } = (all[0]!.event as SegmentStored).object;
    expect(store.objects.get(key!)!.equals(bytes)).toBe(true);
    expect(await logged(store, 'ClockStepped')).toHaveLength(1);
    expect(await readdir(first.spoolDir)).toEqual([]);
    await second.ship(rollSegment(second.log.state.timeline!.end, SMALL), null);
    expect((await shippedCommands()).equals(layOut([LARGE, SMALL, SMALL]).stream)).toBe(true);
  });

  it.each<[string, string, (bytes: Buffer) => Uint8Array]>([
    ['half of its object', '/seg/', (bytes) => bytes.subarray(0, bytes.length >> 1)],
    ['another byte in its object', '/seg/', (bytes) => bytes.fill(0, 100_000, 100_100)],
    ['half of its key', '/keys/', (bytes) => bytes.subarray(0, bytes.length >> 1)],
  ])('neither logs nor lets go of what the store holds %s of', async (_, part, change) => {
    const first = await begin();
    first.faults.hook = ({ op, key }) =>
      op === 'put' && key.includes(part) ? { after: die } : undefined;
    const [name] = await seal(first, LARGE);
    await first.backlog.ended();
    const key = store.keys().find((one) => one.includes(part))!;
    const right = Buffer.from(store.objects.get(key)!);
    store.tamper(key, change(Buffer.from(right)));
    const second = await begin();
    const recovering = second.recover();
    for (let times = 0; times < 3; times++) {
      second.told.length = 0;
      await until(() => second.told.length > 0);
      expect(second.told).toContain('TM_STORE_DIFFERS');
    }
    expect([await segments(), second.failures]).toEqual([[], []]);
    expect(await readdir(first.spoolDir)).toContain(`${name}.sealed`);
    expect(second.clock.pauses.at(-1)).toBeGreaterThan(200);
    store.tamper(key, null);
    expect(await recovering).toBe(1);
    expect(second.told.at(-1)).toBe('recovered');
    expect(store.objects.get(key)!.equals(right)).toBe(true);
    expect((await shippedCommands()).equals(layOut([LARGE]).stream)).toBe(true);
    expect(await readdir(first.spoolDir)).toEqual([]);
  });

  it('does not log a snapshot of which the store holds half, and goes on with segments', async () => {
    const run = await begin();
    let putKey = '';
    run.faults.hook = ({ op, key }) => {
      if (op !== 'put' || !key.includes('/rdb/') || putKey !== '') return undefined;
      const cut = (): never => {
        putKey = key;
        store.tamper(key, store.objects.get(key)!.subarray(0, 100));
        throw storeDown(key);
      };
      return { after: cut };
    };
    const job = { backup: 'bk-1', open: null, timeline: 't1', offset: 0n, mode: 'attach' } as const;
    const from = (): Promise<number> => Promise.resolve(1);
    const shipping = shipSnapshot({ ...job, from }, run.options, run.backlog);
    await until(() => run.told.includes('TM_STORE_DIFFERS'));
    await run.ship(rollSegment(0n, SMALL), null);
    expect(await logged(store, 'SnapshotStored')).toEqual([]);
    store.tamper(putKey, null);
    const { object } = await shipping;
    expect(store.objects.get(putKey)).toHaveLength(object.size);
    expect(await logged(store, 'SnapshotStored')).toHaveLength(1);
  });

  it('does not log a step of the clock twice that was logged just before the kill', async () => {
    const first = await begin();
    await first.ship(rollSegment(0n, SMALL), null);
    first.faults.hook = ({ op, key }) =>
      op === 'put' && key.includes('/log/') ? { after: die } : undefined;
    await first.backlog.addEvent(step(first.backlog.state.timeline!.end));
    await first.backlog.ended();
    const second = await begin();
    expect(await second.recover()).toBe(0);
    expect(await logged(store, 'ClockStepped')).toHaveLength(1);
  });

  it('knows at once where the tail goes on, before the store has it', async () => {
    const first = await begin();
    leave(first);
    await seal(first, SMALL, SMALL);
    const { end } = first.backlog.state.timeline!;
    await kill(first);
    const second = await begin();
    leave(second);
    expect(await second.backlog.recover()).toBe(2);
    expect(second.backlog.state.timeline!.end).toBe(end);
    expect(second.log.state.timeline!.end).toBe(0n);
    await kill(second);
  });

  it('drops what does not follow the log: the tail delivers those bytes again', async () => {
    const first = await begin();
    const { name } = await first.shipper.seal(rollSegment(500n, SMALL), null);
    expect(await readdir(first.spoolDir)).toContain(`${name}.json`);
    expect(await (await begin()).recover()).toBe(0);
    expect([await segments(), await readdir(first.spoolDir)]).toEqual([[], []]);
  });

  it.each<[string, (path: string) => Promise<void>]>([
    ['is shorter', (path) => truncate(`${path}.sealed`, 300)],
    ['is empty', (path) => truncate(`${path}.sealed`, 0)],
    ['is longer', (path) => writeFile(`${path}.sealed`, 'x', { flag: 'a' })],
    ['has another first byte', (path) => changeByte(`${path}.sealed`, 0)],
    ['has another tag', (path) => changeByte(`${path}.sealed`, -1)],
    ['lost its bytes', (path) => unlink(`${path}.sealed`)],
    ['lost its note', (path) => unlink(`${path}.json`)],
    ['has a note that is no event', (path) => writeFile(`${path}.json`, '{"type":"Segme')],
    ['has a note of other content', (path) => writeFile(`${path}.json`, '{"type":"Other"}')],
  ])('drops all from an object on that the disk did not keep: it %s', async (_, damage) => {
    const first = await begin();
    leave(first);
    const names = await seal(first, SMALL, SMALL, SMALL, SMALL);
    await kill(first);
    await damage(join(first.spoolDir, names[2]!));
    const second = await begin();
    expect(await second.recover()).toBe(2);
    expect(await shippedCommands()).toEqual(layOut([SMALL, SMALL]).stream);
    expect(await readdir(first.spoolDir)).toEqual([]);
    expect(second.backlog.state.timeline!.end).toBe(BigInt(layOut([SMALL, SMALL]).stream.length));
  });

  it('takes over what an earlier version left, whose keys are in the store already', async () => {
    const first = await begin();
    const segment = rollSegment(0n, SMALL);
    await first.ship(segment, null); // its key is stored now
    const next = rollSegment(segment.header.end, SMALL);
    const { name, event } = await first.shipper.seal(next, null);
    const note = JSON.parse((await first.spool.readNote(name))!) as { event: string };
    const old = segment.header.end.toString().padStart(20, '0') + '-abcdefgh';
    await writeFile(join(first.spoolDir, `${old}.json`), note.event);
    await writeFile(
      join(first.spoolDir, `${old}.sealed`),
      await readFile(join(first.spoolDir, `${name}.sealed`)),
    );
    await first.spool.remove(name);
    expect(await (await begin()).recover()).toBe(1);
    expect((await segments()).at(-1)?.event).toEqual(event);
    expect(await shippedCommands()).toEqual(layOut([SMALL, SMALL]).stream);
  });
});

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise(setImmediate);
}
