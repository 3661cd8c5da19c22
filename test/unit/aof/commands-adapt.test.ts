import { describe, expect, it } from 'vitest';
import { adaptCommands, type AdaptCommandsOptions, type TargetDialect } from '@tidemark/aof';
import { bytesOf, collectBytes } from '@tidemark/core';
import { command, linesOf, log, split } from '../../support/command-log.ts';

const MIB = 1024 * 1024;
const T = 1_700_000_000_000;

const server = (
  product: 'redis' | 'valkey',
  versionNumber: number,
  more: Partial<TargetDialect> = {},
): TargetDialect => ({ product, versionNumber, databases: 16, commands: null, ...more });
const REDIS_60 = server('redis', 6_00_16);
const REDIS_62 = server('redis', 6_02_00);
const REDIS_70 = server('redis', 7_00_15);
const REDIS_74 = server('redis', 7_04_00);
const REDIS_80 = server('redis', 8_00_06);
const REDIS_86 = server('redis', 8_06_03);
const VALKEY_81 = server('valkey', 8_01_01);
const VALKEY_91 = server('valkey', 9_01_02);

async function adapt(chunks: readonly Buffer[], options: AdaptCommandsOptions): Promise<Buffer> {
  return collectBytes(adaptCommands(bytesOf(...chunks), options), 200 * MIB, () => new Error());
}

/** One command in, its lines out: in one chunk, and byte by byte. */
async function lines(line: string, target: TargetDialect): Promise<string[]> {
  const bytes = log(line);
  const whole = await adapt([bytes], { target });
  expect(await adapt(split(bytes, 1), { target })).toEqual(whole);
  return linesOf(whole);
}

/** One command that must be refused, in one chunk and byte by byte: nothing of it can run. */
async function refusal(line: string, target: TargetDialect): Promise<unknown> {
  const before = command('SET', 'before', '1');
  const bytes = Buffer.concat([before, log(line)]);
  const errors: unknown[] = [];
  for (const chunks of [[bytes], split(bytes, 1)]) {
    errors.push(await adapt(chunks, { target, offset: 100n }).catch((error: unknown) => error));
  }
  const [first, second] = errors as { code: string; context: { offset: bigint } }[];
  expect(second).toMatchObject({ code: first!.code, context: first!.context });
  expect(first!.context.offset).toBe(100n + BigInt(before.length));
  return first;
}

describe('adaptCommands() leaves as it is', () => {
  it.each<[string, TargetDialect]>([
    ['SET k v PXAT 1700000000000', REDIS_62],
    ['SET k v KEEPTTL', REDIS_60],
    ['SET k v EX 10', REDIS_60],
    ['SET k v IFEQ old', VALKEY_81],
    ['PEXPIREAT k 1700000000000 GT', REDIS_70],
    ['PEXPIREAT k 1700000000000', REDIS_60],
    ['HPEXPIREAT h 1700000000000 FIELDS 1 f', REDIS_74],
    ['HSETEX h KEEPTTL FIELDS 1 fnx xx', VALKEY_91],
    ['HGETDEL h FIELDS 1 f', VALKEY_91],
    ['XADD s 1-1 f v', REDIS_60],
    ['XADD s MAXLEN = 5 1-1 LIMIT 3', REDIS_60],
    ['XADD s NOMKSTREAM MAXLEN ~ 5 LIMIT 3 1-1 f v', REDIS_62],
    ['XADD s IDMP p i 1-1 f v', REDIS_86],
    ['XADD s MAXLEN = 5 LIMIT 3 1-1 f v', REDIS_70],
    ['XTRIM s MAXLEN = 5 LIMIT 100', REDIS_86],
    ['XTRIM s MINID = 5-0', REDIS_62],
    ['XGROUP SETID s g 0-1 ENTRIESREAD 4', REDIS_70],
    ['XGROUP CREATE s g 0-1 MKSTREAM', REDIS_60],
    ['LPOP l 3', REDIS_62],
    ['LPOP l', REDIS_60],
    ['ZADD z NX 1 a 2 b', REDIS_60],
    ['BITOP XOR d a b', REDIS_60],
    ['SELECT 15', REDIS_60],
    ['SWAPDB 0 15', REDIS_60],
    ['COPY a b DB 15 REPLACE', REDIS_70],
    ['EXEC', REDIS_70],
    ['PFCOUNT k', REDIS_70],
    ['EVAL return 0', REDIS_60],
    ['json.set k $ 1', REDIS_70],
    ['no.such.command k', REDIS_70],
  ])('%s', async (line, target) => {
    expect(await lines(line, target)).toEqual([line]);
  });

  it.each([1, 9, 1000])(
    'names that only the target itself knows: %i bytes a time',
    async (size) => {
      const asked: string[] = [];
      const options = {
        target: REDIS_70,
        knowsCommand: (name: string) => {
          asked.push(name);
          return Promise.resolve(name.startsWith('mod'));
        },
      };
      const good = log('Mod.Write k', 'SET a 1', 'mod.write k', 'mod.other k');
      expect(await adapt(split(good, size), options)).toEqual(good);
      expect(asked).toEqual(['mod.write', 'mod.other']);
      const offset = BigInt(good.length);
      const bad = Buffer.concat([good, log('NO.SUCH k', 'SET b 1')]);
      await expect(adapt(split(bad, size), options)).rejects.toMatchObject({
        code: 'TM_TARGET_COMMAND',
        context: { command: 'NO.SUCH', offset },
      });
    },
  );
});

