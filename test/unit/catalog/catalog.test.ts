import { join } from 'node:path';
import { instanceLogKey, writerLogKey, writerCheckpointKey } from '@tidemark/archive';
import { encodeLogEntry, openCatalog, type Catalog, type WriterLog } from '@tidemark/catalog';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { dumpCatalog, openTestInstance, syncTest } from '../../support/catalog-harness.ts';
import {
  closed,
  heartbeat,
  LOG,
  LOG_KEY,
  nodeFacts,
  objectRef,
  opened,
  OTHER_LOG_KEY,
  proven,
  snapshot,
  START_MS,
  stored,
} from '../../support/log-events.ts';
import { rejection } from '../../support/log-harness.ts';
import { MemoryStore } from '../../support/memory-store.ts';
import { TempDir } from '../../support/temp-dir.ts';

const { iid, shard, writer } = LOG;
const entryKey = (seq: number): string => writerLogKey(iid, shard, writer, seq);
const T0 = START_MS / 1000;

/** A timeline of five segments, 10 bytes each, with the marks of seconds T0, T0+1, … */
async function writeTimeline(log: WriterLog): Promise<void> {
  await log.append(nodeFacts());
  await log.append(opened());
  await log.append(snapshot(0n, { from: T0 }));
  for (let i = 0; i < 5; i++) {
    const second = T0 + i;
    const segment = { firstSecond: second, lastSecond: second };
    const start = BigInt(i) * 10n;
    await log.append(stored(start, start + 10n, { segment, provenTo: second - 1 }));
  }
}

