import { join } from 'node:path';
import {
  createInstance,
  openCatalog,
  openWriterLog,
  type InstanceLog,
  type RetentionPlan,
} from '@tidemark/catalog';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { withFloors, withoutBackups } from '../../libs/catalog/src/retention/history.ts';
import { inOrder } from '../../libs/catalog/src/retention/needed-from.ts';
import { planRetention } from '../../libs/catalog/src/retention/plan-retention.ts';
import { syncTest } from '../support/catalog-harness.ts';
import { seededRandom, standingClock } from '../support/crypto-ports.ts';
import {
  closed,
  heartbeat,
  LOG_KEY,
  objectRef,
  opened,
  snapshot,
  START_MS,
  stepped,
  stored,
} from '../support/log-events.ts';
import { MemoryStore } from '../support/memory-store.ts';
import { liveRandomly, numbers, type TrueHistory } from '../support/random-history.ts';
import { TempDir } from '../support/temp-dir.ts';

const IID = 'inst';
const HISTORIES = 10;
const RETAIN = 40;

let dir: TempDir;
beforeAll(async () => {
  dir = await TempDir.create();
});
afterAll(() => dir[Symbol.asyncDispose]());

/** Writes a history into logs, each segment and snapshot an object of 7 bytes. */
async function writeHistory(history: TrueHistory, store: MemoryStore): Promise<InstanceLog> {
  const random = seededRandom('history');
  const ports = { store, logKey: LOG_KEY, clock: standingClock(START_MS), random };
  const log = await createInstance({ ...ports, iid: IID, name: IID, createdMs: START_MS });
  const object = (name: string) => objectRef({ key: `v1/instance/inst/0/w/seg/${name}`, size: 7 });
  for (const { writer, timelines } of history.shard.writers) {
    const registered = { shard: '0', writer, source: 'aof', atMs: START_MS } as const;
    await log.append(() => ({ type: 'WriterRegistered', ...registered }));
    const own = await openWriterLog({ ...ports, iid: IID, shard: '0', writer });
    await own.claim({ ownerId: 'spool-a', takeOver: false });
    let previous: string | null = null;
    for (const { timeline, snapshots, steps = [], to, open, end } of timelines) {
      // Between writers the time of opening is the order.
      const atMs = START_MS + history.shard.order.indexOf(timeline);
      await own.append(opened({ timeline, previous, atMs }));
      previous = timeline;
      const segments = history.segments
        .filter((one) => one.timeline === timeline)
        .sort((a, b) => (a.start < b.start ? -1 : 1));
      for (const { start, end: segmentEnd } of segments) {
        const name = `${timeline}-${start.toString()}`;
        await own.append(
          stored(start, segmentEnd, { segment: { timeline }, object: object(name) }),
        );
      }
      for (const { backup, offset, from } of snapshots) {
        await own.append(snapshot(offset, { timeline, backup, from, object: object(backup) }));
      }
      for (const step of steps) {
        await own.append({ ...stepped(step.offset), ...step, timeline });
      }
      await own.append(heartbeat(end, { timeline, provenTo: to }));
      if (!open) await own.append(closed(end, { timeline }));
    }
    await own.release();
  }
  return log;
}

