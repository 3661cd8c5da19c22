import { describe, expect, it } from 'vitest';
import { rewriteCommandExpiry, type RewriteExpiryOptions } from '@tidemark/aof';
import { bytesOf, collectBytes, type ByteSource } from '@tidemark/core';
import { command, decodeChunks, linesOf, log, split } from '../../support/command-log.ts';

const MIB = 1024 * 1024;
const FAR = '253402300799999';
const FAR_FIELD = '70368744177663';
const T = 1_700_000_000_000;

async function rewrite(chunks: readonly Buffer[], options: RewriteExpiryOptions): Promise<Buffer> {
  return collectBytes(
    rewriteCommandExpiry(bytesOf(...chunks), options),
    100 * MIB,
    () => new Error(),
  );
}

const later =
  (ms: number) =>
  (expiryMs: number): number =>
    expiryMs + ms;
const persist = (): null => null;

/** One command in, its lines out: in one chunk, and byte by byte. */
async function lines(line: string, options: RewriteExpiryOptions): Promise<string[]> {
  const bytes = log(line);
  const whole = await rewrite([bytes], options);
  expect(await rewrite(split(bytes, 1), options)).toEqual(whole);
  return linesOf(whole);
}

describe('rewriteCommandExpiry() moves', () => {
  it.each([
    ['SET k v PXAT 1700000000000', 'SET k v PXAT 1700000000007'],
    ['SET k v XX pxat 1700000000000', 'SET k v XX pxat 1700000000007'],
    ['set k v EXAT 1700000000', 'set k v PXAT 1700000000007'],
    ['SET k PXAT PXAT 1700000000000', 'SET k PXAT PXAT 1700000000007'],
    ['PEXPIREAT k 1700000000000', 'PEXPIREAT k 1700000000007'],
    ['pexpireat k 1700000000000 GT', 'pexpireat k 1700000000007 GT'],
    ['EXPIREAT k 1700000000 NX', 'PEXPIREAT k 1700000000007 NX'],
    ['GETEX k EXAT 1700000000', 'GETEX k PXAT 1700000000007'],
    ['RESTORE k 1700000000000 x ABSTTL', 'RESTORE k 1700000000007 x ABSTTL'],
    [
      'RESTORE-ASKING k 1700000000000 x REPLACE ABSTTL',
      'RESTORE-ASKING k 1700000000007 x REPLACE ABSTTL',
    ],
    ['HPEXPIREAT k 1700000000000 FIELDS 1 f', 'HPEXPIREAT k 1700000000007 FIELDS 1 f'],
    ['HEXPIREAT k 1700000000 LT FIELDS 2 f g', 'HPEXPIREAT k 1700000000007 LT FIELDS 2 f g'],
    [
      'HSETEX k FNX PXAT 1700000000000 FIELDS 1 EX 5',
      'HSETEX k FNX PXAT 1700000000007 FIELDS 1 EX 5',
    ],
    ['HSETEX k FIELDS 1 PX PXAT EXAT 1700000000', 'HSETEX k FIELDS 1 PX PXAT PXAT 1700000000007'],
    ['HGETEX k EXAT 1700000000 FIELDS 1 f', 'HGETEX k PXAT 1700000000007 FIELDS 1 f'],
    ['MSETEX 2 a PXAT b EXAT EXAT 1700000000', 'MSETEX 2 a PXAT b EXAT PXAT 1700000000007'],
  ])('%s', async (line, expected) => {
    expect(await lines(line, { newExpiry: later(7) })).toEqual([expected]);
  });

  it('seconds to milliseconds even when both have as many digits', async () => {
    expect(await lines('EXPIREAT k 4000000000', { newExpiry: () => 1_234_567_890 })).toEqual([
      'PEXPIREAT k 1234567890',
    ]);
  });

  it('a time that would fall below 1 to 1, as 0 means none and less is refused', async () => {
    expect(await lines('PEXPIREAT k 5', { newExpiry: later(-100) })).toEqual(['PEXPIREAT k 1']);
  });
});