describe('adaptCommands() puts in another form', () => {
  it.each<[string, TargetDialect, string[]]>([
    ['SET k v PXAT 1700000000000', REDIS_60, ['SET k v', `PEXPIREAT k ${T}`]],
    ['set k v xx exat 1700000000', REDIS_60, ['set k v xx', `PEXPIREAT k ${T}`]],
    ['SET k PXAT IFEQ PXAT', REDIS_70, ['SET k PXAT']],
    ['SET k v IFDEQ abc KEEPTTL', VALKEY_91, ['SET k v KEEPTTL']],
    ['PEXPIREAT k 1700000000000 GT', REDIS_62, [`PEXPIREAT k ${T}`]],
    ['MSETEX 2 a 1 a 2', REDIS_70, ['MSET a 1 a 2']],
    [
      'MSETEX 2 a 1 b 2 NX PXAT 1700000000000',
      REDIS_70,
      [`SET a 1 PXAT ${T}`, `SET b 2 PXAT ${T}`],
    ],
    ['MSETEX 1 a 1 EXAT 1700000000', REDIS_60, ['SET a 1', `PEXPIREAT a ${T}`]],
    ['MSETEX 2 a 1 b 2 KEEPTTL', VALKEY_81, ['SET a 1 KEEPTTL', 'SET b 2 KEEPTTL']],
    ['DELIFEQ k v', REDIS_80, ['DEL k']],
    ['HSETEX h FIELDS 2 a 1 b 2', REDIS_70, ['HSET h a 1 b 2']],
    ['HSETEX h KEEPTTL FIELDS 1 a 1', VALKEY_81, ['HSET h a 1']],
    [
      'HSETEX h FXX PXAT 1700000000000 FIELDS 2 a 1 b 2',
      REDIS_74,
      ['HSET h a 1 b 2', `HPEXPIREAT h ${T} FIELDS 2 a b`],
    ],
    ['HSETEX h NX FNX FIELDS 1 nx xx', REDIS_80, ['HSETEX h FIELDS 1 nx xx']],
    ['HGETDEL h FIELDS 2 a b', REDIS_74, ['HDEL h a b']],
    ['XADD s MAXLEN = 5 LIMIT 3 1-1 f v', REDIS_60, ['XADD s MAXLEN = 5 1-1 f v']],
    ['XADD s NOMKSTREAM MAXLEN 5 LIMIT 3 1-1 f v', REDIS_60, ['XADD s MAXLEN 5 1-1 f v']],
    [
      'XADD s KEEPREF MINID = 5-0 LIMIT 9 1-1 f v',
      VALKEY_91,
      ['XADD s MINID = 5-0 LIMIT 9 1-1 f v'],
    ],
    ['XTRIM s MAXLEN = 5 LIMIT 100', REDIS_60, ['XTRIM s MAXLEN = 5']],
    ['XGROUP SETID s g 0-1 ENTRIESREAD 4', REDIS_62, ['XGROUP SETID s g 0-1']],
    ['XGROUP CREATE s g 0-1 MKSTREAM ENTRIESREAD 4', REDIS_60, ['XGROUP CREATE s g 0-1 MKSTREAM']],
    ['XGROUP CREATECONSUMER s g c', REDIS_60, ['XREADGROUP GROUP g c STREAMS s 0']],
    ['XSETID s 5-0 ENTRIESADDED 9 MAXDELETEDID 1-0', REDIS_62, ['XSETID s 5-0']],
    ['LPOP l 3', REDIS_60, ['LTRIM l 3 -1']],
    ['RPOP l 3', REDIS_60, ['LTRIM l 0 -4']],
    ['LMOVE a b RIGHT LEFT', REDIS_60, ['RPOPLPUSH a b']],
    ['ZADD z GT CH 5 m', REDIS_60, ['ZADD z CH 5 m']],
    ['FLUSHALL SYNC', REDIS_60, ['FLUSHALL']],
    ['PING', REDIS_70, []],
    ['PUBLISH channel message', REDIS_70, []],
    ['SPUBLISH channel message', REDIS_60, []],
    ['REPLCONF GETACK *', REDIS_70, []],
    ['CLUSTER SETSLOT 1 NODE x', VALKEY_91, []],
    ['CLUSTER SYNCSLOTS CONF ASM-TASK x', REDIS_86, []],
  ])('%s', async (line, target, expected) => {
    const around = [`SET a ${line.length}`, 'INCR b'];
    const [first, second] = around.map((text) => log(text));
    const bytes = Buffer.concat([first!, log(line), second!]);
    const whole = linesOf(await adapt([bytes], { target }));
    expect(whole).toEqual([around[0], ...expected, around[1]]);
    expect(await lines(line, target)).toEqual(expected);
  });
});

