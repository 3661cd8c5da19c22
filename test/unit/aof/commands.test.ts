import { describe, expect, it } from 'vitest';
import {
  COMMANDS,
  CommandDecoder,
  KEY_EFFECT,
  argumentBytes,
  cutCommands,
  findCommand,
  isGlobalEffect,
  swappedDatabases,
  tapCommands,
  visitExpiries,
  visitKeys,
  type CommandBatch,
} from '@tidemark/aof';
import { bytesOf, collectBytes } from '@tidemark/core';
import { command, log, split } from '../../support/command-log.ts';

type EffectName = keyof typeof KEY_EFFECT;

/** The keys of the last command of a log as `db:key` with W, R or WR, and its effect. */
function keysOf(bytes: Buffer): { keys: string[]; effect: EffectName } {
  const [batch] = new CommandDecoder().push(bytes) as [CommandBatch];
  const keys: string[] = [];
  const effect = visitKeys(batch, batch.count - 1, (db, start, end, write, read) => {
    const key = batch.data.toString('latin1', start, end);
    keys.push(`${db}:${key} ${write ? 'W' : ''}${read ? 'R' : ''}`);
  });
  const names = Object.keys(KEY_EFFECT) as EffectName[];
  return { keys, effect: names.find((name) => KEY_EFFECT[name] === effect)! };
}

describe('findCommand()', () => {
  it('finds every command of the table in any case, and only whole names', () => {
    for (const [spec, { name }] of COMMANDS.entries()) {
      if (spec === 0) continue;
      for (const text of [name, name.toUpperCase()]) {
        expect(findCommand(Buffer.from(`(${text})`), 1, 1 + text.length)).toBe(spec);
      }
      expect(findCommand(Buffer.from(`${name}~`), 0, name.length + 1)).toBe(0);
    }
    expect(new Set(COMMANDS.map(({ name }) => name)).size).toBe(COMMANDS.length);
    expect(findCommand(Buffer.from('set'), 0, 0)).toBe(0);
  });
});