describe('rewriteCommandExpiry() removes', () => {
  it.each([
    ['SET k v PXAT 1700000000000', 'SET k v'],
    ['SET k v XX EXAT 1700000000', 'SET k v XX'],
    ['PEXPIREAT k 1700000000000 XX', 'PERSIST k'],
    ['EXPIREAT k 1700000000', 'PERSIST k'],
    ['GETEX k PXAT 1700000000000', 'GETEX k PERSIST'],
    ['RESTORE k 1700000000000 x ABSTTL REPLACE', 'RESTORE k 0 x REPLACE'],
    ['HPEXPIREAT k 1700000000000 NX FIELDS 2 f g', 'HPERSIST k FIELDS 2 f g'],
    ['HSETEX k PXAT 1700000000000 FIELDS 1 f v', 'HSETEX k FIELDS 1 f v'],
    ['HGETEX k PXAT 1700000000000 FIELDS 1 f', 'HGETEX k PERSIST FIELDS 1 f'],
    ['MSETEX 1 a v PXAT 1700000000000', 'MSETEX 1 a v'],
  ])('%s', async (line, expected) => {
    expect(await lines(line, { newExpiry: persist })).toEqual([expected]);
  });

  it('with guardFieldPersist a far expiry goes before each HPERSIST', async () => {
    const options = { newExpiry: persist, guardFieldPersist: true };
    expect(await lines('HPEXPIREAT k 1700000000000 NX FIELDS 2 f g', options)).toEqual([
      `HPEXPIREAT k ${FAR_FIELD} FIELDS 2 f g`,
      'HPERSIST k FIELDS 2 f g',
    ]);
    expect(await lines('hpersist k FIELDS 1 f', { ...options, newExpiry: later(0) })).toEqual([
      `HPEXPIREAT k ${FAR_FIELD} FIELDS 1 f`,
      'hpersist k FIELDS 1 f',
    ]);
  });

  it.each([
    ['PEXPIREAT k 1700000000000 GT', 'PEXPIREAT k 1699999999000'],
    ['pexpireat k 1700000000000 xx gt', 'pexpireat k 1699999999000'],
    ['EXPIREAT k 1700000000 NX', 'PEXPIREAT k 1699999999000'],
    ['PEXPIREAT k 1700000000000 LT', 'PEXPIREAT k 1699999999000'],
    // What was dead keeps its time, but not its condition.
    ['PEXPIREAT k 99 LT', 'PEXPIREAT k 99'],
    ['EXPIREAT k 1 XX', 'EXPIREAT k 1'],
    ['PEXPIREAT k 99', 'PEXPIREAT k 99'],
    ['HPEXPIREAT k 1700000000000 GT FIELDS 1 f', 'HPEXPIREAT k 1699999999000 FIELDS 1 f'],
    ['HEXPIREAT k 1 NX FIELDS 1 GT', 'HEXPIREAT k 1 FIELDS 1 GT'],
    ['HPEXPIREAT k 99 FIELDS 2 GT XX', 'HPEXPIREAT k 99 FIELDS 2 GT XX'],
    ['SET k v XX PXAT 1700000000000', 'SET k v XX PXAT 1699999999000'],
    [
      'HSETEX k FXX PXAT 1700000000000 FIELDS 1 f v',
      'HSETEX k FXX PXAT 1699999999000 FIELDS 1 f v',
    ],
  ])('leaves the condition of an expiry out where times change places: %s', async (line, is) => {
    const newExpiry = (at: number): number => (at > 99_000 ? at - 1_000 : at);
    expect(await lines(line, { newExpiry, dropConditions: true })).toEqual([is]);
  });

  it('leaves the condition out of a command that is too large to be held', async () => {
    const big = 'x'.repeat(200);
    const options = { newExpiry: later(0), dropConditions: true, holdBytesMax: 96 };
    const bytes = log(`HPEXPIREAT k 1700000000000 GT FIELDS 2 f ${big}`);
    expect(linesOf(await rewrite(split(bytes, 1), options))).toEqual([
      `HPEXPIREAT k 1700000000000 FIELDS 2 f ${big}`,
    ]);
  });

  it('keeps a condition that a writer logs with fields that did not meet it', async () => {
    const options = { newExpiry: later(7), dropConditions: true, logsUnmetFields: true };
    const [one, two] = [`HPEXPIREAT k ${T} GT FIELDS 1 f`, `HPEXPIREAT k ${T} GT FIELDS 2 f g`];
    expect(await lines(one, options)).toEqual([`HPEXPIREAT k ${T + 7} FIELDS 1 f`]);
    expect(await lines(two, options)).toEqual([`HPEXPIREAT k ${T + 7} GT FIELDS 2 f g`]);
    expect(await lines(`PEXPIREAT k ${T} GT`, options)).toEqual([`PEXPIREAT k ${T + 7}`]);
    const removing = { ...options, newExpiry: persist };
    expect(await lines(one, removing)).toEqual(['HPERSIST k FIELDS 1 f']);
    for (const line of [two, `HPEXPIREAT k ${T} XX FIELDS 2 f g`]) {
      await expect(rewrite([log(line)], removing)).rejects.toMatchObject({ code: 'TM_TTL_FIELDS' });
    }
    const dead = { ...removing, newExpiry: (at: number) => (at > T ? null : at) };
    await expect(rewrite([log(two)], dead)).rejects.toMatchObject({ code: 'TM_TTL_FIELDS' });
  });

  it('refuses a field a time that its server does not hold, and gives it to a key', async () => {
    const options = { newExpiry: later(1_000), fieldExpiryMax: T + 500 };
    expect(await lines(`PEXPIREAT k ${T}`, options)).toEqual([`PEXPIREAT k ${T + 1_000}`]);
    for (const line of [
      `HPEXPIREAT k ${T} FIELDS 1 f`,
      `HSETEX k PXAT ${T} FIELDS 1 f v`,
      `HGETEX k PXAT ${T} FIELDS 1 f`,
    ]) {
      await expect(rewrite([log(line)], options)).rejects.toMatchObject({
        ...{ code: 'TM_TTL_RANGE', context: { expiryMs: T, max: T + 500 } },
      });
    }
    const kept = { ...options, newExpiry: later(0) };
    expect(await lines(`HPEXPIREAT k ${T + 900} FIELDS 1 f`, kept)).toEqual([
      `HPEXPIREAT k ${T + 900} FIELDS 1 f`,
    ]);
  });

  it('leaves XX out of a kept expiry when the one before it may have been removed', async () => {
    const newExpiry = (expiryMs: number): number | null => (expiryMs > T ? null : expiryMs);
    expect(await lines('PEXPIREAT k 1700000000000 XX', { newExpiry })).toEqual([
      'PEXPIREAT k 1700000000000',
    ]);
    expect(await lines('PEXPIREAT k 1700000000000 XX', { newExpiry: later(0) })).toEqual([
      'PEXPIREAT k 1700000000000 XX',
    ]);
  });
});