describe('adaptCommands() refuses by name', () => {
  it.each<[string, TargetDialect, string, string]>([
    ['HPEXPIREAT h 1 FIELDS 1 f', REDIS_70, 'HPEXPIREAT', 'hash fields with an expiry'],
    ['HSETEX h PXAT 1 FIELDS 1 a 1', VALKEY_81, 'HSETEX', 'hash fields with an expiry'],
    ['HSETEX h KEEPTTL FIELDS 1 a 1', REDIS_74, 'HSETEX', 'redis 8.0 or valkey 9.0'],
    ['HSETEX h FIELDS 3 a 1', REDIS_70, 'HSETEX', 'not well formed'],
    ['HSETEX PXAT 5 FIELDS 1 a 1', VALKEY_91, 'HSETEX', 'without a key'],
    ['HSETEX PXAT 5 FIELDS 1 a 1', REDIS_74, 'HSETEX', 'without a key'],
    ['COPY a b', REDIS_60, 'COPY', 'needs redis 6.2 or valkey'],
    ['XDELEX s KEEPREF IDS 1 1-1', VALKEY_91, 'XDELEX', 'needs redis 8.2'],
    ['XADD s IDMP p i 1-1 f v', VALKEY_91, 'XADD', 'IDMP needs redis 8.6'],
    ['XADD s ACKED MAXLEN = 5 1-1 f v', REDIS_80, 'XADD', 'ACKED needs redis 8.2'],
    ['XTRIM s MINID = 5-0', REDIS_60, 'XTRIM', 'MINID needs redis 6.2'],
    ['FUNCTION LOAD code', REDIS_62, 'FUNCTION', 'needs redis 7.0'],
    ['LMOVE a b LEFT LEFT', REDIS_60, 'LMOVE', 'redis 6.2'],
    ['ZADD z GT 5 m 6 n', REDIS_60, 'ZADD', 'redis 6.2'],
    ['BITOP DIFF d a b', VALKEY_91, 'BITOP', 'redis 8.2'],
    ['EVAL return 0', REDIS_70, 'EVAL', 'redis 6.x'],
    ['TRIMSLOTS RANGES 1 0 5', REDIS_86, 'TRIMSLOTS', 'hash slots'],
    ['SFLUSH 0 5', REDIS_80, 'SFLUSH', 'hash slots'],
    ['CLUSTER SYNCSLOTS FINISH x', VALKEY_91, 'CLUSTER', 'slots'],
    ['CLUSTER FLUSHSLOT 1', VALKEY_91, 'CLUSTER', 'slots'],
  ])('%s', async (line, target, name, reason) => {
    expect(await refusal(line, target)).toMatchObject({
      code: 'TM_TARGET_COMMAND',
      context: { command: name, reason: expect.stringContaining(reason) as unknown },
    });
  });

  it.each(['SELECT 4', 'SELECT x', 'SWAPDB 0 4', 'MOVE k 4', 'COPY a b REPLACE DB 4'])(
    'a database that the target has not: %s',
    async (line) => {
      const target = { ...REDIS_70, databases: 4 };
      expect(await refusal(line, target)).toMatchObject({
        code: 'TM_TARGET_DATABASES',
        context: { command: line.split(' ')[0] },
      });
    },
  );

  it('what the target has renamed or does not know', async () => {
    const target = { ...REDIS_70, commands: ['set', 'del'] };
    expect(await refusal('FLUSHALL', target)).toMatchObject({
      code: 'TM_TARGET_COMMAND',
      context: { command: 'FLUSHALL' },
    });
  });
});

