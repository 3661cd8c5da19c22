import type { Redis } from 'ioredis';
import { describe, expect, it } from 'vitest';
import { dryRun, type TtlChoice, type Vanishing } from '@tidemark/restorer';
import { systemClock, systemRandom } from '@tidemark/system';
import { record, requestFor, restoreInto, type Act, type Recorded } from '../support/replay-run.ts';
import { startRedis, type RedisServer } from '../support/redis-server.ts';
import { describeWithServer, type ServerBinary } from '../support/servers.ts';

const HOUR_MS = 3_600_000;
const SECOND_MS = 1_000;

/** Expiries by name, Unix milliseconds, around the instant that a restore goes back to. */
type Times = Readonly<Record<string, number>>;

function timesAround(atMs: number): Times {
  return { dead: atMs - 500, edge: atMs, soon: atMs + 1, late: atMs + HOUR_MS, far: atMs + 1e11 };
}

/** A key with each expiry: in one value with it, or given it by one command or another. */
function writeKeys(prefix: string, times: Times): Act {
  return async (client) => {
    for (const [name, at] of Object.entries(times)) {
      const key = (how: string): string => `${prefix}:${how}:${name}`;
      const give = async (how: string, ...commands: (string | number)[][]): Promise<void> => {
        await client.set(key(how), how);
        for (const command of commands) await client.call('PEXPIREAT', key(how), ...command);
      };
      const [earlier, later] = [times['dead']! - 100, times['far']! + 100];
      await client.call('SET', key('set'), 'v', 'PXAT', at);
      await give('plain', [at]);
      await give('nx', [at, 'NX']);
      await give('xx', [earlier], [at, 'XX']);
      await give('gt', [earlier], [at, 'GT']);
      await give('lt', [later], [at, 'LT']);
      await client.set(key('getex'), 'v');
      await client.call('GETEX', key('getex'), 'PXAT', at);
      await client.call('SET', key('move'), 'v', 'PXAT', at);
      await client.rename(key('move'), key('moved'));
      await client.call('SET', key('keep'), 'v', 'PXAT', at);
      await client.call('SET', key('keep'), 'w', 'KEEPTTL');
      await client.restore(key('payload'), at, await client.dumpBuffer(key('set')), 'ABSTTL');
      await client.call('SET', key('gone'), 'v', 'PXAT', at);
      await client.del(key('gone'));
    }
    await client.set(`${prefix}:forever`, 'v');
  };
}

/** Hashes with a field for each expiry, given by one command or another, and one without. */
function writeFields(prefix: string, times: Times): Act {
  return async (client) => {
    const names = Object.keys(times);
    const all = Object.fromEntries([...names, 'none'].map((name) => [name, name]));
    const expire = (hash: string, ms: number, ...rest: (string | number)[]): Promise<unknown> =>
      client.call('HPEXPIREAT', `${prefix}:${hash}`, ms, ...rest);
    const [earlier, later] = [times['dead']! - 100, times['far']! + 100];
    for (const hash of ['plain', 'nx', 'xx', 'gt', 'lt', 'hgetex']) {
      await client.hset(`${prefix}:${hash}`, all);
    }
    for (const [name, at] of Object.entries(times)) {
      const one = ['FIELDS', 1, name];
      await expire('plain', at, ...one);
      await expire('nx', at, 'NX', ...one);
      await expire('xx', earlier, ...one);
      await expire('gt', earlier, ...one);
      await expire('lt', later, ...one);
      // Of two fields one does not meet the condition: it has no expiry.
      await expire('xx', at, 'XX', 'FIELDS', 2, 'none', name);
      await expire('gt', at, 'GT', 'FIELDS', 2, name, 'none');
      await expire('lt', at, 'LT', ...one);
      await client.call('HSETEX', `${prefix}:hsetex`, 'PXAT', at, 'FIELDS', 1, name, name);
      await client.call('HGETEX', `${prefix}:hgetex`, 'PXAT', at, 'FIELDS', 1, name);
    }
    await client.hset(`${prefix}:hsetex`, 'none', 'none');
    const payload = await client.dumpBuffer(`${prefix}:plain`);
    await client.restore(`${prefix}:payload`, times['late']!, payload, 'ABSTTL');
    const wide = Array.from({ length: 600 }, (_, i): [string, string] => [`f${i}`, `v${i}`]);
    await client.hset(`${prefix}:wide`, { ...Object.fromEntries(wide), ...all });
    for (const [name, at] of Object.entries(times)) await expire('wide', at, 'FIELDS', 1, name);
  };
}

