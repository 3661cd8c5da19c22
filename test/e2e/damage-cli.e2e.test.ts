import { randomBytes } from 'node:crypto';
import { readdir, readFile, rm, stat } from 'node:fs/promises';
import { constants, setPriority } from 'node:os';
import { join } from 'node:path';
import type { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { damageAtRandom, flipBit, type StoreDamage } from '../support/damage/store-damage.ts';
import { writeEveryType } from '../support/every-type.ts';
import { startRedis, type RedisServer } from '../support/redis-server.ts';
import { copyFolder, listStoreFiles, type StoreFile } from '../support/store-files.ts';
import { TempDir } from '../support/temp-dir.ts';
import { iso, Tidemark, type CliError } from '../support/tidemark-cli.ts';
import { chooseSeed, Dice } from '../support/workload.ts';

const RUNS = 200;
const LANES = 2;
/** It takes a minute on two free cores; it gives way to whatever runs beside it. */
const TIMEOUT_MS = 900_000;
/** Once in so many runs the damaged store is also adopted on a fresh machine. */
const ADOPT_ONCE_IN = 20;
const REAL_RESTORES = 10;
/** Sealed segments from here on are objects of their own. */
const OWN_OBJECT_BYTES = 300 * 1024;
/** Makes the segment that it is in the largest of those within log entries. */
const EARLY_BYTES = 40 * 1024;
const LARGE_BYTES = 6 * 1024 * 1024;
const CHUNK_BYTES = 1024 * 1024;

let tidemark: Tidemark;
let tiny: RedisServer;
let large: RedisServer;
let target: RedisServer;
let targetRedis: Redis;
let second: number;

beforeAll(async () => {
  [tidemark, tiny, large, target] = await Promise.all([
    Tidemark.init(),
    startRedis(),
    startRedis(),
    startRedis({ aof: false, config: { save: '3600 1' } }),
  ]);
  const [redis, largeRedis] = await Promise.all([tiny.connect(), large.connect()]);
  targetRedis = await target.connect();
  await writeEveryType(redis, () => randomBytes(12).toString('hex'), 'before');
  for (let done = 0; done < LARGE_BYTES; done += CHUNK_BYTES / 4) {
    await largeRedis.set(`large:${done}`, randomBytes(CHUNK_BYTES / 4));
  }
  await largeRedis.call('BGREWRITEAOF'); // its base is then what is restored
  while (/aof_rewrite_(in_progress|scheduled):1/.test(await largeRedis.info('persistence')));
  await tidemark.add('tiny', tiny);
  await tidemark.add('large', large);
  const archiver = await tidemark.serve();
  await redis.set('own-object', randomBytes(OWN_OBJECT_BYTES));
  await largeRedis.set('early', randomBytes(EARLY_BYTES));
  for (let i = 0; i < 4; i++) {
    await redis.set(`small:${i}`, randomBytes(300));
    await largeRedis.set(`small:${i}`, randomBytes(300));
    await new Promise((resolve) => setTimeout(resolve, 600));
  }
  second = Math.floor(Date.now() / 1000) - 1;
  await tidemark.untilProven('tiny', second);
  await tidemark.untilProven('large', second);
  expect(await archiver.stop()).toBe(0);
});

afterAll(async () => {
  for (const part of [tidemark, tiny, large, target]) await part[Symbol.asyncDispose]();
});

// Much work and no hurry: tests that run beside this one look at the clock.
setPriority(constants.priority.PRIORITY_BELOW_NORMAL);

describe('(e) damage of an archive, through the command line', () => {
  it(
    'refuses a restore 200 times, and names the object',
    async () => {
      const seed = chooseSeed('damage');
      const lanes = await Promise.all(
        Array.from({ length: LANES }, (_, lane) => runLane(seed + lane, RUNS / LANES)),
      );
      expect(lanes.flat()).toEqual([]);
    },
    TIMEOUT_MS,
  );

  it('leaves a running target as it was when everything is verified first', async () => {
    const dice = new Dice(chooseSeed('real restores'));
    await using lane = await openLane();
    const before = await stateOf(targetRedis);
    const read = lane.files.filter(({ key }) => !lane.facts.has(key));
    for (let i = 0; i < REAL_RESTORES; i++) {
      const damage = await damageAtRandom(read, dice);
      const error = await lane.restore(['--to', `redis://127.0.0.1:${target.port}`]);
      expect(wrongRefusal(error, damage)).toBeNull();
      expect(await stateOf(targetRedis), damage.what).toEqual(before);
      await damage.undo();
    }
    expect(before).toMatchObject({ keys: 0, role: 'master' });
    expect(await readdir(join(lane.tidemark.dir, 'state', 'restores')).catch(() => [])).toEqual([]);
  });

  it.each([
    ['snapshot', '/rdb/'],
    ['segment', '/log/'],
  ])(
    'empties the target when a %s turns out to be damaged while it is sent',
    async (kind, folder) => {
      await using lane = await openLane('large');
      const file = await largest(lane.files.filter(({ key }) => key.includes(folder)));
      const { size } = await stat(file.path);
      // By then some chunks of the snapshot are with the target, or all of it.
      const damage = await flipBit(file, size - (size >> 2));
      expect(size).toBeGreaterThan(kind === 'snapshot' ? 4 * CHUNK_BYTES : EARLY_BYTES);
      const before = await stateOf(targetRedis);
      const watch = watchTarget(await target.connect());
      const to = ['--to', `redis://127.0.0.1:${target.port}`, '--verify', 'stream'];
      const error = await lane.restore(to);
      const seen = await watch.stop();
      expect(wrongRefusal(error, damage)).toBeNull();
      expect(seen.attached, 'the target was a replica meanwhile').toBe(true);
      expect(seen.mastersWithData).toBe(0);
      expect(await stateOf(targetRedis)).toEqual(before);
    },
  );
});

/** A copy of the archive and a machine that has adopted it. */
interface Lane extends AsyncDisposable {
  readonly tidemark: Tidemark;
  readonly storeUrl: string;
  /** Objects of the instance, except the one whose loss only sets the archive back. */
  readonly files: readonly StoreFile[];
  /** Those of the node's facts, which a restore of the data alone does not read. */
  readonly facts: ReadonlySet<string>;
  /** A refused restore with a catalog that is built anew. */
  restore(flags: readonly string[]): Promise<CliError>;
}

async function openLane(instance = 'tiny'): Promise<Lane> {
  const temp = await TempDir.create('tidemark-lane-');
  const root = join(temp.path, 'store');
  await copyFolder(join(tidemark.dir, 'store'), root);
  const storeUrl = `file://${root}`;
  const adopted = await Tidemark.init(['--adopt', storeUrl, '--keyring', ring()]);
  const files = (await listStoreFiles(root)).filter(({ key }) =>
    new RegExp(`^v1/(instance|keys)/${instance}/`).test(key),
  );
  const log = files.filter(({ key }) => /\/0\/[^/]+\/log\//.test(key));
  return {
    tidemark: adopted,
    storeUrl,
    files: files.filter(({ key }) => key !== log.at(-1)?.key),
    facts: await factsAmong(log, files),
    restore: async (flags) => {
      await rm(join(adopted.dir, 'state'), { recursive: true, force: true });
      return refusal(adopted, ['restore', instance, '--at', iso(second), ...flags]);
    },
    [Symbol.asyncDispose]: async () => {
      await adopted[Symbol.asyncDispose]();
      await temp[Symbol.asyncDispose]();
    },
  };
}

/** The log entries that hold facts of the node, and data keys that nothing else is sealed with. */
async function factsAmong(
  log: readonly StoreFile[],
  files: readonly StoreFile[],
): Promise<ReadonlySet<string>> {
  const entries = await Promise.all(
    log.map(async ({ key, path }) => ({ key, text: await readFile(path, 'latin1') })),
  );
  const facts = entries.filter(({ text }) => text.includes('"NodeFactsStored"'));
  const others = entries.filter(({ text }) => !text.includes('"NodeFactsStored"'));
  const dataKeys = facts.flatMap(({ text }) =>
    [...text.matchAll(/"dekId":"([0-9a-f]{32})"/g)].map(([, id = '']) => id),
  );
  const own = dataKeys.filter((id) => !others.some(({ text }) => text.includes(id)));
  const keys = files.filter(({ key }) => own.some((id) => key.includes(`/${id}/`)));
  return new Set([...facts, ...keys].map(({ key }) => key));
}

/** Damages a copy of the archive again and again; sentences about what was not refused. */
async function runLane(seed: number, runs: number): Promise<string[]> {
  const dice = new Dice(seed);
  const escaped: string[] = [];
  await using lane = await openLane();
  for (let i = 0; i < runs; i++) {
    const damage = await damageAtRandom(lane.files, dice);
    const dryRun = ['--to', 'new', '--dry-run', '--verify', 'full'];
    let said = await lane.restore(dryRun);
    const unread = damage.keys.every((key) => lane.facts.has(key));
    if (said.exitCode === 0 && unread) said = await verifyRefusal(lane.tidemark);
    const wrong = [wrongRefusal(said, damage)];
    if (i % ADOPT_ONCE_IN === 0) wrong.push(await adoptDamaged(lane, damage));
    for (const sentence of wrong) if (sentence !== null) escaped.push(sentence);
    await damage.undo();
  }
  return escaped;
}

/** A fresh machine may adopt a store whose logs are whole; it is refused when they are not. */
async function adoptDamaged(lane: Lane, damage: StoreDamage): Promise<string | null> {
  await using temp = await TempDir.create('tidemark-adopt-');
  const flags = ['init', '--dir', temp.path, '--adopt', lane.storeUrl, '--keyring', ring()];
  const { code, err } = await lane.tidemark.run(...flags);
  if (code === 0) return null;
  const named = damage.keys.some((key) => err.includes(key));
  return named && (code === 14 || code === 12) ? null : `${damage.what}: init --adopt: ${err}`;
}

async function refusal(machine: Tidemark, args: readonly string[]): Promise<CliError> {
  const { code, out, err } = await machine.run(...args, '-o', 'json');
  const line = err.split('\n').findLast((text) => text.startsWith('{"error"'));
  const said = { code: '', exitCode: code ?? -1, message: out + err, hint: null, context: {} };
  return line === undefined ? said : (JSON.parse(line) as { readonly error: CliError }).error;
}

/** What `repo verify` ends with; the damaged objects stand in its document. */
async function verifyRefusal(machine: Tidemark): Promise<CliError> {
  const { out } = await machine.run('repo', 'verify', '-o', 'json');
  const error = await refusal(machine, ['repo', 'verify']);
  return { ...error, message: `${error.message} ${out}` };
}

/** Null when damage was refused as it should be; else what was said instead. */
function wrongRefusal(error: CliError, damage: StoreDamage): string | null {
  const ofKey = damage.keys.some((key) => key.startsWith('v1/keys/'));
  const refused = error.exitCode === 14 || (ofKey && error.exitCode === 12);
  if (refused && damage.keys.some((key) => error.message.includes(key))) return null;
  return `${damage.what}: exit ${error.exitCode} ${error.code} ${error.message}`;
}

interface TargetState {
  readonly keys: number;
  readonly role: string | undefined;
  readonly settings: unknown;
}

async function stateOf(client: Redis): Promise<TargetState> {
  const info = await client.info('replication');
  return {
    keys: await client.dbsize(),
    role: /role:(\w+)/.exec(info)?.[1],
    settings: await client.config('GET', '*'),
  };
}

/** Looks at a target all the time: a master that holds data would be a half result. */
function watchTarget(client: Redis): {
  stop(): Promise<{ readonly attached: boolean; readonly mastersWithData: number }>;
} {
  const seen = { attached: false, mastersWithData: 0 };
  const stop = new AbortController();
  const watching = (async () => {
    while (!stop.signal.aborted) {
      const info = await client.info();
      const master = info.includes('role:master');
      if (!master) seen.attached = true;
      if (master && /^db\d+:keys=/m.test(info)) seen.mastersWithData += 1;
    }
    client.disconnect();
  })();
  return {
    stop: async () => {
      stop.abort();
      await watching;
      return seen;
    },
  };
}

async function largest(files: readonly StoreFile[]): Promise<StoreFile> {
  const sizes = await Promise.all(
    files.map(async (file) => ({ file, size: (await stat(file.path)).size })),
  );
  const [found] = sizes.sort((a, b) => b.size - a.size);
  if (found === undefined) throw new Error('no such object');
  return found.file;
}

function ring(): string {
  return join(tidemark.dir, 'ring');
}