describe('rewriteCommandExpiry() leaves', () => {
  const bytes = Buffer.concat([
    log('#TS:1700000000', 'SELECT 3', 'SET a v', 'SET a v KEEPTTL', 'SET a v IFEQ PXAT'),
    Buffer.from('*02\r\n$0003\r\nDEL\r\n$1\r\na\r\n'),
    log('#TS:1700000001', 'EXPIRE a 5', 'SET a v PX 5', 'RESTORE a 5 x', 'RESTORE a 0 x ABSTTL'),
    log('HSETEX k EX 5 FIELDS 1 f v', 'HSETEX k FIELDS 1 PXAT 1700000000000', 'UNKNOWN PXAT 5'),
    log('PEXPIREAT a', 'PEXPIREAT a x', 'SET a v PXAT', 'HPEXPIREAT k 5', 'HPERSIST k FIELDS 1 f'),
    command('SET', Buffer.from([0, 13, 10, 255]), '*2\r\n$7\r\nPERSIST\r\n'),
  ]);

  it('byte for byte what carries no absolute time, and counts the relative ones', async () => {
    for (const sizes of [[1], [7, 64], [bytes.length]]) {
      let relative = 0;
      const onRelative = (commands: number): number => (relative += commands);
      const out = await rewrite(split(bytes, ...sizes), { newExpiry: persist, onRelative });
      expect(out).toEqual(bytes);
      expect(relative).toBe(4);
    }
  });

  it('everything when no time changes', async () => {
    const timed = log('SET k v EXAT 1700000000', 'PEXPIREAT k 99 XX', 'RESTORE k 7 x ABSTTL');
    expect(await rewrite(split(timed, 5), { newExpiry: (ms) => ms })).toEqual(timed);
  });

  it('nothing behind: a torn end and a bad byte are errors', async () => {
    const torn = log('SET a b').subarray(0, 9);
    await expect(rewrite([torn], { newExpiry: persist })).rejects.toMatchObject({
      code: 'TM_AOF_TRUNCATED',
    });
    await expect(rewrite([Buffer.from('x')], { newExpiry: persist })).rejects.toMatchObject({
      code: 'TM_AOF_PROTOCOL',
      context: { offset: 0n },
    });
  });

  it('refuses an answer that is no time', async () => {
    const run = rewrite([log('PEXPIREAT k 5')], { newExpiry: () => Number.NaN });
    await expect(run).rejects.toMatchObject({ code: 'TM_USAGE' });
  });
});