describe('adaptCommands() on payloads', () => {
  const options = (answer: Buffer | { refused: string } | null) => ({
    target: REDIS_70,
    adaptPayload: (payload: Buffer, holds: string) => {
      expect([holds, payload.toString()]).toEqual(['value', 'old payload']);
      return answer;
    },
  });
  const bytes = command('RESTORE', 'k', 5, 'old payload', 'ABSTTL');

  it('asks for each, and takes the answer', async () => {
    for (const chunks of [[bytes], split(bytes, 7)]) {
      const adapted = await adapt(chunks, options(Buffer.from('new')));
      expect(linesOf(adapted)).toEqual(['RESTORE k 5 new ABSTTL']);
      expect(await adapt(chunks, options(null))).toEqual(bytes);
      await expect(adapt(chunks, options({ refused: 'why' }))).rejects.toMatchObject({
        code: 'TM_TARGET_COMMAND',
        context: { command: 'RESTORE', reason: 'why', offset: 0n },
      });
    }
  });

  it('also for functions', async () => {
    const adaptPayload = (_: Buffer, holds: string): Buffer => Buffer.from(holds);
    const log = command('FUNCTION', 'RESTORE', 'payload', 'REPLACE');
    const adapted = await adapt([log], { target: REDIS_70, adaptPayload });
    expect(linesOf(adapted)).toEqual(['FUNCTION RESTORE functions REPLACE']);
  });

  it('of more than the decoder keeps of an argument', async () => {
    const payload = Buffer.alloc(3 * MIB, 'p');
    const large = command('RESTORE', 'k', 0, payload, 'REPLACE');
    let seen = 0;
    const adaptPayload = (whole: Buffer): Buffer => {
      seen = whole.equals(payload) ? whole.length : -1;
      return Buffer.from('new');
    };
    const adapted = await adapt(split(large, 65_536), { target: REDIS_70, adaptPayload });
    expect(linesOf(adapted)).toEqual(['RESTORE k 0 new REPLACE']);
    expect(seen).toBe(payload.length);
  });
});

describe('adaptCommands() on times that count from when a command ran', () => {
  /** The second command begins at 100. */
  const ranAt = (offset: bigint): number => T + Number(offset);

  it.each<[string, TargetDialect, string[]]>([
    ['EXPIRE k 5 XX', REDIS_70, [`PEXPIREAT k ${T + 5_100}`]],
    ['pexpire k 5', REDIS_60, [`PEXPIREAT k ${T + 105}`]],
    ['SETEX k 5 v', REDIS_60, ['SET k v', `PEXPIREAT k ${T + 5_100}`]],
    ['PSETEX k 5 v', REDIS_80, ['SET k v', `PEXPIREAT k ${T + 105}`]],
    ['SET k PX XX EX 5', REDIS_70, ['SET k PX XX', `PEXPIREAT k ${T + 5_100}`]],
    ['SET k v PX 5 NX', REDIS_60, ['SET k v NX', `PEXPIREAT k ${T + 105}`]],
    ['SET k v PXAT 5', REDIS_60, ['SET k v', 'PEXPIREAT k 5']],
    ['SET k v PXAT 5', REDIS_70, ['SET k v PXAT 5']],
    ['SET k v', REDIS_70, ['SET k v']],
    ['RESTORE k 5 payload', REDIS_60, [`RESTORE k ${T + 105} payload ABSTTL`]],
    ['RESTORE k 5 absttl REPLACE', REDIS_60, [`RESTORE k ${T + 105} absttl REPLACE ABSTTL`]],
    ['RESTORE k 0 payload REPLACE', REDIS_60, ['RESTORE k 0 payload REPLACE']],
    ['RESTORE k 5 payload REPLACE absttl', REDIS_60, ['RESTORE k 5 payload REPLACE absttl']],
  ])('%s', async (line, target, expected) => {
    const bytes = log(line);
    for (const size of [1, 1000]) {
      const adapted = await adapt(split(bytes, size), { target, ranAt, offset: 100n });
      expect(linesOf(adapted)).toEqual(expected);
    }
  });

  it.each(['EXPIRE k 5', 'SETEX k 5 v', 'SET k v EX 5', 'RESTORE k 5 payload'])(
    'refuses %s when that is not known',
    async (line) => {
      const options = { target: REDIS_60, ranAt: () => null, offset: 100n };
      await expect(adapt([log(line)], options)).rejects.toMatchObject({
        code: 'TM_TARGET_COMMAND',
        context: { offset: 100n, reason: expect.stringContaining('when it ran') as unknown },
      });
    },
  );
});

