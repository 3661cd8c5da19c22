import { join } from 'node:path';
import { openCatalog, type Catalog } from '@tidemark/catalog';
import { keyHistory, restore, type RestoreEnvironment } from '@tidemark/restorer';
import { systemClock, systemRandom } from '@tidemark/system';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { syncTest } from '../../support/catalog-harness.ts';
import { CountingStore } from '../../support/counting-store.ts';
import { LevelHistory, TIMELINE } from '../../support/level-history.ts';
import { heartbeat, LOG, START_MS } from '../../support/log-events.ts';
import { MemoryCopies } from '../../support/memory-copies.ts';
import { diffOracle, readOracle } from '../../support/oracle.ts';
import { startRedis } from '../../support/redis-server.ts';
import { TempDir } from '../../support/temp-dir.ts';
import { restoreRequest } from '../../support/restore-request.ts';

const HOUR = 3_600;
const FIRST = Math.floor(START_MS / 1000);
/** Seconds up to the end of the hour in which the history begins. */
const TO_HOUR = HOUR - (FIRST % HOUR);
/**
 * How long a roll takes in hours that are over: what lies under a merged hour is read by nobody, so
 * they need not be captured second by second. With `TIDEMARK_WHOLE_DAY` all of the last day is.
 */
const COARSE = 1_200;
const WHOLE_DAY = process.env['TIDEMARK_WHOLE_DAY'] !== undefined;

type Command = readonly string[];

/** What is written at a second: one key every time, some that come and go, and a list. */
function writesAt(second: number): readonly Command[] {
  return [
    ['INCR', 'counter'],
    ['SET', `key:${second % 97}`, `written at ${second}`],
    ['RPUSH', `list:${Math.floor(second / HOUR) % 5}`, `${second}`],
    ...(second % 7 === 0 ? [['DEL', `key:${second % 89}`]] : []),
  ];
}

/** Captures until a second, merging as an archiver does; `fine` from this one on in 1 s rolls. */
async function captureUntil(history: LevelHistory, end: number, fine: number): Promise<void> {
  while (history.second < end) {
    const { second } = history;
    const rest = Math.max(1, fine - second);
    const seconds = second < fine ? Math.min(COARSE, rest, end - second) : 1;
    await history.roll(writesAt(second), seconds);
    if (history.second % 60 === 3 || second < fine) await history.look();
  }
  await history.look();
}

function environmentOf(
  history: LevelHistory,
  store: CountingStore,
  catalog: Catalog,
  stateDir: string,
): RestoreEnvironment {
  const { keys } = history;
  const signal = new AbortController().signal;
  const ports = { clock: systemClock, random: systemRandom, stateDir, signal };
  return { store, keys, catalog, ...ports, original: null, onProgress: () => undefined };
}

/** A week that ends with the worst second: its hour, ten minutes and minute are all unmerged. */
const END = FIRST + TO_HOUR + 7 * 24 * HOUR - 1;
/** Then everything is deleted, so that an empty snapshot is a right one. */
const LAST_DAY = END + 1 - 24 * HOUR;

async function captureWeek(dir: string): Promise<LevelHistory> {
  const history = await LevelHistory.open(dir, { copies: new MemoryCopies() });
  const fine = WHOLE_DAY ? LAST_DAY : END - HOUR + 1;
  await captureUntil(history, LAST_DAY - 1, fine);
  await history.roll([['FLUSHALL']]);
  await history.snapshotOfNothing('bk_day');
  await captureUntil(history, END, fine);
  return history;
}

describe('a week of segments of one second', () => {
  let dir: TempDir;
  let history: LevelHistory;
  beforeAll(
    async () => {
      dir = await TempDir.create();
      history = await captureWeek(dir.path);
    },
    WHOLE_DAY ? 3_600_000 : 600_000,
  );
  afterAll(() => dir[Symbol.asyncDispose]());

  it('is an hour, ten minutes, a minute or a second to an object', () => {
    const levels = history.log.rows.segments.map(({ header }) => header.level ?? 0);
    const count = (level: number): number => levels.filter((one) => one === level).length;
    expect([count(3), count(2), count(1)]).toEqual([7 * 24, 5, 9]);
    expect(count(0)).toBeGreaterThanOrEqual(58);
    expect(count(0)).toBeLessThan(62);
  });

  it('gives back its last day with at most 200 reads of the store, to the last write', async () => {
    using catalog = openCatalog({ path: ':memory:' });
    await syncTest(catalog, history.store);
    const store = new CountingStore(history.store);
    await using target = await startRedis();
    await using source = await startRedis();
    const report = await restore(
      restoreRequest(target.port, {
        instance: LOG.iid,
        point: { kind: 'second', second: END - 2 },
        ...{ verify: 'full', promote: true, allowFlush: false },
      }),
      environmentOf(history, store, catalog, dir.path),
    );
    expect(report.state).toBe('succeeded');
    // Keys, footers, verification and replay: everything that was asked of the store.
    expect(store.requests.put).toBe(0);
    expect(store.reads).toBeGreaterThan(24 + 5 + 9 + 58);
    expect(store.reads).toBeLessThanOrEqual(200);
    const told = await source.connect();
    const pipeline = told.pipeline();
    for (const { second, commands } of history.written()) {
      if (second < LAST_DAY || second > END - 2) continue;
      for (const [name = '', ...rest] of commands) pipeline.call(String(name), ...rest);
    }
    await pipeline.exec();
    const restored = await readOracle(await target.connect());
    expect(diffOracle(await readOracle(told), restored)).toEqual([]);
  });

  it('is shown, and a key of every hour of it found, with fewer than 2,000 reads', async () => {
    // As far behind a checkpoint as can be.
    const { log, clock } = history;
    while (log.state.seq % 1024 !== 1022) {
      const { end = 0n } = log.state.timeline ?? {};
      await log.append(heartbeat(end, { timeline: TIMELINE, atMs: clock.now++ }));
    }
    const store = new CountingStore(history.store);
    using catalog = openCatalog({ path: join(dir.path, 'catalog.db') });
    await syncTest(catalog, store);
    const { ranges } = catalog.windows(LOG.iid);
    expect(ranges).toEqual([{ from: FIRST, to: END - 2, timeline: TIMELINE }]);
    expect(store.reads).toBeLessThan(1_100);
    const window = { since: null, until: null };
    const search = { instance: LOG.iid, key: Buffer.from('counter'), db: 0, window };
    const environment = environmentOf(history, store, catalog, dir.path);
    let events = 0;
    for await (const batch of keyHistory({ ...search, snapshots: true }, environment)) {
      events += batch.length;
    }
    // Two of them are of the snapshots.
    expect(events).toBe(history.written().length + 2);
    expect(store.reads).toBeLessThan(2_000);
    // Once more: nothing is new, and little is asked.
    store.reset();
    await syncTest(catalog, store);
    expect(store.reads).toBeLessThan(20);
    expect(store.requests.list).toBe(0);
  });
});
