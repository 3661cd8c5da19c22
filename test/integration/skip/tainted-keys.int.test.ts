import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { CommandDecoder } from '@tidemark/aof';
import fc from 'fast-check';
import type { Redis } from 'ioredis';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { SkipRange } from '../../../services/restorer/src/closure/skip-range.ts';
import { TaintedKeys, type TaintReport } from '../../../services/restorer/src/skip/tainted-keys.ts';
import { startRedis, type RedisServer } from '../../support/redis-server.ts';

const DATABASES = 3;

let server: RedisServer;
let redis: Redis;

beforeAll(async () => {
  const config = { save: '', appendfsync: 'always', databases: DATABASES.toString() };
  const rewrites = { 'auto-aof-rewrite-percentage': '0', 'aof-timestamp-enabled': 'no' };
  server = await startRedis({ config: { ...config, ...rewrites } });
  redis = await server.connect();
});
afterAll(async () => {
  redis.disconnect();
  await server[Symbol.asyncDispose]();
});

const key = fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j');
const db = fc.constantFrom('0', '1', '2');
const lasting = fc.oneof(
  fc.tuple(
    fc.constantFrom('SET', 'SADD', 'RPUSH', 'APPEND', 'GETSET'),
    key,
    fc.constantFrom('1', '2'),
  ),
  fc.tuple(fc.constantFrom('INCR', 'DEL', 'LPOP', 'SPOP', 'PERSIST', 'GETDEL'), key),
  fc.tuple(fc.constantFrom('RENAME', 'RENAMENX', 'COPY', 'SUNIONSTORE', 'SDIFFSTORE'), key, key),
  fc.tuple(fc.constantFrom('RPOPLPUSH', 'PFMERGE'), key, key),
  fc.tuple(fc.constant('COPY'), key, key, fc.constant('DB'), db, fc.constant('REPLACE')),
  fc.tuple(fc.constant('SMOVE'), key, key, fc.constantFrom('1', '2')),
  fc.tuple(fc.constant('MSETNX'), key, fc.constant('1'), key, fc.constant('2')),
  fc.tuple(fc.constant('BITOP'), fc.constant('OR'), key, key, key),
  fc.tuple(fc.constant('SORT'), key, fc.constantFrom('ALPHA', 'DESC'), fc.constant('STORE'), key),
  fc.tuple(
    fc.constant('SORT'),
    key,
    ...['BY', 'w', 'GET', '*', 'STORE'].map((one) => fc.constant(one)),
    key,
  ),
  fc.tuple(fc.constant('MOVE'), key, db),
  fc.tuple(fc.constant('SWAPDB'), db, db),
  fc.tuple(fc.constant('SELECT'), db),
);
const command = fc.oneof(
  { weight: 40, arbitrary: lasting },
  { weight: 1, arbitrary: fc.constantFrom(['FLUSHDB'], ['FLUSHALL']) },
);

/** What each database holds: type and value of each key, by `db/key`. */
async function dataset(): Promise<Map<string, string>> {
  const held = new Map<string, string>();
  for (let number = 0; number < DATABASES; number++) {
    await redis.select(number);
    const names = await redis.keys('*');
    const values = await Promise.all(names.map((name) => redis.dumpBuffer(name)));
    for (const [i, name] of names.entries()) {
      held.set(`${number.toString()}/${name}`, values[i]!.toString('latin1'));
    }
  }
  return held;
}

function logBytes(): Buffer {
  const name = readdirSync(server.aofDir).find((one) => one.endsWith('.incr.aof'));
  return readFileSync(join(server.aofDir, name ?? ''));
}

interface Logged {
  readonly offset: bigint;
  readonly words: readonly Buffer[];
}

function decode(log: Buffer): Logged[] {
  const commands: Logged[] = [];
  for (const batch of new CommandDecoder().push(log)) {
    for (let row = 0; row < batch.count; row++) {
      const at = batch.argAt[row]!;
      const words = Array.from({ length: batch.argc[row]! }, (_, i) =>
        Buffer.from(batch.data.subarray(batch.argStart[at + i], batch.argEnd[at + i])),
      );
      commands.push({ offset: batch.base + BigInt(batch.start[row]!), words });
    }
  }
  return commands;
}

/** Runs commands on an empty server; what fails does so as in a replay: the next one goes on. */
async function run(commands: readonly (readonly (string | Buffer)[])[]): Promise<void> {
  // So that the log selects the database anew, whatever it had selected.
  const pipeline = redis.pipeline().select(1).set('before', '1').select(0).flushall();
  for (const [name = '', ...args] of commands) pipeline.call(name.toString(), ...args);
  await pipeline.exec();
}

function analyse(log: Buffer, skip: SkipRange): TaintReport {
  const tainted = new TaintedKeys({ skip });
  for (const batch of new CommandDecoder().push(log)) tainted.push(batch);
  return tainted.report();
}

it('every key that differs without a command is told: it wrote it, or one that read its result', async () => {
  let differing = 0;
  await fc.assert(
    fc.asyncProperty(
      fc.array(command, { minLength: 20, maxLength: 80 }),
      fc.double({ min: 0, max: 0.999, noNaN: true }),
      fc.integer({ min: 0, max: 2 }),
      async (words, share, more) => {
        const begun = logBytes().length;
        await run(words);
        const whole = await dataset();
        const log = logBytes().subarray(begun);
        const commands = decode(log);
        const nameOf = ({ words: [name] }: Logged): string => name!.toString().toLowerCase();
        const emptied = commands.findIndex((one) => nameOf(one) === 'flushall');
        const can = commands.filter(
          (one, i) => i > emptied && !['select', 'multi', 'exec'].includes(nameOf(one)),
        );
        if (can.length === 0) return;
        const first = Math.floor(share * can.length);
        const from = can[first]!.offset;
        const to = can[Math.min(first + more, can.length - 1)]!.offset;
        const skipped = new Set(
          can.filter(({ offset }) => offset >= from && offset <= to).map(({ offset }) => offset),
        );
        await run(commands.filter(({ offset }) => !skipped.has(offset)).map((one) => one.words));
        const without = await dataset();
        const report = analyse(log, { from, to });
        const names = new Set(
          [...report.wrote.keys, ...report.readers.keys].map((one) => one.key.toString()),
        );
        const different = [...new Set([...whole.keys(), ...without.keys()])].filter(
          (name) => whole.get(name) !== without.get(name),
        );
        differing += different.length;
        if (report.wroteDatabases === 'all' || report.wroteDatabases.length > 0) return;
        for (const name of different) expect(names).toContain(name.split('/')[1]);
      },
    ),
    { numRuns: 150 },
  );
  expect(differing).toBeGreaterThan(30);
}, 60_000);