describe('adaptCommands() on large commands', () => {
  const value = Buffer.alloc(4 * MIB, 'v');

  it('holds nothing of one that goes as it is', async () => {
    const bytes = Buffer.concat([
      command('SET', 'k', value),
      command('XADD', 's', 'MAXLEN', '=', 5, '1-1', 'f', value),
      command('SELECT', 3),
    ]);
    const options = { target: REDIS_60, holdBytesMax: 1000 };
    expect((await adapt(split(bytes, 65_536), options)).equals(bytes)).toBe(true);
  });

  it('holds nothing of one that is left out', async () => {
    const around = [command('SET', 'a', 1), command('SET', 'b', 2)];
    const bytes = Buffer.concat([around[0]!, command('PUBLISH', 'channel', value), around[1]!]);
    const options = { target: REDIS_60, holdBytesMax: 1000 };
    expect(await adapt(split(bytes, 65_536), options)).toEqual(Buffer.concat(around));
  });

  it.each<[string, TargetDialect, TargetDialect]>([
    ['the server that wrote it', REDIS_70, REDIS_70],
    ['the other product', REDIS_70, VALKEY_81],
    ['an older server', REDIS_80, REDIS_62],
  ])('holds nothing of a SET with a time for %s', async (_, writer, target) => {
    const bytes = command('SET', 'k', value, 'PXAT', T);
    const options = { target, writer, holdBytesMax: 1000 };
    expect((await adapt(split(bytes, 65_536), options)).equals(bytes)).toBe(true);
  });

  it('changes one that may be held', async () => {
    const bytes = command('SET', 'k', value, 'PXAT', T);
    const adapted = await adapt(split(bytes, 65_536), { target: REDIS_60 });
    const expected = Buffer.concat([command('SET', 'k', value), command('PEXPIREAT', 'k', T)]);
    expect(adapted.equals(expected)).toBe(true);
  });

  it('refuses one that may have to change and is over the limit', async () => {
    const options = { holdBytesMax: MIB, offset: 7n };
    for (const [target, writer, bytes] of [
      [REDIS_60, REDIS_70, command('SET', 'k', value, 'PXAT', T)],
      [REDIS_80, REDIS_86, command('SET', 'k', value, 'IFEQ', 'old')],
      [REDIS_60, REDIS_70, command('XADD', 's', 'MAXLEN', '=', 5, 'LIMIT', 9, '1-1', 'f', value)],
    ] as const) {
      await expect(
        adapt(split(bytes, 65_536), { ...options, target, writer }),
      ).rejects.toMatchObject({
        code: 'TM_AOF_LIMIT',
        context: { offset: 7n, max: MIB },
      });
    }
  });
});

describe('adaptCommands()', () => {
  it('does not depend on where a command is cut', async () => {
    const bytes = log('LPOP l', 'SET k v', 'PEXPIREAT k 5', 'ZADD z 1 a', 'SELECT 3', 'FLUSHALL');
    for (let at = 1; at < bytes.length; at += 1) {
      const cut = [bytes.subarray(0, at), bytes.subarray(at)];
      expect(await adapt(cut, { target: REDIS_60 })).toEqual(bytes);
    }
  });

  it('shows every command as the log has it and names what it changed', async () => {
    const bytes = log('SELECT 3', 'PING', 'SET a 1 PXAT 5', 'SET b 2', 'LPOP l 2');
    const seen: number[] = [];
    const changed: string[] = [];
    await adapt(split(bytes, 9), {
      target: REDIS_60,
      onBatch: (batch) => {
        for (let row = 0; row < batch.count; row += 1) seen.push(batch.db[row]!);
      },
      onChange: (name) => changed.push(name),
    });
    expect(seen).toEqual([3, 3, 3, 3, 3]);
    expect(changed).toEqual(['ping', 'set', 'lpop']);
  });

  it('ends with an error within a transaction: the target would wait for its end', async () => {
    const before = log('SET a 1');
    const bytes = Buffer.concat([before, log('MULTI', 'SET b 2')]);
    for (const chunks of [[bytes], split(bytes, 1)]) {
      await expect(adapt(chunks, { target: REDIS_70, offset: 50n })).rejects.toMatchObject({
        code: 'TM_AOF_TRUNCATED',
        context: { offset: 50n + BigInt(before.length), within: 'transaction' },
      });
    }
    await expect(adapt([bytes, log('EXEC')], { target: REDIS_70 })).resolves.toHaveLength(
      bytes.length + log('EXEC').length,
    );
  });

  it('ends with an error within a command', async () => {
    const bytes = log('SET a 1');
    await expect(adapt([bytes.subarray(0, -3)], { target: REDIS_70 })).rejects.toMatchObject({
      code: 'TM_AOF_TRUNCATED',
    });
  });
});