describe('visitKeys()', () => {
  const cases: readonly [string, readonly string[], EffectName][] = [
    ['INCR k', ['0:k WR'], 'single'],
    ['HSET k f v', ['0:k WR'], 'single'],
    ['XADD k 1-1 f v', ['0:k WR'], 'single'],
    ['XGROUP CREATE k g $ MKSTREAM', ['0:k WR'], 'single'],
    ['SET k v', ['0:k W'], 'single'],
    ['SET k v PXAT 5', ['0:k W'], 'single'],
    ['SET k v KEEPTTL', ['0:k WR'], 'single'],
    ['SET k v XX PXAT 5', ['0:k WR'], 'single'],
    ['SETEX k 5 v', ['0:k W'], 'single'],
    ['RESTORE k 0 x', ['0:k WR'], 'single'],
    ['RESTORE k 0 x ABSTTL replace', ['0:k W'], 'single'],
    ['DEL a', ['0:a W'], 'single'],
    ['UNLINK a b', ['0:a W', '0:b W'], 'multi'],
    ['RENAME a b', ['0:a WR', '0:b W'], 'multi'],
    ['RENAMENX a b', ['0:a WR', '0:b WR'], 'multi'],
    ['COPY a b', ['0:a R', '0:b WR'], 'multi'],
    ['COPY a b DB 3 REPLACE', ['0:a R', '3:b W'], 'multi'],
    ['MOVE a 4', ['0:a WR', '4:a WR'], 'multi'],
    ['SMOVE a b m', ['0:a WR', '0:b WR'], 'multi'],
    ['LMOVE a b LEFT RIGHT', ['0:a WR', '0:b WR'], 'multi'],
    ['SUNIONSTORE d a b', ['0:d W', '0:a R', '0:b R'], 'multi'],
    ['ZUNIONSTORE d 2 a b WEIGHTS 1 2', ['0:d W', '0:a R', '0:b R'], 'multi'],
    ['ZRANGESTORE d s 0 -1', ['0:d W', '0:s R'], 'multi'],
    ['GEOSEARCHSTORE d s FROMMEMBER m BYRADIUS 1 m', ['0:d W', '0:s R'], 'multi'],
    ['GEORADIUS s 1 1 1 km STORE a STOREDIST b', ['0:s R', '0:b W'], 'multi'],
    ['GEORADIUSBYMEMBER store m 1 km STORE d', ['0:store R', '0:d W'], 'multi'],
    ['SORT s LIMIT 0 1 DESC STORE d', ['0:s R', '0:d W'], 'multi'],
    ['SORT s BY nosort GET # STORE d', ['0:s R', '0:d W'], 'multi'],
    ['SORT s BY w_* STORE d', ['0:s R', '0:d W'], 'unknown'],
    ['SORT s GET h_*->f STORE d', ['0:s R', '0:d W'], 'unknown'],
    ['BITOP AND d a b', ['0:d W', '0:a R', '0:b R'], 'multi'],
    ['PFMERGE d', ['0:d WR'], 'single'],
    ['PFMERGE d a', ['0:d WR', '0:a R'], 'multi'],
    ['PFCOUNT a', ['0:a WR'], 'single'],
    ['PFCOUNT a b', ['0:a R', '0:b R'], 'multi'],
    ['MSET a 1 b 2', ['0:a W', '0:b W'], 'multi'],
    ['MSETNX a 1 b 2', ['0:a WR', '0:b WR'], 'multi'],
    ['MSETEX 2 a 1 b 2 PXAT 9', ['0:a W', '0:b W'], 'multi'],
    ['MSETEX 2 a 1 b 2 NX', ['0:a WR', '0:b WR'], 'multi'],
    ['LMPOP 2 a b LEFT', ['0:a WR', '0:b WR'], 'multi'],
    ['BLMPOP 0 2 a b LEFT', ['0:a WR', '0:b WR'], 'multi'],
    ['BLPOP a b 0', ['0:a WR', '0:b WR'], 'multi'],
    ['JSON.MSET a $ 1 b $ 2', ['0:a WR', '0:b WR'], 'multi'],
    ['CMS.MERGE d 2 a b', ['0:d WR', '0:a R', '0:b R'], 'multi'],
    ['EVAL code 1 k arg', ['0:k WR'], 'unknown'],
    ['FLUSHDB ASYNC', [], 'flushDb'],
    ['FLUSHALL', [], 'flushAll'],
    ['SWAPDB 0 1', [], 'swapDb'],
    ['FUNCTION LOAD code', [], 'functions'],
    ['TRIMSLOTS RANGES 1 0 5', [], 'slots'],
    ['PUBLISH c m', [], 'none'],
    ['MULTI', [], 'none'],
    ['NOTACOMMAND k', [], 'unknown'],
    ['TS.ADD k 1 1', [], 'unknown'],
  ];
  it.each(cases)('%s', (line, keys, effect) => {
    expect(keysOf(log(line))).toEqual({ keys, effect });
  });

  it('answers in the selected database', () => {
    expect(keysOf(log('SELECT 7', 'RENAME a b')).keys).toEqual(['7:a WR', '7:b W']);
  });

  it.each([
    'INCR',
    'SET k',
    'RENAME a',
    'COPY a b DB x',
    'MOVE a',
    'MSET a 1 b',
    'ZUNIONSTORE d 3 a b',
    'ZUNIONSTORE d 0 a',
    'LMPOP x a LEFT',
    'MSETEX 2 a 1 b',
    'SUNIONSTORE d',
    'SWAPDB 0 x',
    'SWAPDB 0',
    'XGROUP CREATE',
  ])('takes arguments that do not fit for a reason to reach everything: %s', (line) => {
    expect(keysOf(log(line)).effect).toBe('unknown');
  });

  it('answers unknown when a key was elided', () => {
    const key = Buffer.alloc(600 * 1024, 'k');
    const bytes = command('RENAME', key, Buffer.concat([key, key]));
    const decoder = new CommandDecoder();
    const batches = split(bytes, 100_000).flatMap((chunk) => decoder.push(chunk));
    const batch = batches.find(({ count }) => count === 1)!;
    let visited = 0;
    expect(visitKeys(batch, 0, () => (visited += 1))).toBe(KEY_EFFECT.unknown);
    expect(visited).toBe(0);
    expect(argumentBytes(batch, 0, 1)).toBeNull();
    expect(argumentBytes(batch, 0, 0)?.toString()).toBe('RENAME');
    expect(argumentBytes(batch, 0, 3)).toBeNull();
  });

  it('tells the databases of SWAPDB, and which effects are global', () => {
    const [batch] = new CommandDecoder().push(log('SWAPDB 3 11', 'SET a b')) as [CommandBatch];
    expect(swappedDatabases(batch, 0)).toEqual({ first: 3, second: 11 });
    expect(swappedDatabases(batch, 1)).toBeNull();
    const global = (Object.keys(KEY_EFFECT) as EffectName[]).filter((name) =>
      isGlobalEffect(KEY_EFFECT[name]),
    );
    expect(global).toEqual(['flushDb', 'flushAll', 'swapDb', 'functions', 'slots', 'unknown']);
  });
});

