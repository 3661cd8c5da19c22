import { writerCheckpointKey, writerLogKey } from '@tidemark/archive';
import {
  findLogCut,
  KEPT_ROWS_MAX,
  openCatalog,
  type Catalog,
  type WriterLog,
} from '@tidemark/catalog';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { dumpCatalog, openTestInstance, syncTest } from '../../support/catalog-harness.ts';
import {
  closed,
  LOG,
  LOG_KEY,
  merged,
  nodeFacts,
  opened,
  proven,
  snapshot,
  START_MS,
  stepped,
  stored,
} from '../../support/log-events.ts';
import { buildRecord, MAGIC } from '../../support/log-builder.ts';
import { openTestLog } from '../../support/log-harness.ts';
import { MemoryStore } from '../../support/memory-store.ts';

const { iid, shard, writer } = LOG;
const entryKey = (seq: number): string => writerLogKey(iid, shard, writer, seq);
const checkpointKey = (seq: number): string => writerCheckpointKey(iid, shard, writer, seq);
const T0 = START_MS / 1000;

/** Appends segments of ten bytes each, one a second, to the open timeline. */
async function capture(log: WriterLog, count: number): Promise<void> {
  for (let i = 0; i < count; i++) {
    const { timeline = '', end = 0n } = log.state.timeline ?? {};
    const second = T0 + Number(end / 10n);
    const segment = { timeline, firstSecond: second, lastSecond: second };
    await log.append(stored(end, end + 10n, { segment, provenTo: second - 1 }));
  }
}

/** Two timelines with steps of the clock, snapshots, proofs, and merged segments of two levels. */
async function writeHistory(log: WriterLog): Promise<void> {
  await log.append(nodeFacts());
  await log.append(opened());
  await log.append(snapshot(0n, { from: T0 }));
  await capture(log, 20);
  await log.append(merged(0n, 100n, { segment: { firstSecond: T0, lastSecond: T0 + 9 } }));
  await log.append(stepped(200n));
  await capture(log, 5);
  await log.append(closed(250n, { reason: 'detached' }));
  await log.append(opened({ timeline: 't2', previous: 't1', reason: 'detached' }));
  await log.append(proven());
  await log.append(snapshot(0n, { timeline: 't2', backup: 'bk_2', from: T0 }));
  await capture(log, 120);
  const seconds = { timeline: 't2', firstSecond: T0, lastSecond: T0 + 59 };
  await log.append(merged(0n, 600n, { segment: seconds }));
  await log.append(nodeFacts({ atMs: START_MS + 9_000 }));
  await capture(log, 900);
  const hour = { timeline: 't2', level: 3, firstSecond: T0, lastSecond: T0 + 99 };
  await log.append(merged(0n, 1_000n, { segment: hour }));
  await capture(log, 30);
}

/** As `syncTest`, reading all entries. */
async function syncEvery(catalog: Catalog, store: MemoryStore): Promise<void> {
  const logKey = (): Promise<typeof LOG_KEY> => Promise.resolve(LOG_KEY);
  await catalog.sync({ store, instances: [iid], logKey, everyEntry: true });
}

async function dumpOf(
  store: MemoryStore,
  sync: (catalog: Catalog, store: MemoryStore) => Promise<unknown>,
): Promise<unknown> {
  using catalog = openCatalog({ path: ':memory:' });
  await sync(catalog, store);
  return dumpCatalog(catalog);
}

/** A checkpoint as the first release wrote it. */
function withoutRows(bytes: Buffer = Buffer.alloc(0)): Buffer {
  const json = bytes.toString('utf8', 64, 64 + bytes.readUInt32BE(12));
  const { rows: _, ...header } = JSON.parse(json) as Record<string, unknown>;
  const predecessor = bytes.toString('hex', 16, 48);
  return buildRecord({
    magic: MAGIC.checkpoint,
    header: Buffer.from(JSON.stringify(header)),
    predecessor,
  });
}

function reads(handle: { readonly calls: readonly { readonly op: string }[] }): number {
  return handle.calls.filter(({ op }) => op === 'get' || op === 'list').length;
}

describe('rows that a checkpoint keeps', () => {
  let store: MemoryStore;
  beforeAll(async () => {
    store = new MemoryStore();
    await writeHistory(await openTestInstance(store));
  }, 120_000);

  it('give the catalog that reading every entry gives', async () => {
    using whole = openCatalog({ path: ':memory:' });
    await syncEvery(whole, store);
    const handle = store.through();
    using quick = openCatalog({ path: ':memory:' });
    await syncTest(quick, handle);
    expect(dumpCatalog(quick)).toEqual(dumpCatalog(whole));
    const first = quick.segments('t2')[0];
    expect(first).toMatchObject({ level: 3, start: 0n, end: 1_000n, header: { level: 3 } });
    expect(reads(handle)).toBeLessThan(120);
    // The cut of a second lies in the merged segment that holds it.
    expect(quick.segmentForCut('t2', T0 + 50)).toMatchObject({ start: 0n, level: 3 });
    expect(quick.segmentForCut('t1', T0 + 12)).toMatchObject({ start: 130n, level: 0 });
  });

  it('of an archive without rows in its checkpoints are read in its entries', async () => {
    const whole = await dumpOf(store, syncEvery);
    const older = store.snapshot();
    older.tamper(checkpointKey(1_024), withoutRows(store.objects.get(checkpointKey(1_024))));
    expect(await dumpOf(older, syncTest)).toEqual(whole);
    // An archiver goes on from it, and knows that it does not know them all.
    const log = await openTestLog(older);
    expect(log.rows.base).toBe(1_024);
    expect(log.damagedCheckpoints).toEqual([]);
  });
});