it('shows, weighs and hides what the decision says, whatever the history', async () => {
  let hidden = 0;
  let single = 0;
  for (let seed = 0; seed < HISTORIES; seed++) {
    const history = liveRandomly(seed);
    const store = new MemoryStore();
    const log = await writeHistory(history, store);
    using catalog = openCatalog({ path: join(dir.path, `${String(seed)}.db`) });
    const next = numbers(seed + 3_333);
    const given = inOrder(history.shard)
      .flatMap(({ snapshots }) => snapshots.map(({ backup }) => backup))
      .filter(() => next() < 0.3);
    for (const backup of given) {
      await log.append(() => ({ type: 'BackupDeleted', backup, by: 'me', atMs: 0 }));
    }
    await syncTest(catalog, store, [IID]);
    const plan = (): RetentionPlan =>
      catalog.retention((ask) =>
        planRetention({
          ...{
            shards: ask.shards(IID, false, catalog.instance(IID)),
            retainSeconds: RETAIN,
            leases: [],
            nowMs: 0,
          },
          ...{ shareMax: 1, writersMax: 8, backupsMax: 8 },
          sizes: {
            total: ask.total(IID),
            below: (floor) => ask.below(IID, floor),
            ofBackup: (backup, writer) => ask.ofBackup(IID, backup, writer),
          },
        }),
      );
    const names = (one: TrueHistory['shard']): unknown =>
      one.writers.flatMap(({ timelines }) =>
        timelines.flatMap(({ timeline, snapshots }) =>
          snapshots.map(({ backup }) => `${timeline} ${backup}`),
        ),
      );
    const [shown] = catalog.retention((ask) => ask.shards(IID, false, catalog.instance(IID)));
    expect(names(shown!), `seed ${String(seed)}`).toEqual(names(history.shard));
    const total = catalog.retention((ask) => ask.total(IID));
    const { steps, amount, earliestAfter, ...rest } = plan();
    const dropped = rest.dropped.map(({ backup }) => backup);
    single += dropped.length;
    const floors = steps.map(({ floor }) => floor);
    const above = withFloors(history.shard, floors);
    const kept = withoutBackups(above, new Set(dropped));
    const isMarked = floors.length + dropped.length > 0;
    if (isMarked) {
      await log.append(() => ({
        ...{
          type: 'ExpiryTombstoned',
          tombstone: 'ts-1',
          floors,
          cuts: [],
          unnamed: null,
          backups: dropped,
        },
        ...{ retainSeconds: RETAIN, forced: true, ...amount, dueMs: 1, atMs: 0 },
      }));
      await syncTest(catalog, store, [IID]);
    }
    const [after] = catalog.retention((ask) => ask.shards(IID, false, catalog.instance(IID)));
    expect(names(after!), `seed ${String(seed)}`).toEqual(names(kept));
    expect(catalog.windows(IID).earliest).toBe(earliestAfter);
    const left = catalog.retention((ask) => ask.total(IID));
    expect(left.objects).toBe(total.objects - amount.objects);
    expect(left.bytes).toBe(total.bytes - amount.bytes);
    const page = { after: '', limit: 10_000 };
    const marks = { floors, dropped, pending: dropped };
    const marked = catalog.retention((ask) => ask.marked(IID, marks, page));
    expect(marked).toHaveLength(amount.objects);
    // What is hidden is still known, and what is gone is forgotten.
    const [all] = catalog.retention((ask) => ask.shards(IID, true, catalog.instance(IID)));
    expect(names(all!)).toEqual(names(history.shard));
    expect(plan().steps, `seed ${String(seed)}`).toEqual([]);
    hidden += amount.objects;
    if (!isMarked) continue;
    // The floors that are asked about decide, not what a mark that may be taken back hides.
    expect(catalog.retention((ask) => ask.goneBackups(IID, [], given))).toEqual([]);
    await log.append(() => ({ type: 'ExpiryBegun', tombstone: 'ts-1', atMs: 0 }));
    await log.append(() => ({ type: 'ExpiryDone', tombstone: 'ts-1', atMs: 0 }));
    await syncTest(catalog, store, [IID]);
    const done = { ...marks, pending: [] };
    expect(catalog.retention((ask) => ask.marked(IID, done, page))).toEqual([]);
    // What was let go of singly is remembered until the history before it has gone.
    const known = names(above) as readonly string[];
    const gone = given.filter((one) => !known.some((name) => name.endsWith(` ${one}`)));
    expect(catalog.retention((ask) => ask.goneBackups(IID, floors, given))).toEqual(
      [...gone].sort(),
    );
    expect(catalog.retention((ask) => ask.total(IID))).toEqual(left);
    catalog.clear();
    await syncTest(catalog, store, [IID]);
    expect(catalog.retention((ask) => ask.total(IID))).toEqual(left);
  }
  expect(hidden).toBeGreaterThan(HISTORIES);
  expect(single).toBeGreaterThan(HISTORIES / 4);
}, 60_000);
