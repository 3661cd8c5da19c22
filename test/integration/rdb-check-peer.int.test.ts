import type { TidemarkError } from '@tidemark/core';
import { type RdbCheck, RdbChecker } from '@tidemark/rdb';
import { describe, expect, it } from 'vitest';
import { damaged, withChecksum } from '../support/hostile/damage.ts';
import { CRAFTED_VALUES } from '../support/hostile/crafted-values.ts';
import { PACKED_STRINGS } from '../support/hostile/packed-strings.ts';
import { askChecker } from '../support/hostile/peer-checker.ts';
import { oldRdbs, realRdbs } from '../support/hostile/rdb-corpus.ts';
import { changeBetween } from '../support/hostile/reproduce.ts';
import { Seeded } from '../support/hostile/seeded.ts';
import {
  compareVerdicts,
  type Comparison,
  type Verdict,
  verdictOf,
} from '../support/hostile/verdicts.ts';
import { RdbBuilder } from '../support/rdb-builder.ts';
import {
  describeWithServer,
  findServer,
  type ServerBinary,
  serverBinaries,
} from '../support/servers.ts';
import { TempDir } from '../support/temp-dir.ts';

// TIDEMARK_SEED=n looks at others; what a failure tells is enough without it.
const SEED = Number(process.env['TIDEMARK_SEED'] ?? '11');

function check(bytes: Uint8Array): RdbCheck {
  const checker = new RdbChecker();
  checker.push(bytes);
  return checker.end();
}

/**
 * What a server's checker lets pass and we do not: nothing that a server writes.
 * The list is closed; a refusal for another reason fails the test.
 */
const REFUSED_BY_US: readonly (readonly [string, RegExp, string])[] = [
  ['TM_RDB_TRAILING', /./, 'bytes after the end, at which a server does not look'],
  ['TM_RDB_LENGTH', /./, 'the mark of an integer or packed string where a length must stand'],
  [
    'TM_RDB_OPCODE',
    /second expiry|where a value type must/,
    'an expiry given twice, or without a key behind it',
  ],
  ['TM_RDB_MAGIC', /./, 'a version that is not all digits'],
  ['TM_RDB_LIMIT', /^database/, 'a database number over 32 bits'],
  [
    'TM_RDB_STRING',
    /claims to stand for none/,
    'a compressed string that claims to stand for no bytes',
  ],
];

/** Types of streams. */
const STREAMS: readonly unknown[] = [15, 19, 21, 26];
const MISCOUNTED = /entries that claims another|in a node that counts|where the header says/;

function reasonToRefuse(
  server: ServerBinary,
  { code, message, context }: TidemarkError,
): string | null {
  const miscounted = code === 'TM_RDB_VALUE' && STREAMS.includes(context['type']);
  if (miscounted && MISCOUNTED.test(message)) {
    return server.name === 'valkey 9.1' ? null : 'a stream that is miscounted';
  }
  return REFUSED_BY_US.find(([known, text]) => known === code && text.test(message))?.[2] ?? null;
}

/** Starting 2,200 processes takes minutes where much else runs. */
const MANY = { timeout: 600_000 };

/** The highest RDB version that a server reads. */
const VERSION_READ: Readonly<Record<string, number>> = {
  'redis 7.0': 10,
  'redis 8.0': 12,
  'redis 8.6': 13,
  'valkey 8.1': 11,
  'valkey 9.1': 80,
};

/** Only what the checker is too old for; of a value's content nothing. */
function reasonToAccept(server: ServerBinary, input: Uint8Array): string | null {
  const { product, version, minVersion } = check(input);
  const reads = VERSION_READ[server.name] ?? 99;
  const foreign = server.product === 'valkey' && version >= 12 && version < 80;
  const newer = version > reads || minVersion > reads || (product === 'valkey' && reads < 80);
  return newer || foreign ? 'newer than the checker' : null;
}

async function compare(
  server: ServerBinary,
  good: readonly Buffer[],
  damages: number,
): Promise<{ good: Comparison; bad: Comparison }> {
  const random = new Seeded(SEED);
  const bad: Buffer[] = [];
  const changes: string[] = [];
  for (let at = 0; at < damages; at += 1) {
    const whole = random.pick(good);
    const one = damaged(whole, random);
    bad.push(at % 2 === 0 ? one : withChecksum(one));
    const checksum = at % 2 === 0 ? '' : ', then the checksum was put right';
    changes.push(`${server.name}, seed ${SEED}: ${changeBetween(whole, one)}${checksum}`);
  }
  await using dir = await TempDir.create();
  const peer = await askChecker(server.checkRdb, [...good, ...bad], dir.path);
  const accepted = (input: Uint8Array): string | null => reasonToAccept(server, input);
  const refused = (fault: TidemarkError): string | null => reasonToRefuse(server, fault);
  const reasons = { refused, accepted };
  const ours = (inputs: readonly Buffer[]): Verdict[] =>
    inputs.map((bytes) => verdictOf(() => check(bytes)));
  return {
    good: compareVerdicts(good, ours(good), peer.slice(0, good.length), reasons),
    bad: compareVerdicts(bad, ours(bad), peer.slice(good.length), {
      ...reasons,
      about: (at) => changes[at] ?? '',
    }),
  };
}