describe('visitExpiries()', () => {
  it('tells the keys that get an absolute expiry, and counts what cannot be told', () => {
    const bytes = log(
      'SET plain v',
      'SET a v PXAT 1700000000123',
      'SELECT 2',
      'SET b v EXAT 1700000000',
      'SET c v IFEQ PXAT 5',
      'PEXPIREAT d 1700000000001 GT',
      'EXPIREAT e 1700000001',
      'GETEX f PXAT 1700000000002',
      'RESTORE g 1700000000003 payload REPLACE ABSTTL',
      'RESTORE h 0 payload',
      'MSETEX 2 i v j v PXAT 1700000000004',
      'HPEXPIREAT k 1700000000005 FIELDS 1 f',
      'HSETEX l PXAT 1700000000006 FIELDS 1 f v',
      'SET m v KEEPTTL',
    );
    const [batch] = new CommandDecoder().push(bytes) as [CommandBatch];
    const told: string[] = [];
    const untold = visitExpiries(batch, (db, start, end, expiryMs) => {
      told.push(`${db}:${batch.data.toString('latin1', start, end)}=${expiryMs}`);
    });
    expect(told).toEqual([
      '0:a=1700000000123',
      '2:b=1700000000000',
      '2:d=1700000000001',
      '2:e=1700000001000',
      '2:f=1700000000002',
      '2:g=1700000000003',
      '2:i=1700000000004',
      '2:j=1700000000004',
    ]);
    expect(untold).toBe(0);
    const relative = log('EXPIRE a 5', 'SET a v PX 5', 'RESTORE a 5 x', 'SETEX a 5 v', 'GETEX a');
    const [second] = new CommandDecoder().push(relative) as [CommandBatch];
    expect(visitExpiries(second, () => expect.unreachable())).toBe(4);
  });
});

describe('tapCommands()', () => {
  const bytes = log('#TS:5', 'SET a 1', 'MULTI', 'SET b 2', 'EXEC');

  it('yields the same chunks and shows every command before its chunk goes on', async () => {
    const chunks = split(bytes, 9);
    const out: Uint8Array[] = [];
    let shown = 0;
    const seenAtYield: number[] = [];
    for await (const chunk of tapCommands(bytesOf(...chunks), (batch) => (shown += batch.count))) {
      out.push(chunk);
      seenAtYield.push(shown);
    }
    expect(out).toEqual(chunks);
    expect(shown).toBe(4);
    expect(seenAtYield.at(-1)).toBe(4);
  });

  it('refuses a torn end unless it is told that the end may be within a command', async () => {
    const torn = bytes.subarray(0, bytes.length - 1);
    const run = (partialEnd: boolean): Promise<Buffer> =>
      collectBytes(
        tapCommands(bytesOf(torn), () => undefined, { partialEnd }),
        1e6,
        () => new Error(),
      );
    await expect(run(false)).rejects.toMatchObject({ code: 'TM_AOF_TRUNCATED' });
    expect(await run(true)).toEqual(torn);
  });
});

describe('cutCommands()', () => {
  const bytes = Buffer.from('0123456789abcdef');
  const cut = (from: bigint, to: bigint, start: bigint, ...sizes: number[]): Promise<Buffer> =>
    collectBytes(
      cutCommands(bytesOf(...split(bytes, ...sizes)), from, to, start),
      1e6,
      () => new Error(),
    );

  it('yields exactly the range, however the source is cut', async () => {
    for (const size of [1, 3, 5, 16]) {
      expect((await cut(102n, 111n, 100n, size)).toString()).toBe('23456789a');
      expect((await cut(100n, 116n, 100n, size)).toString()).toBe('0123456789abcdef');
      expect((await cut(105n, 105n, 100n, size)).toString()).toBe('');
    }
  });

  it('does not read on when the range is complete', async () => {
    let pulled = 0;
    async function* source(): AsyncGenerator<Uint8Array> {
      for (const chunk of split(bytes, 4)) {
        pulled += 1;
        yield await Promise.resolve(chunk);
      }
    }
    const out = await collectBytes(cutCommands(source(), 1n, 8n), 1e6, () => new Error());
    expect([out.toString(), pulled]).toEqual(['1234567', 2]);
  });

  it('refuses a source that ends before the range and a range outside it', async () => {
    await expect(cut(0n, 17n, 0n, 5)).rejects.toMatchObject({
      code: 'TM_AOF_TRUNCATED',
      context: { offset: 16n, to: 17n },
    });
    await expect(cut(5n, 4n, 0n, 5)).rejects.toMatchObject({ code: 'TM_USAGE' });
    await expect(cut(5n, 9n, 6n, 5)).rejects.toMatchObject({ code: 'TM_USAGE' });
  });
});