describe('rewriteCommandExpiry() with commands over holdBytesMax', () => {
  const small = { holdBytesMax: 128 };
  const big = 'b'.repeat(500);
  const named = <Rest extends readonly unknown[]>(
    cases: readonly (readonly [string, ...Rest])[],
  ): [string, string, ...Rest][] =>
    cases.map(([line, ...rest]) => [line.replaceAll(big, '<500 bytes>'), line, ...rest]);
  const outOf = async (line: string, options: RewriteExpiryOptions, size = 50): Promise<string[]> =>
    linesOf(await rewrite(split(log('DEL x', line, 'DEL y'), size), options)).slice(1, -1);

  it.each(
    named([
      [`SET k ${big} PXAT 1700000000000`, [`SET k ${big} PXAT 1700000000007`]],
      [`SET k ${big} EXAT 1700000000`, [`SET k ${big} PXAT 1700000000007`]],
      [`SET k ${big} IFEQ ${big}`, [`SET k ${big} IFEQ ${big}`]],
      [
        `MSETEX 2 a ${big} b ${big} PXAT 1700000000000`,
        [`MSETEX 2 a ${big} b ${big} PXAT 1700000000007`],
      ],
      [
        `RESTORE k 1700000000000 ${big} ABSTTL`,
        [`RESTORE k 0 ${big} ABSTTL`, 'PEXPIREAT k 1700000000007'],
      ],
      [`RESTORE k 9 ${big} REPLACE`, [`RESTORE k 0 ${big} REPLACE`, 'PEXPIRE k 9']],
      [`RESTORE k 0 ${big}`, [`RESTORE k 0 ${big}`]],
      [
        `HSETEX k PXAT 1700000000000 FIELDS 1 f ${big}`,
        [`HSETEX k PXAT 1700000000007 FIELDS 1 f ${big}`],
      ],
      [
        `HPEXPIREAT k 1700000000000 FIELDS 2 f ${big}`,
        [`HPEXPIREAT k 1700000000007 FIELDS 2 f ${big}`],
      ],
      [`SET k ${big} PX 5`, [`SET k ${big} PX 5`]],
      [`RPUSH k ${big} PXAT 5`, [`RPUSH k ${big} PXAT 5`]],
      [`${big} k PXAT 5`, [`${big} k PXAT 5`]],
    ]),
  )('moves the time of %s', async (_, line, expected) => {
    for (const size of [1, 13, 50]) {
      expect(await outOf(line, { ...small, newExpiry: later(7) }, size)).toEqual(expected);
    }
  });

  it.each(
    named([
      [`SET k ${big} EXAT 1700000000`, [`SET k ${big} PXAT ${FAR}`, 'PERSIST k']],
      [
        `MSETEX 2 a ${big} b ${big} PXAT 1700000000000`,
        [`MSETEX 2 a ${big} b ${big} PXAT ${FAR}`, 'PERSIST a', 'PERSIST b'],
      ],
      [`RESTORE k 1700000000000 ${big} ABSTTL`, [`RESTORE k 0 ${big} ABSTTL`]],
      [`HSETEX k PXAT 1700000000000 FIELDS 1 f ${big}`, [`HSETEX k FIELDS 1 f ${big}`]],
      [`HPEXPIREAT k 1700000000000 XX FIELDS 2 f ${big}`, [`HPERSIST k FIELDS 2 f ${big}`]],
      [`HGETEX k PXAT 1700000000000 FIELDS 2 f ${big}`, [`HGETEX k PERSIST FIELDS 2 f ${big}`]],
    ]),
  )('removes the time of %s', async (_, line, expected) => {
    for (const size of [1, 13, 50]) {
      expect(await outOf(line, { ...small, newExpiry: persist }, size)).toEqual(expected);
    }
  });

  it.each(
    named([
      [`PEXPIREAT ${big} 5`, {}],
      [`RESTORE ${big} 5 x ABSTTL`, {}],
      [`GETEX ${big} PXAT 5`, {}],
      [`HSETEX k FIELDS 1 f ${big} PXAT 5`, {}],
      [`HPERSIST k FIELDS 1 ${big}`, { guardFieldPersist: true }],
      [`HPEXPIREAT k 5 FIELDS 1 ${big}`, { guardFieldPersist: true }],
      [`SET k ${big} PXAT 5 IFEQ ${big}`, {}],
    ]),
  )('refuses what cannot be changed in passing: %s', async (_, line, more) => {
    await expect(outOf(line, { ...small, ...more, newExpiry: persist })).rejects.toMatchObject({
      code: 'TM_AOF_LIMIT',
      context: { offset: BigInt(log('DEL x').length), max: 128 },
    });
  });

  it('streams a value of 512 MiB in constant memory and still changes its time', async () => {
    const chunk = Buffer.alloc(MIB, 'v');
    async function* source(): ByteSource & AsyncGenerator<Uint8Array> {
      yield await Promise.resolve(Buffer.from(`*5\r\n$3\r\nSET\r\n$1\r\nk\r\n$${512 * MIB}\r\n`));
      for (let index = 0; index < 512; index += 1) yield chunk;
      yield Buffer.from('\r\n$4\r\nPXAT\r\n$13\r\n1700000000000\r\n');
    }
    const before = process.memoryUsage().arrayBuffers;
    let most = 0;
    let bytes = 0;
    let tail = Buffer.alloc(0);
    for await (const out of rewriteCommandExpiry(source(), { newExpiry: persist })) {
      bytes += out.length;
      tail = Buffer.concat([tail, out]).subarray(-200);
      most = Math.max(most, process.memoryUsage().arrayBuffers);
    }
    const end = `\r\n$4\r\nPXAT\r\n$15\r\n${FAR}\r\n${command('PERSIST', 'k').toString()}`;
    expect(tail.toString().endsWith(`vvv${end}`)).toBe(true);
    expect(bytes).toBe(32 + 512 * MIB + end.length);
    expect(most - before).toBeLessThan(64 * MIB);
  });
});

describe('rewriteCommandExpiry() output', () => {
  it('comes in chunks of at least 16 KiB, but for the last', async () => {
    const many = log(...Array.from({ length: 5000 }, (_, index) => `SET k${index} v PXAT ${T}`));
    const sizes: number[] = [];
    const source = bytesOf(...split(many, 3000));
    for await (const chunk of rewriteCommandExpiry(source, { newExpiry: later(5) })) {
      sizes.push(chunk.length);
    }
    expect(Math.min(...sizes.slice(0, -1))).toBeGreaterThanOrEqual(16 * 1024);
    expect(sizes.reduce((sum, size) => sum + size, 0)).toBe(many.length);
  });

  it('keeps commands around a rewritten one in order and whole', async () => {
    const bytes = log('SET a 1', 'PEXPIREAT a 5', 'SET b 2', 'PEXPIREAT b 6', 'DEL c');
    for (const size of [1, 10, 30, 1000]) {
      const out = await rewrite(split(bytes, size), { newExpiry: persist });
      expect(decodeChunks([out]).commands.map(({ args }) => args.join(' '))).toEqual([
        'SET a 1',
        'PERSIST a',
        'SET b 2',
        'PERSIST b',
        'DEL c',
      ]);
    }
  });
});