/** Each of the compressed strings as value, as key and as AUX field, in a file of its own. */
async function comparePacked(server: ServerBinary): Promise<void> {
  const files = PACKED_STRINGS.flatMap(({ bytes }) => [
    new RdbBuilder({ version: 9 }).selectDb(0).entry({ key: 'k', value: bytes }).build(),
    new RdbBuilder({ version: 9 }).selectDb(0).entry({ key: '', keyBytes: bytes }).build(),
    new RdbBuilder({ version: 9 }).aux('ab', bytes).selectDb(0).build(),
  ]);
  await using dir = await TempDir.create();
  const peer = await askChecker(server.checkRdb, files, dir.path);
  const ours = files.map((bytes) => verdictOf(() => check(bytes)) === null);
  const found = PACKED_STRINGS.map(({ name }, at) => ({
    name,
    server: peer.slice(3 * at, 3 * at + 3),
    tidemark: ours.slice(3 * at, 3 * at + 3),
  }));
  const thrice = (verdict: boolean): boolean[] => [verdict, verdict, verdict];
  expect(found).toEqual(
    PACKED_STRINGS.map(({ name, server, tidemark }) => ({
      name,
      server: thrice(server),
      tidemark: thrice(tidemark),
    })),
  );
}

const oneValue = (type: number, value: Buffer, version: number): Buffer =>
  new RdbBuilder({ version }).selectDb(0).entry({ key: 'k', type, value }).build();

/** Each of the crafted values that the server has the type of, in a file of its own. */
async function compareCrafted(server: ServerBinary): Promise<void> {
  const version = Math.min(VERSION_READ[server.name] ?? 9, 13);
  const known = CRAFTED_VALUES.filter(
    ({ type }) => type === 15 || (server.product === 'redis' && version >= (type === 26 ? 13 : 12)),
  );
  const files = known.map(({ type, value }) => oneValue(type, value, type === 15 ? 9 : version));
  await using dir = await TempDir.create();
  const peer = await askChecker(server.checkRdb, files, dir.path);
  const newest = server.name === 'valkey 9.1';
  expect(known.map(({ name }, at) => ({ name, accepted: peer[at] }))).toEqual(
    known.map(({ name, refused }) => ({
      name,
      accepted: refused === 'nobody' || (refused === 'newest' && !newest),
    })),
  );
  expect(files.map((bytes) => verdictOf(() => check(bytes)) === null)).toEqual(
    known.map(({ refused }) => refused === 'nobody'),
  );
}

const total = (counts: Readonly<Record<string, number>>): number =>
  Object.values(counts).reduce((sum, count) => sum + count, 0);

describe('rdb check says what the checker of the server says', () => {
  const onPath = serverBinaries().find(({ checkRdb }) => checkRdb === 'redis-check-rdb');

  it('of compressed strings that miss what they claim, unless they claim nothing', async () => {
    if (onPath === undefined) throw new Error('redis-check-rdb is not on the PATH');
    await comparePacked(onPath);
  });

  it('of values at the edge of what servers load', async () => {
    if (onPath === undefined) throw new Error('redis-check-rdb is not on the PATH');
    await compareCrafted(onPath);
  });

  it('of 200 good files and 2,000 damaged ones, half with a right checksum', MANY, async () => {
    if (onPath === undefined) throw new Error('redis-check-rdb is not on the PATH');
    const good = [...(await realRdbs(150, SEED - 4, { functions: true })), ...oldRdbs()];
    const old = findServer('redis', '6.0');
    good.push(
      ...(await realRdbs(200 - good.length, SEED - 3, old === null ? {} : { binary: old.binary })),
    );
    const found = await compare(onPath, good, 2000);
    expect(found.good).toMatchObject({ bothAccept: 200, bothRefuse: 0, unexplained: [] });
    const { bad } = found;
    expect(bad.unexplained).toEqual([]);
    const explained = total(bad.onlyWeRefuse) + total(bad.onlyWeAccept);
    expect(bad.bothAccept + bad.bothRefuse + explained).toBe(2000);
    expect(explained).toBeLessThan(20);
    // Hash seeds and clocks differ from run to run, and so, a little, what a damage hits.
    expect(bad.bothRefuse).toBeGreaterThan(1500);
    expect(bad.bothAccept).toBeGreaterThan(100);
    for (const [code, least] of [
      ['TM_RDB_CHECKSUM', 100],
      ['TM_RDB_TRUNCATED', 200],
      ['TM_RDB_VALUE', 200],
      ['TM_RDB_STRING', 50],
      ['TM_RDB_LENGTH', 30],
      ['TM_RDB_TYPE', 20],
      ['TM_RDB_MAGIC', 2],
    ] as const) {
      expect(bad.codes[code], code).toBeGreaterThanOrEqual(least);
    }
  });
});

for (const [product, line] of [
  ['redis', '8.0'],
  ['redis', '8.6'],
  ['valkey', '8.1'],
  ['valkey', '9.1'],
] as const) {
  describeWithServer(product, line, 'rdb check says what the checker says', (server) => {
    it('of compressed strings that miss what they claim, unless they claim nothing', async () => {
      await comparePacked(server);
    });

    it('of values at the edge of what servers load', async () => {
      await compareCrafted(server);
    });

    it('of 40 good and 300 damaged files', async () => {
      const fieldTtl = product === 'redis' || line === '9.1';
      const good = await realRdbs(40, SEED - 2, {
        binary: server.binary,
        functions: true,
        fieldTtl,
      });
      const found = await compare(server, good, 300);
      expect(found.good).toMatchObject({ bothAccept: 40, unexplained: [] });
      expect(found.bad.unexplained).toEqual([]);
      expect(found.bad.bothRefuse).toBeGreaterThan(150);
      expect(found.bad.codes.TM_RDB_VALUE).toBeGreaterThan(10);
    });
  });
}