/** Expiries that are there to be seen: of keys, and of fields as `key\0field`; -1 for none. */
async function readExpiries(client: Redis, fields: boolean): Promise<Map<string, number>> {
  const found = new Map<string, number>();
  for (const key of (await client.keys('*')).sort()) {
    const expiryMs = Number(await client.call('PEXPIRETIME', key));
    if (expiryMs === -2) continue; // expired between the two
    found.set(key, expiryMs);
    if (!fields || (await client.type(key)) !== 'hash') continue;
    const names = (await client.hkeys(key)).filter((name) => !/^f\d/.test(name));
    const times = await client.call('HPEXPIRETIME', key, 'FIELDS', names.length, ...names);
    for (const [i, name] of names.entries()) {
      found.set(`${key}\0${name}`, (times as number[])[i] ?? NaN);
    }
  }
  return found;
}

/** What a rule makes of an expiry; null when it is for the clock of the restore to say. */
function newExpiry(choice: TtlChoice, expiryMs: number, atMs: number, nowMs: number): number {
  if (expiryMs < 0 || expiryMs <= atMs || choice.mode === 'absolute') return expiryMs;
  if (choice.mode === 'persist') return -1;
  if (choice.mode === 'shift') return expiryMs + choice.byMs;
  return (choice.mode === 'rebase' ? choice.toMs : nowMs) + expiryMs - atMs;
}

interface Scene extends AsyncDisposable {
  readonly source: Recorded;
  readonly atMs: number;
  /** Every expiry as it was at that instant. */
  readonly wanted: ReadonlyMap<string, number>;
}

/** A history whose instant lies between the expiries of its keys, and is over. */
async function openScene(binary: string, fields: boolean): Promise<Scene> {
  // In the future while it is written: nothing expires on the source.
  const second = Math.floor(Date.now() / SECOND_MS) + 5;
  const atMs = second * SECOND_MS;
  const times = timesAround(atMs);
  const both =
    (prefix: string): Act =>
    async (client) => {
      await writeKeys(prefix, times)(client);
      if (fields) await writeFields(prefix, times)(client);
    };
  let wanted: ReadonlyMap<string, number> = new Map();
  const source = await record({
    ...{ binary, second, before: both('snapshot') },
    during: [
      async (client) => {
        await both('log')(client);
        wanted = await readExpiries(client, fields);
      },
    ],
  });
  if (Date.now() >= times['dead']!) throw new Error('the machine was too slow for this scene');
  await new Promise((resolve) => setTimeout(resolve, times['soon']! - Date.now() + 5));
  return { source, atMs, wanted, [Symbol.asyncDispose]: () => source[Symbol.asyncDispose]() };
}

async function restoreBy(
  scene: Scene,
  target: RedisServer,
  ttl: TtlChoice,
): Promise<{ readonly before: number; readonly forecast: Vanishing; readonly told: Vanishing[] }> {
  const { archive } = scene.source;
  const environment = {
    ...(await archive.environment()),
    ...{ clock: systemClock, random: systemRandom },
  };
  const told: Vanishing[] = [];
  const planned = await dryRun(requestFor(archive, target, { ttl, allowFlush: true }), environment);
  const before = Date.now();
  const report = await restoreInto(
    archive,
    target,
    { ttl, allowFlush: true },
    { onVanishing: (vanishing) => told.push(vanishing) },
  );
  expect(report.ttl).toBe(planned.ttl);
  expect([report.vanishing, report.vanishingBound]).toEqual([planned.vanishing, 'exact']);
  const { vanishing: count, vanishingBound: bound, vanishingSample: sample } = planned;
  return { before, forecast: { count, bound, sample }, told };
}

