import { setTimeout as delay } from 'node:timers/promises';
import { compileSelector } from '@tidemark/selector';
import { systemClock, systemRandom } from '@tidemark/system';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { findCommands } from '../../../services/restorer/src/find/find-commands.ts';
import type {
  FoundCommand,
  KeyMatcher,
  SearchTotals,
} from '../../../services/restorer/src/find/found-command.ts';
import type { KeyEvent } from '../../../services/restorer/src/find/key-event.ts';
import { keyHistory } from '../../../services/restorer/src/find/key-history.ts';
import type { RestoreEnvironment } from '../../../services/restorer/src/run/environment.ts';
import { restoreIntoScratch } from '../../../services/restorer/src/scratch/scratch-server.ts';
import { buildAof } from '../../support/aof-run.ts';
import { ArchiverBench, INSTANCE, type RunningArchiver } from '../../support/archiver-run.ts';
import { CountingStore } from '../../support/counting-store.ts';
import { diffOracle, readOracle, type Oracle } from '../../support/oracle.ts';
import { patternBytes } from '../../support/pattern.ts';

let bench: ArchiverBench;
let archiver: RunningArchiver;
let redis: Redis;
/** What the server held right before the accidents. */
const before: Record<string, Oracle> = {};
/** When they happened, by the clock of the server: Unix milliseconds before and after. */
const ran: Record<string, readonly [number, number]> = {};

async function serverMs(): Promise<number> {
  const [seconds, micros] = await redis.time();
  return Number(seconds) * 1000 + Math.floor(Number(micros) / 1000);
}

async function accident(name: string, work: () => Promise<unknown>): Promise<void> {
  before[name] = await readOracle(redis);
  await delay(250); // a sample lies between what was read and what comes
  const from = await serverMs();
  await work();
  ran[name] = [from, await serverMs()];
  await delay(250);
}

/** A segment of which nobody wants to know. */
async function noise(): Promise<void> {
  const pipeline = redis.pipeline();
  for (let i = 0; i < 400; i++) pipeline.set(`noise:${String(i)}`, patternBytes(2_000, i));
  await pipeline.exec();
  await archiver.ask('roll');
}

beforeAll(async () => {
  buildAof();
  bench = await ArchiverBench.open();
  redis = await bench.server.connect();
  archiver = await bench.begin();
  await redis.hset('user:1', { name: 'ann', plan: 'gold' });
  await redis.multi().sadd('tags', 'a', 'b').set('cart:1', 'x').exec();
  await noise();
  await accident('hset', () => redis.hset('user:1', 'plan', ''));
  await noise();
  await accident('del', () => redis.multi().incr('n').del('cart:1', 'tags').exec());
  await redis.set('old', 'v');
  await redis.rename('old', 'new');
  await redis.move('new', 3);
  await noise();
  await redis.swapdb(0, 3);
  await redis.set('new', patternBytes(2_500_000)); // spans frames
  await redis.pexpire('new', 60);
  await noise();
  await delay(200);
  await redis.exists('new');
  await accident('flushall', () => redis.flushall());
  await redis.set('afterwards', '1');
  await archiver.ask('roll');
  await archiver.stop();
}, 60_000);

afterAll(async () => {
  redis.disconnect();
  await bench[Symbol.asyncDispose]();
});

async function within<T>(
  work: (environment: RestoreEnvironment, store: CountingStore) => Promise<T>,
): Promise<T> {
  return bench.withCatalog((catalog) => {
    const store = new CountingStore(bench.store);
    const environment = {
      ...{ store, keys: bench.keys, catalog, clock: systemClock, random: systemRandom },
      ...{ stateDir: bench.stateDir(), signal: new AbortController().signal },
      original: null,
      onProgress: () => undefined,
    };
    return work(environment, store);
  });
}

const OPEN = { since: null, until: null };

interface Found {
  readonly found: FoundCommand[];
  readonly totals: SearchTotals;
  readonly fetched: number;
}