describe('openCatalog()', () => {
  let dir: TempDir;
  let path: string;
  let store: MemoryStore;
  let log: WriterLog;
  let catalog: Catalog;
  beforeEach(async () => {
    dir = await TempDir.create();
    path = join(dir.path, 'catalog.db');
    store = new MemoryStore();
    log = await openTestInstance(store);
    catalog = openCatalog({ path });
  });
  afterEach(async () => {
    catalog.close();
    await dir[Symbol.asyncDispose]();
  });

  describe('Catalog.sync()', () => {
    it('reads every log forward and counts what is new', async () => {
      await writeTimeline(log);
      expect(await syncTest(catalog, store)).toBe(2 + 9);
      expect(await syncTest(catalog, store)).toBe(0);
      await log.append(heartbeat(50n, { provenTo: T0 + 4 }));
      expect(await syncTest(catalog, store)).toBe(1);
      expect(catalog.instances().map((each) => each.name)).toEqual(['name of inst']);
      expect(catalog.writers(iid)).toMatchObject([{ shard, writer, source: 'aof' }]);
      expect(catalog.writers(iid)[0]?.state).toEqual(log.state);
    });

    it('asks for little when nothing is new, and never lists', async () => {
      await writeTimeline(log);
      await syncTest(catalog, store);
      const handle = store.through();
      await syncTest(catalog, handle);
      expect(handle.calls.filter(({ op }) => op === 'get')).toHaveLength(4);
      expect(handle.calls.filter(({ op }) => op === 'list')).toHaveLength(0);
    });

    it('shows an instance whose writer has no entry yet', async () => {
      const fresh = new MemoryStore();
      await openTestInstance(fresh);
      fresh.tamper(entryKey(0), null);
      await syncTest(catalog, fresh);
      expect(catalog.writers(iid)[0]?.state.seq).toBe(-1);
      expect(catalog.windows(iid)).toMatchObject({ ranges: [], earliest: null });
      await openTestInstance(fresh);
      expect(await syncTest(catalog, fresh)).toBe(1);
    });

    it('notices that the store was set back, also when nothing was written since', async () => {
      await writeTimeline(log);
      const older = store.snapshot();
      await log.append(heartbeat(50n));
      await syncTest(catalog, store);
      expect(await rejection(syncTest(catalog, older))).toMatchObject({
        code: 'TM_LOG_CHAIN',
        exitCode: 14,
        context: { iid, seq: 9, expected: log.state.digest, actual: null },
      });
      expect(catalog.writers(iid)[0]?.state).toEqual(log.state);
    });

    it('notices that a log was replaced by another that is as long, or longer', async () => {
      const fork = store.snapshot();
      await log.append(heartbeat(0n, { timeline: null, atMs: START_MS + 1 }));
      await syncTest(catalog, store);
      const other = await openTestInstance(fork);
      for (let i = 0; i < 3; i++) {
        expect((await rejection(syncTest(catalog, fork))).code).toBe('TM_LOG_CHAIN');
        await other.append(heartbeat(0n, { timeline: null, atMs: START_MS + 2 + i }));
      }
      const replaced = store.snapshot();
      const entry = replaced.objects.get(instanceLogKey(iid, 0)) ?? null;
      replaced.tamper(instanceLogKey(iid, 1), entry);
      expect((await rejection(syncTest(catalog, replaced))).code).toBe('TM_LOG_CHAIN');
      replaced.tamper(instanceLogKey(iid, 1), null);
      expect((await rejection(syncTest(catalog, replaced))).code).toBe('TM_LOG_CHAIN');
    });

    it('finds what is missing and what was changed, and keeps what it knew', async () => {
      await writeTimeline(log);
      const broken = store.snapshot();
      broken.tamper(entryKey(4), null);
      expect(await rejection(syncTest(catalog, broken))).toMatchObject({
        code: 'TM_LOG_GAP',
        context: { seq: 4 },
      });
      expect(await syncTest(catalog, store)).toBeGreaterThan(0);
      expect(catalog.segments('t1')).toHaveLength(5);
    });

    it('is refused with a wrong key ring (exit 12), before anything is read into the tables', async () => {
      const wrong = catalog.sync({
        store,
        instances: [iid],
        logKey: () => Promise.resolve(OTHER_LOG_KEY),
      });
      expect(await rejection(wrong)).toMatchObject({ code: 'TM_KEY_MISSING', exitCode: 12 });
      expect(catalog.instances()).toEqual([]);
    });

    it('is refused with a wrong key ring (exit 12) also when it has read the log before', async () => {
      await syncTest(catalog, store);
      const logKey = (): Promise<typeof OTHER_LOG_KEY> => Promise.resolve(OTHER_LOG_KEY);
      const error = await rejection(catalog.sync({ store, instances: [iid], logKey }));
      expect(error).toMatchObject({ code: 'TM_KEY_MISSING', exitCode: 12 });
      expect(await syncTest(catalog, store)).toBe(0);
    });

    it('reads the other instances when one is damaged', async () => {
      const second = { iid: 'second', shard, writer: 'w9' };
      await openTestInstance(store, second);
      store.tamper(entryKey(0), Buffer.from('damage'));
      const error = await rejection(syncTest(catalog, store, [iid, 'second']));
      expect(error).toMatchObject({ code: 'TM_LOG_FORMAT', context: { iid } });
      expect(catalog.writers('second')[0]?.state.seq).toBe(0);
    });

    it('says that an instance does not exist', async () => {
      expect((await rejection(syncTest(catalog, store, ['nobody']))).code).toBe('TM_NOT_FOUND');
      expect(() => catalog.windows('nobody')).toThrow(/knows no such instance/);
    });

    it('starts from a checkpoint where retention has removed what lies below', async () => {
      await writeTimeline(log);
      for (let i = 0; i < 1100; i++) await log.append(heartbeat(50n, { atMs: START_MS + i }));
      await log.append(stored(50n, 60n, { provenTo: T0 + 9 }));
      await syncTest(catalog, store);
      const stale = openCatalog({ path: join(dir.path, 'stale.db') });
      const early = store.snapshot();
      for (const key of early.keys())
        if (key > entryKey(5) && key < entryKey(9999)) early.tamper(key, null);
      await syncTest(stale, early);
      for (let seq = 0; seq <= 1024; seq++) store.tamper(entryKey(seq), null);
      for (const each of [openCatalog({ path: join(dir.path, 'new.db') }), stale]) {
        await syncTest(each, store);
        expect(each.writers(iid)[0]?.state).toEqual(log.state);
        // The checkpoint keeps what those entries named.
        expect(each.segments('t1').map(({ start }) => start)).toEqual([
          0n,
          10n,
          20n,
          30n,
          40n,
          50n,
        ]);
        expect(each.timelines(iid)).toMatchObject([
          { timeline: 't1', end: 60n, openedMs: START_MS + 1 },
        ]);
        each.close();
      }
      store.tamper(writerCheckpointKey(iid, shard, writer, 1024), null);
      const lost = openCatalog({ path: join(dir.path, 'lost.db') });
      expect(await rejection(syncTest(lost, store))).toMatchObject({
        code: 'TM_LOG_GAP',
        context: { seq: 0 },
      });
      lost.close();
    });
  });

  describe('questions', () => {
    beforeEach(async () => {
      await writeTimeline(log);
    });

    it('gives segments that touch a range of offsets, in order', async () => {
      await syncTest(catalog, store);
      const starts = (fromOffset?: bigint, toOffset?: bigint): bigint[] =>
        catalog
          .segments('t1', {
            ...(fromOffset !== undefined && { fromOffset }),
            ...(toOffset !== undefined && { toOffset }),
          })
          .map(({ start }) => start);
      expect(starts()).toEqual([0n, 10n, 20n, 30n, 40n]);
      expect(starts(10n, 30n)).toEqual([10n, 20n]);
      expect(starts(19n, 21n)).toEqual([10n, 20n]);
      expect(starts(49n)).toEqual([40n]);
      expect(starts(50n)).toEqual([]);
      expect(catalog.segments('t9')).toEqual([]);
    });

    it('gives a segment as the log has it, and where to read it', async () => {
      const body = Buffer.alloc(77);
      const event = stored(50n, 2n ** 53n + 1n, {
        object: objectRef({ key: null, size: body.length }),
        segment: { db: 3, firstSecond: -5, lastSecond: null, indexKind: 'filter', frames: 4 },
        after: { db: 3, inMulti: true, partialBytes: 1 },
      });
      await log.append(stored(50n, 60n, { after: { db: 3, inMulti: false, partialBytes: 0 } }));
      const next = { ...event, segment: { ...event.segment, start: 60n } };
      next.segment = { ...next.segment, rawBytes: Number(next.segment.end - 60n) };
      await log.append(next, body);
      await syncTest(catalog, store);
      const [segment] = catalog.segments('t1', { fromOffset: 60n });
      expect(segment?.header).toEqual(next.segment);
      expect(segment?.object).toMatchObject({ ...event.object, iid, shard, writer, seq: 10 });
      const { readKey = '', readStart = 0 } = segment?.object ?? {};
      expect(readKey).toBe(entryKey(10));
      expect(store.objects.get(readKey)?.subarray(readStart)).toEqual(body);
      const [external] = catalog.segments('t1');
      expect(external?.object).toMatchObject({ readKey: objectRef().key, readStart: 0 });
    });

    it('finds the first segment with a mark after a second, also where a clock went back', async () => {
      await log.append(stored(50n, 60n, { segment: { firstSecond: null, lastSecond: null } }));
      await log.append(stored(60n, 70n, { segment: { firstSecond: T0, lastSecond: T0 + 1 } }));
      await log.append(stored(70n, 80n, { segment: { firstSecond: T0 + 8, lastSecond: T0 + 9 } }));
      await syncTest(catalog, store);
      const startFor = (second: number): bigint | undefined =>
        catalog.segmentForCut('t1', second)?.start;
      expect([-1, 0, 3, 4, 8, 9].map((delta) => startFor(T0 + delta))).toEqual([
        0n,
        10n,
        40n,
        70n,
        70n,
        undefined,
      ]);
    });

    it('gives snapshots and node facts as the log has them', async () => {
      await log.append(snapshot(20n, { backup: 'bk_2', mode: 'manual', from: T0 + 2 }));
      await log.append(
        nodeFacts({ object: objectRef({ key: null, size: 3, kind: 9 }) }),
        Buffer.alloc(3),
      );
      await syncTest(catalog, store);
      expect(catalog.snapshots(iid)).toMatchObject([
        { backup: 'bk_1', offset: 0n, from: T0, mode: 'attach', summary: { keys: 12 } },
        { backup: 'bk_2', offset: 20n, from: T0 + 2, mode: 'manual' },
      ]);
      expect(catalog.nodeFacts(LOG)).toMatchObject({
        object: { seq: 10, readKey: entryKey(10), kind: 9 },
      });
      expect(catalog.nodeFacts({ ...LOG, writer: 'w7' })).toBeNull();
    });

    it('a proven hole is no hole; a proof of timelines that do not follow each other is nothing', async () => {
      await log.append(closed(50n, { reason: 'rewrite-unobserved' }));
      await log.append(opened({ timeline: 't2', previous: 't1', reason: 'rewrite-unobserved' }));
      await log.append(snapshot(0n, { timeline: 't2', backup: 'bk_2', from: T0 + 20 }));
      await log.append(heartbeat(0n, { timeline: 't2', provenTo: T0 + 30 }));
      await log.append(proven({ closed: 't0', opened: 't1' }));
      await syncTest(catalog, store);
      const { holes } = catalog.windows(iid);
      expect(holes).toEqual([{ from: T0 + 4, to: T0 + 19, reason: 'rewrite-unobserved' }]);
      await log.append(proven());
      await syncTest(catalog, store);
      expect(catalog.timelines(iid).map(({ joined }) => joined)).toEqual([false, true]);
      expect(catalog.windows(iid)).toMatchObject({
        ranges: [
          { timeline: 't1', from: T0, to: T0 + 19 },
          { timeline: 't2', from: T0 + 20, to: T0 + 30 },
        ],
        holes: [],
      });
    });

    it('gives the node facts in force at an instant, and before the first ones those', async () => {
      for (const second of [10, 20]) {
        await log.append(nodeFacts({ atMs: START_MS + second * 1000 }));
      }
      await syncTest(catalog, store);
      const takenAt = (ms: number | null): number =>
        (catalog.nodeFacts(LOG, ms === null ? null : START_MS + ms)?.takenMs ?? 0) - START_MS;
      expect([-1, 6, 9_999, 10_000, 19_999, 20_000, null].map(takenAt)).toEqual([
        6, 6, 6, 10_000, 10_000, 20_000, 20_000,
      ]);
    });

    it('computes windows from snapshots and proven seconds; holes have their reasons', async () => {
      await log.append(closed(50n, { reason: 'aof-off', provenTo: T0 + 4 }));
      await log.append(
        opened({ timeline: 't2', previous: 't1', reason: 'aof-off', atMs: START_MS - 9000 }),
      );
      await log.append(snapshot(0n, { backup: 'bk_2', timeline: 't2', from: T0 + 10 }));
      await syncTest(catalog, store);
      expect(catalog.windows(iid).latest).toBe(T0 + 4);
      await log.append(heartbeat(0n, { timeline: 't2', provenTo: T0 + 12 }));
      await syncTest(catalog, store);
      expect(catalog.windows(iid)).toEqual({
        ranges: [
          { from: T0, to: T0 + 4, timeline: 't1' },
          { from: T0 + 10, to: T0 + 12, timeline: 't2' },
        ],
        holes: [{ from: T0 + 5, to: T0 + 9, reason: 'aof-off' }],
        earliest: T0,
        latest: T0 + 12,
      });
      expect(catalog.timelines(iid)).toMatchObject([
        { timeline: 't1', closed: { reason: 'aof-off', detail: 'the archiver was away' } },
        { timeline: 't2', closed: null, previous: 't1' },
      ]);
    });

    it('asks for a shard where there are several', async () => {
      await openTestInstance(store, { iid, shard: 's1', writer: 'w2' });
      await syncTest(catalog, store);
      expect(() => catalog.windows(iid)).toThrow(/has 2 shards/);
      expect(catalog.windows(iid, 's0').latest).toBe(T0 + 3);
      expect(catalog.windows(iid, 's1').latest).toBeNull();
    });
  });

  it('builds the same from the store alone after it was cleared', async () => {
    await writeTimeline(log);
    await syncTest(catalog, store);
    await log.append(closed(50n));
    await syncTest(catalog, store);
    const before = dumpCatalog(catalog);
    catalog.clear();
    expect(catalog.instances()).toEqual([]);
    await syncTest(catalog, store);
    expect(dumpCatalog(catalog)).toEqual(before);
  });

  it('refuses a second timeline of the same name', async () => {
    const other = { iid: 'second', shard, writer: 'w9' };
    const twin = await openTestInstance(store, other);
    await log.append(opened());
    await twin.append(opened());
    const error = await rejection(syncTest(catalog, store, [iid, 'second']));
    expect(error).toMatchObject({ code: 'TM_LOG_STATE', context: { timeline: 't1' } });
  });

  it('refuses an entry that breaks the rules though it is signed', async () => {
    const entry = { log: LOG, seq: 1, predecessor: log.state.digest, logKey: LOG_KEY };
    const deposed = encodeLogEntry({ ...entry, generation: 7, event: opened() });
    store.tamper(entryKey(1), deposed.bytes);
    expect(await rejection(syncTest(catalog, store))).toMatchObject({
      code: 'TM_LOG_STATE',
      context: { seq: 1 },
    });
  });
});