describe('rows that are many', () => {
  let store: MemoryStore;
  let log: WriterLog;
  let stale: Catalog;
  let whole: unknown;
  beforeAll(async () => {
    store = new MemoryStore();
    log = await openTestInstance(store);
    await log.append(opened());
    await log.append(snapshot(0n, { from: T0 }));
    stale = openCatalog({ path: ':memory:' });
    await syncTest(stale, store);
    await capture(log, KEPT_ROWS_MAX + 2_100);
    whole = await dumpOf(store, syncEvery);
  }, 240_000);
  afterAll(() => stale.close());

  it('stay in the checkpoint in which they became many: later ones build on it', async () => {
    expect(log.rows.base).toBe(3_072);
    expect(log.rows.segments.length).toBeLessThan(1_200);
    const handle = store.through();
    using quick = openCatalog({ path: ':memory:' });
    await syncTest(quick, handle);
    expect(dumpCatalog(quick)).toEqual(whole);
    expect(reads(handle)).toBeLessThan(120);
  });

  it('bring a catalog that is far behind up to date with few reads', async () => {
    const handle = store.through();
    await syncTest(stale, handle);
    expect(dumpCatalog(stale)).toEqual(whole);
    expect(reads(handle)).toBeLessThan(120);
  });

  it('are read in the entries where the checkpoint that holds them was lost', async () => {
    const lossy = store.snapshot();
    lossy.tamper(checkpointKey(3_072), null);
    expect(await dumpOf(lossy, syncTest)).toEqual(whole);
  });

  it('are not missed where retention took the entries, and their checkpoint stands', async () => {
    const kept = store.snapshot();
    for (let seq = 0; seq <= 4_096; seq++) kept.tamper(entryKey(seq), null);
    const handle = kept.through();
    expect(await dumpOf(kept, (catalog) => syncTest(catalog, handle))).toEqual(whole);
    expect(reads(handle)).toBeLessThan(120);
  });

  it.each<[string, (bytes: Buffer) => Buffer | null]>([
    ['lost', () => null],
    ['damaged', (bytes) => bytes.fill(1, bytes.length >> 1, (bytes.length >> 1) + 1)],
  ])(
    'stop every reading where their checkpoint was %s and the entries are gone',
    async (_, hurt) => {
      for (const upTo of [3_071, 3_072, 3_500, 4_096]) {
        const lossy = store.snapshot();
        for (let seq = 0; seq <= upTo; seq++) lossy.tamper(entryKey(seq), null);
        const bytes = Buffer.from(store.objects.get(checkpointKey(3_072))!);
        lossy.tamper(checkpointKey(3_072), hurt(bytes));
        const gap = { code: 'TM_LOG_GAP', context: { iid, shard, writer } };
        await expect(dumpOf(lossy, syncTest), String(upTo)).rejects.toMatchObject(gap);
        await expect(dumpOf(lossy, syncEvery), String(upTo)).rejects.toMatchObject(gap);
      }
    },
  );

  it('stop every reading where the log is lost and only checkpoints are left', async () => {
    const lossy = store.snapshot();
    for (const key of lossy.keys().filter((one) => /\/log\/\d/.test(one) && one.includes(writer))) {
      if (!key.includes('/checkpoint/')) lossy.tamper(key, null);
    }
    lossy.tamper(checkpointKey(4_096), Buffer.from('no checkpoint'));
    await expect(dumpOf(lossy, syncTest)).rejects.toMatchObject({ code: 'TM_LOG_GAP' });
  });

  it('may be none where the log was cut at a checkpoint that kept none', async () => {
    const old = store.snapshot();
    const at = checkpointKey(2_048);
    old.tamper(at, withoutRows(store.objects.get(at)));
    for (const seq of [3_072, 4_096]) old.tamper(checkpointKey(seq), null);
    for (let seq = 0; seq <= 2_047; seq++) old.tamper(entryKey(seq), null);
    // The entry that it was written behind is still there: a cut goes up to it.
    await expect(dumpOf(old, syncTest)).rejects.toMatchObject({ code: 'TM_LOG_GAP' });
    old.tamper(entryKey(2_048), null);
    using catalog = openCatalog({ path: ':memory:' });
    await syncTest(catalog, old);
    expect(catalog.segments('t1')[0]?.object.seq).toBe(2_049);
  });

  it('keep the checkpoint that holds them, wherever the log is cut', async () => {
    const source = { store, iid, shard, writer, logKey: LOG_KEY };
    const needed = { bodies: null, any: null, lastSeq: log.state.seq };
    expect(await findLogCut(source, needed)).toEqual({ seq: 4_096, checkpoints: [3_072, 4_096] });
    const older = store.snapshot();
    older.tamper(checkpointKey(3_072), withoutRows(store.objects.get(checkpointKey(3_072))));
    const cut = await findLogCut({ ...source, store: older }, needed);
    expect(cut).toEqual({ seq: 4_096, checkpoints: [3_072, 4_096] });
    older.tamper(checkpointKey(3_072), null);
    const before = await findLogCut({ ...source, store: older }, needed);
    expect(before).toEqual({ seq: 2_048, checkpoints: [2_048] });
  });

  it('are written by the next owner where a killed one did not write its checkpoints', async () => {
    const killed = store.snapshot();
    const keys = [1_024, 2_048, 3_072, 4_096].map(checkpointKey);
    for (const key of keys) killed.tamper(key, null);
    const next = await openTestLog(killed);
    await next.claim({ ownerId: 'spool-a', takeOver: false });
    for (const key of keys) {
      // Not `toEqual`: of a mebibyte that takes seconds.
      expect(killed.objects.get(key)?.equals(store.objects.get(key) ?? Buffer.alloc(0))).toBe(true);
    }
    expect(next.rows).toEqual(log.rows);
  });
});
