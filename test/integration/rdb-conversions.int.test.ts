import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { connectNode } from '@tidemark/client';
import { collectBytes } from '@tidemark/core';
import {
  dumpPayload,
  passRdb,
  type RdbEntry,
  type RdbSummary,
  rewriteRdb,
  type RewriteRdbOptions,
  scanRdbEntries,
} from '@tidemark/rdb';
import type { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { newestRdbVersion, rdbFormFor } from '../../services/restorer/src/target/rdb-support.ts';
import { comparableOf, countFacts } from '../support/matrix/comparable.ts';
import {
  type Capabilities,
  capabilitiesOf,
  MATRIX_SERVERS,
  matrixBinary,
  whyNoBinary,
} from '../support/matrix/matrix-server.ts';
import { writeTypeComplete } from '../support/matrix/type-complete.ts';
import { diffOracle, type Oracle, printable, readOracle } from '../support/oracle.ts';
import { inChunks } from '../support/pattern.ts';
import { mapKeys } from '../support/recorded-seconds.ts';
import { type RedisServer, startRedis } from '../support/redis-server.ts';
import { type ServerBinary, serverBinaries, serversRequired } from '../support/servers.ts';

/** `full`: with expiries of fields and functions, where the server has them. */
const DATASETS = ['common', 'full'] as const;

/** What a server wrote into its RDB file, and what it told of its data. */
interface Written {
  readonly bytes: Buffer;
  readonly summary: RdbSummary;
  readonly facts: Facts;
}

interface Facts {
  readonly oracle: Oracle;
  /** Scores of each sorted set by member: the digest counts them as text, which versions differ in. */
  readonly scores: ReadonlyMap<string, ReadonlyMap<string, number>>;
}

async function readFacts(client: Redis): Promise<Facts> {
  const oracle = await readOracle(client, { hashes: true });
  const scores = new Map<string, Map<string, number>>();
  for (const [db, { keys }] of oracle.databases) {
    await client.select(db);
    for (const [key, { type }] of keys) {
      if (type !== 'zset') continue;
      const flat = await client.zrangeBuffer(key, '0', '-1', 'WITHSCORES');
      const pairs = Array.from({ length: flat.length / 2 }, (_, i): [string, number] => [
        printable(flat[2 * i]!),
        scoreOf(flat[2 * i + 1]!.toString()),
      ]);
      scores.set(`${db} ${key}`, new Map(pairs));
    }
  }
  await client.select(0);
  return { oracle, scores };
}

const scoreOf = (text: string): number =>
  text === 'inf' ? Infinity : text === '-inf' ? -Infinity : Number(text);

/** Redis and Valkey from 7.2 on write the shortest text of a score. */
const SHORT_SCORES_FROM = 7_02_00;
/** Before 7.0 an expiry is read as what is left of it. */
const EXPIRY_TIME_FROM = 7_00_00;
const EXPIRY_SLACK_MS = 200;

/** What two servers both tell is the same. */
function expectSame(
  wanted: Written,
  found: Facts,
  source: Capabilities,
  target: Capabilities,
): void {
  const withFields = wanted.summary.fieldTtl;
  const told = comparableOf(source, target, withFields);
  const digests = source.version >= SHORT_SCORES_FROM === target.version >= SHORT_SCORES_FROM;
  const exact = Math.min(source.version, target.version) >= EXPIRY_TIME_FROM;
  const alike = (oracle: Oracle): Oracle => ({
    ...mapKeys(told(oracle), (facts) => ({
      ...facts,
      digest: digests || facts.type !== 'zset' ? facts.digest : null,
      expiryMs: exact ? facts.expiryMs : Math.min(facts.expiryMs, 0),
    })),
    ...(digests ? {} : { digest: null }),
  });
  expect(diffOracle(alike(wanted.facts.oracle), alike(found.oracle))).toEqual([]);
  expect(found.scores).toEqual(wanted.facts.scores);
  expect(countFacts(found.oracle)).toMatchObject({ types: 6, databases: 2 });
  if (exact) return;
  for (const [db, { keys }] of wanted.facts.oracle.databases) {
    for (const [key, { expiryMs }] of keys) {
      const other = found.oracle.databases.get(db)?.keys.get(key)?.expiryMs ?? NaN;
      expect(Math.abs(other - expiryMs)).toBeLessThan(EXPIRY_SLACK_MS);
    }
  }
}

async function write(binary: ServerBinary, dataset: (typeof DATASETS)[number]): Promise<Written> {
  await using server = await startRedis({ binary: binary.binary, aof: false });
  await using node = await connectNode({ host: '127.0.0.1', port: server.port });
  const can = capabilitiesOf(binary);
  const full = dataset === 'full';
  const options = {
    functions: full && can.functions ? 'lib' : null,
    fieldExpiry: full && can.fieldExpiry,
  };
  for (const db of [0, 9]) {
    await node.call('SELECT', db.toString());
    await writeTypeComplete(node, 'complete', options);
  }
  const client = await server.connect();
  if (full && can.idempotentStreams) {
    await client.call('XADD', 'idempotent', 'IDMP', 'producer', 'one', '*', 'a', '1');
  }
  await client.call('SAVE');
  const bytes = await readFile(join(server.dir, 'dump.rdb'));
  return { bytes, summary: await summaryOf(bytes), facts: await readFacts(client) };
}

async function summaryOf(bytes: Buffer): Promise<RdbSummary> {
  const found: RdbSummary[] = [];
  await collect(passRdb(inChunks(bytes, 65_536), (summary) => found.push(summary)));
  return found[0]!;
}

const collect = (source: AsyncIterable<Uint8Array>): Promise<Buffer> =>
  collectBytes(source, 1e9, () => new Error('too much'));

const rewrite = (bytes: Buffer, options: RewriteRdbOptions): Promise<Buffer> =>
  collect(rewriteRdb(inChunks(bytes, 65_536), options));

async function load(server: RedisServer, bytes: Buffer): Promise<Redis> {
  await server.stop();
  await writeFile(join(server.dir, 'dump.rdb'), bytes);
  await server.restart();
  return server.connect();
}

/** Writes every key by RESTORE, with what `dumpPayload` makes of its value. */
async function restoreAll(client: Redis, from: Written, can: Capabilities): Promise<void> {
  const { product } = from.summary;
  const target = { product: can.product, version: newestRdbVersion(serverOf(can)) };
  const entries: RdbEntry[] = [];
  for await (const batch of scanRdbEntries(inChunks(from.bytes, 65_536))) entries.push(...batch);
  await client.flushall();
  for (const { db, key, type, expiryMs, offset, bytes, valueOffset } of entries) {
    const value = from.bytes.subarray(valueOffset, offset + bytes);
    const payload = await collect(dumpPayload({ product, type }, inChunks(value, 10_000), target));
    await client.select(db);
    expect(await client.restore(key, expiryMs ?? 0, payload, 'ABSTTL')).toBe('OK');
  }
  await client.select(0);
}

const serverOf = ({ product, version }: Capabilities) => ({ product, versionNumber: version });

const SERVERS = serverBinaries();

for (const line of MATRIX_SERVERS.filter((name) => matrixBinary(name) === null)) {
  it.skipIf(!serversRequired())(`conversions: ${whyNoBinary(line)}`, () => {
    throw new Error(whyNoBinary(line));
  });
}

describe('RDB files of each server, converted for each other', () => {
  const written = new Map<string, Written>();

  beforeAll(async () => {
    for (const server of SERVERS) {
      for (const dataset of DATASETS) {
        written.set(`${server.name} ${dataset}`, await write(server, dataset));
      }
    }
  }, 60_000);

  describe.each(SERVERS)('loaded by $name', (binary) => {
    let target: RedisServer;
    const can = capabilitiesOf(binary);

    beforeAll(async () => {
      target = await startRedis({ binary: binary.binary, aof: false });
    });
    afterAll(async () => {
      await target[Symbol.asyncDispose]();
    });

    for (const source of SERVERS) {
      it.each(DATASETS)(`from ${source.name}: %s`, async (dataset) => {
        const from = written.get(`${source.name} ${dataset}`)!;
        const form = rdbFormFor(serverOf(can), from.summary);
        if (!form.loads) {
          // By name before anything is sent; and the conversion itself names the key's place.
          const lacksFields = from.summary.fieldTtl && !can.fieldExpiry;
          const lacksFunctions = from.summary.functions > 0 && !can.functions;
          expect(form.lacks).toBe(lacksFunctions ? 'functions' : 'expiries of hash fields');
          expect(lacksFields || lacksFunctions).toBe(true);
          const version = Math.min(can.functions ? 11 : 9, 11);
          const context = expect.objectContaining({
            offset: expect.any(Number) as number,
          }) as object;
          await expect(
            rewrite(from.bytes, { version, keepFunctions: !lacksFields }),
          ).rejects.toMatchObject({ code: 'TM_RDB_REWRITE', context });
          return;
        }
        const { version } = form;
        const bytes = await rewrite(from.bytes, version === null ? {} : { version });
        const loaded = await load(target, bytes);
        expectSame(from, await readFacts(loaded), capabilitiesOf(source), can);
        if (dataset === 'common') return;
        await restoreAll(loaded, from, can);
        expectSame(from, await readFacts(loaded), capabilitiesOf(source), can);
      });
    }
  });
});