const CHOICES = (atMs: number): TtlChoice[] => [
  { mode: 'absolute' },
  { mode: 'remaining' },
  { mode: 'persist' },
  { mode: 'rebase', toMs: Date.now() + 2 * HOUR_MS },
  { mode: 'rebase', toMs: atMs - HOUR_MS / 2 },
  { mode: 'shift', byMs: 2 * HOUR_MS },
  // What lived for an hour expires before the instant itself: it is dead all the same.
  { mode: 'shift', byMs: -HOUR_MS - 2_000 },
];

function tests(server: ServerBinary, fields: boolean): void {
  it('get the expiry of their rule in every mode, and those that vanish are counted before', async () => {
    await using scene = await openScene(server.binary, fields);
    await using target = await startRedis({ binary: server.binary, aof: false });
    const client = await target.connect();
    const { atMs, wanted } = scene;
    const keysOf = [...wanted.keys()].filter((name) => !name.includes('\0'));
    expect(keysOf.length).toBe(2 * (10 * 5 + 1 + (fields ? 9 : 0)));
    for (const choice of CHOICES(atMs)) {
      if (choice.mode === 'persist' && fields && server.product === 'valkey') {
        // Valkey logs the field that did not meet the condition too.
        const refused = restoreInto(scene.source.archive, target, {
          ttl: choice,
          allowFlush: true,
        });
        await expect(refused).rejects.toMatchObject({ code: 'TM_TTL_FIELDS' });
        continue;
      }
      const { before, forecast, told } = await restoreBy(scene, target, choice);
      const found = await readExpiries(client, fields);
      // The instant of the plan is not told; whatever it was, it was one for all.
      const probe = found.get('log:set:far') ?? 0;
      const nowMs = choice.mode === 'remaining' ? probe - (wanted.get('log:set:far')! - atMs) : 0;
      if (choice.mode === 'remaining') {
        expect(nowMs).toBeGreaterThanOrEqual(before);
        expect(nowMs).toBeLessThanOrEqual(Date.now());
      }
      const ruled = [...wanted].map(([name, expiryMs]): [string, number] => [
        name,
        newExpiry(choice, expiryMs, atMs, nowMs),
      ]);
      // "soon" had a millisecond left, which has passed whatever the mode.
      const goneMs = choice.mode === 'remaining' ? nowMs + 1 : before;
      const isGone = (at: number | undefined): boolean =>
        at !== undefined && at >= 0 && at <= goneMs;
      const all = new Map(ruled);
      // Fields go with their key.
      const lives = ruled.filter(
        ([name, at]) => !isGone(at) && !isGone(all.get(name.split('\0', 1)[0] ?? '')),
      );
      expect([choice, [...found].sort()]).toEqual([choice, lives.sort()]);
      const gone = ruled.filter(([name, at]) => !name.includes('\0') && isGone(at));
      expect([choice, forecast.count, forecast.bound]).toEqual([choice, gone.length, 'exact']);
      expect(gone.map(([name]) => name)).toEqual(expect.arrayContaining([...forecast.sample]));
      expect(told.map(({ count }) => count)).toEqual([gone.length]);
      // What was dead stays dead in every mode.
      expect([...found.keys()].filter((name) => /:(dead|edge)$/.test(name))).toEqual([]);
    }
  });
}

describe('expiries', () => {
  describeWithServer('redis', '7.0', 'of keys, on', (server) => tests(server, false));
  describeWithServer('redis', '8.6', 'of keys and fields, on', (server) => tests(server, true));
  describeWithServer('valkey', '9.1', 'of keys and fields, on', (server) => tests(server, true));
});