function find(names: string, keys: KeyMatcher | null = null): Promise<Found> {
  return within(async (environment, store) => {
    const search = { instance: INSTANCE, names: new Set(names.split(' ')), keys, window: OPEN };
    const result = findCommands(search, environment);
    const found: FoundCommand[] = [];
    for await (const batch of result) found.push(...batch);
    return { found, totals: result.totals, fetched: store.bytesOf('/seg/') };
  });
}

function history(key: string): Promise<KeyEvent[]> {
  return within(async (environment) => {
    const search = {
      instance: INSTANCE,
      key: Buffer.from(key),
      db: null,
      window: OPEN,
      snapshots: false,
    };
    const events: KeyEvent[] = [];
    for await (const batch of keyHistory(search, environment)) events.push(...batch);
    return events;
  });
}

const onlyUser = compileSelector({
  ...{ include: [{ kind: 'glob', pattern: 'user:*' }], exclude: [], dbs: null, excludeDbs: [] },
  ...{ types: null, excludeTypes: [] },
});

/** The second is the right one, and `--before` gives the state that was read before it. */
async function expectFound(name: string, found: FoundCommand): Promise<void> {
  const [from, to] = ran[name]!;
  expect(found.notBeforeMs).toBeGreaterThan(from - 1_000);
  expect(found.notBeforeMs).toBeLessThanOrEqual(to);
  expect(found.notAfterMs).toBeGreaterThanOrEqual(from);
  expect(found.notAfterMs).toBeLessThan(to + 1_000);
  await within(async (environment) => {
    const point = { kind: 'before', offset: found.before, timeline: found.timeline } as const;
    await using scratch = await restoreIntoScratch({ instance: INSTANCE, point }, environment);
    const client = new Redis({ path: scratch.address.path! });
    try {
      expect(diffOracle(before[name]!, await readOracle(client))).toEqual([]);
    } finally {
      client.disconnect();
    }
  });
}

describe('an accident is found to its second, and the state before it restored', () => {
  it('FLUSHALL, reading hardly more than footers', async () => {
    const { found, totals, fetched } = await find('flushall');
    expect(found).toHaveLength(1);
    expect(totals.segmentsRead).toBe(1);
    expect(fetched).toBeLessThan(totals.logBytes / 3);
    await expectFound('flushall', found[0]!);
  });

  it('DEL within a transaction', async () => {
    const { found } = await find('del unlink');
    const accidental = found.find(({ keys }) => keys[0]?.key.toString() === 'cart:1')!;
    expect(accidental).toMatchObject({ keyCount: 2, db: 0 });
    expect(accidental.before).toBeLessThan(accidental.offset);
    await expectFound('del', accidental);
  });

  it('a bad HSET, by the pattern of its key', async () => {
    const { found, totals } = await find('hset', onlyUser);
    expect(found.map(({ argumentCount }) => argumentCount)).toEqual([5, 3]);
    expect(totals.segmentsRead).toBe(2);
    await expectFound('hset', found[1]!);
  });

  it('nothing is found, and nothing but footers read', async () => {
    const { found, totals } = await find('flushdb');
    expect(found).toEqual([]);
    expect(totals.segmentsRead).toBe(0);
  });
});

describe('the history of a key', () => {
  it('follows it through databases and other names', async () => {
    const events = await history('new');
    const log = events.map(({ did, db, command, other }) => [
      ...[db, command.toLowerCase(), did],
      ...(other === null ? [] : [other.key?.toString() ?? null, other.db]),
    ]);
    expect(log.slice(0, 7)).toEqual([
      [0, 'rename', 'rename from', 'old', 0],
      [0, 'move', 'move to', 'new', 3],
      [3, 'move', 'move from', 'new', 0],
      [0, 'swapdb', 'swapped', null, 3],
      [0, 'set', 'write'],
      [0, 'pexpireat', 'expire set'],
      [0, 'del', 'delete'],
    ]);
    expect(events[6]).toMatchObject({ expired: true });
    expect(log.slice(7)).toEqual([[0, 'flushall', 'flushed']]);
    const large = events[4]!;
    expect(large.bytes).toBeGreaterThan(2_500_000);
  });

  it('is short for a key that was never there', async () => {
    const events = await history('nobody');
    expect(events.map(({ did }) => did)).toEqual(['swapped', 'flushed']);
  });
});
