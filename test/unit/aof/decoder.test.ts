import { describe, expect, it } from 'vitest';
import { CommandDecoder } from '@tidemark/aof';
import { command, decodeChunks, log, split } from '../../support/command-log.ts';

const KIB = 1024;
const MIB = 1024 * KIB;

describe('CommandDecoder.push() decodes', () => {
  it('arguments, offsets, database and transaction state of each command', () => {
    const bytes = log('SELECT 0', 'set a 1', 'MULTI', 'SELECT 3', 'INCR b', 'EXEC', 'DEL a');
    const { commands, decoder } = decodeChunks([bytes]);
    expect(commands.map((c) => [c.name, c.args.length, c.db, c.inMulti])).toEqual([
      ['select', 2, 0, false],
      ['set', 3, 0, false],
      ['multi', 1, 0, true],
      ['select', 2, 3, true],
      ['incr', 2, 3, true],
      ['exec', 1, 3, true],
      ['del', 2, 3, false],
    ]);
    expect(commands[0]!.start).toBe(0n);
    for (const [index, next] of commands.slice(1).entries()) {
      expect(next.start).toBe(commands[index]!.end);
    }
    expect(decoder.offset).toBe(BigInt(bytes.length));
    expect([decoder.db, decoder.inMulti, decoder.partialBytes]).toEqual([3, false, 0]);
  });

  it('from the offset, database and transaction it is told', () => {
    const bytes = log('SET a 1', 'EXEC');
    const { commands, decoder } = decodeChunks([bytes], {
      offset: 7_000_000_000_000_000_000n,
      db: 9,
      inMulti: true,
    });
    expect(commands[0]).toMatchObject({ start: 7_000_000_000_000_000_000n, db: 9, inMulti: true });
    expect(decoder.boundary).toBe(7_000_000_000_000_000_000n + BigInt(bytes.length));
  });

  it('binary arguments, empty ones and those that look like the protocol', () => {
    const key = Buffer.from([0, 255, 13, 10, 42, 36]);
    const bytes = Buffer.concat([command('SET', key, ''), command('', '*1\r\n$4\r\nPING\r\n')]);
    expect(decodeChunks([bytes]).commands.map((c) => c.args)).toEqual([
      ['SET', key.toString('latin1'), ''],
      ['', '*1\r\n$4\r\nPING\r\n'],
    ]);
  });

  it('counts and lengths with leading zeros, up to 20 digits', () => {
    const bytes = Buffer.from('*02\r\n$00000000000000000003\r\nDEL\r\n$1\r\nk\r\n');
    for (const chunks of [[bytes], split(bytes, 1)]) {
      expect(decodeChunks(chunks).commands[0]).toMatchObject({ name: 'del', args: ['DEL', 'k'] });
    }
  });

  it('names in any case, and calls what it does not know 0', () => {
    const names = decodeChunks([
      log('sEt k v', 'RESTORE-ASKING k 0 x', 'SETT k', 'XYZ', 'json.SET k $ 1', '\x13et k v'),
    ]).commands.map((c) => c.name);
    expect(names).toEqual(['set', 'restore-asking', '', '', 'json.set', '']);
  });

  it('a SELECT that a server would refuse without a change of database', () => {
    const { commands } = decodeChunks([
      log('SELECT 2', 'SELECT x', 'SELECT', 'SELECT -1', 'SET a b'),
    ]);
    expect(commands.map((c) => c.db)).toEqual([2, 2, 2, 2, 2]);
  });

  it('an empty chunk as a batch without commands', () => {
    const [batch, ...more] = new CommandDecoder().push(Buffer.alloc(0));
    expect(more).toEqual([]);
    expect([batch!.count, batch!.pieces, batch!.marks]).toEqual([0, [], []]);
  });

  it('without copying: arguments of whole commands and pieces point into the chunk', () => {
    const chunk = log('SET a 1', 'SET b 2');
    const [batch] = new CommandDecoder().push(chunk);
    expect(batch!.data).toBe(chunk);
    expect(batch!.pieces).toEqual([chunk]);
    expect(batch!.pieces[0]!.buffer).toBe(chunk.buffer);
  });

  it('more commands and arguments than any column held before', () => {
    const many = Array.from({ length: 5000 }, (_, index) => `DEL k${index} l${index}`);
    expect(decodeChunks([log(...many)]).commands.map((c) => c.args.join(' '))).toEqual(many);
  });
});

describe('CommandDecoder boundary and commandEnd', () => {
  it('boundary stays before an open MULTI, commandEnd goes on', () => {
    const before = log('SET a 1');
    const open = log('MULTI', 'SET b 1');
    const decoder = new CommandDecoder();
    decoder.push(Buffer.concat([before, open]));
    expect(decoder.boundary).toBe(BigInt(before.length));
    expect(decoder.commandEnd).toBe(BigInt(before.length + open.length));
    decoder.push(log('EXEC'));
    expect(decoder.boundary).toBe(decoder.commandEnd);
  });

  it('partialBytes counts the unfinished command, and end() refuses it', () => {
    const whole = log('SET a 1');
    const decoder = new CommandDecoder({ offset: 100n });
    decoder.push(Buffer.concat([whole, Buffer.from('*2\r\n$3\r\nDE')]));
    expect(decoder.partialBytes).toBe(10);
    expect(decoder.commandEnd).toBe(100n + BigInt(whole.length));
    expect(decoder.offset).toBe(decoder.commandEnd + 10n);
    expect(() => decoder.end()).toThrow(
      expect.objectContaining({
        code: 'TM_AOF_TRUNCATED',
        context: { offset: decoder.commandEnd, partialBytes: 10, within: 'command' },
      }),
    );
  });

  it('a segment that starts within a command is read after the bytes before it', () => {
    const bytes = log('SET a 1', 'SET b 2');
    const cut = bytes.length - 5;
    const partial = cut - log('SET a 1').length;
    const decoder = new CommandDecoder({ offset: BigInt(cut - partial) });
    decoder.push(bytes.subarray(cut - partial, cut));
    const [batch] = decoder.push(bytes.subarray(cut));
    expect(batch!.count).toBe(1);
    expect(decoder.offset).toBe(BigInt(bytes.length));
  });
});

describe('CommandDecoder annotations', () => {
  it('gives #TS marks at the offset of the next command and leaves annotations out', () => {
    const bytes = log('#TS:1700000000', 'SET a 1', '#other thing', '#TS:1700000007', 'SET b 2');
    const plain = log('SET a 1', 'SET b 2');
    for (const chunks of [[bytes], split(bytes, 1), split(bytes, 7)]) {
      const { marks, raw, decoder } = decodeChunks(chunks);
      expect(marks).toEqual([
        { offset: 0n, second: 1_700_000_000 },
        { offset: BigInt(log('SET a 1').length), second: 1_700_000_007 },
      ]);
      expect(raw).toEqual(plain);
      expect(decoder.offset).toBe(BigInt(plain.length));
      decoder.end();
    }
  });

  it('skips a #TS line that holds no number', () => {
    const lines = ['#TS:', '#TS:12x', '#TS:-1', '#TS:9999999999999999', '#ts:5'];
    expect(decodeChunks([log(...lines, 'SET a 1')]).marks).toEqual([]);
  });

  it('takes 1024 bytes and refuses 1025 with the offset', () => {
    const line = (bytes: number): Buffer => Buffer.from(`#${'x'.repeat(bytes - 3)}\r\n`);
    expect(decodeChunks([line(1024), log('SET a 1')]).commands).toHaveLength(1);
    for (const size of [1, 2000]) {
      const chunks = [log('SET a 1'), ...split(line(1025), size)];
      expect(() => decodeChunks(chunks)).toThrow(
        expect.objectContaining({
          code: 'TM_AOF_LIMIT',
          context: { offset: BigInt(log('SET a 1').length), max: 1024 },
        }),
      );
    }
  });

  it('end() refuses a torn annotation', () => {
    const { decoder } = decodeChunks([log('SET a 1'), Buffer.from('#TS:17')]);
    expect(decoder.partialBytes).toBe(0);
    expect(() => decoder.end()).toThrow(
      expect.objectContaining({
        code: 'TM_AOF_TRUNCATED',
        context: { offset: decoder.offset, partialBytes: 6, within: 'annotation' },
      }),
    );
  });

  it('are refused where they are switched off', () => {
    const chunks = [log('SET a 1', '#TS:1')];
    expect(() => decodeChunks(chunks, { annotations: false })).toThrow(
      expect.objectContaining({
        code: 'TM_AOF_PROTOCOL',
        context: { offset: BigInt(log('SET a 1').length), byte: 0x23, wanted: 0x2a },
      }),
    );
  });
});

describe('CommandDecoder.push() refuses', () => {
  const before = log('SET a 1');
  const cases: readonly [string, string, string, number][] = [
    ['a byte that starts nothing', 'SET a 1\r\n', 'TM_AOF_PROTOCOL', 0],
    ['a bare newline', '\n*1\r\n$4\r\nPING\r\n', 'TM_AOF_PROTOCOL', 0],
    ['no count', '*\r\n$1\r\na\r\n', 'TM_AOF_PROTOCOL', 1],
    ['a negative count', '*-1\r\n$1\r\na\r\n', 'TM_AOF_PROTOCOL', 1],
    ['a count of zero', '*0\r\n*1\r\n$1\r\na\r\n', 'TM_AOF_PROTOCOL', 0],
    ['a count that is no number', '*1=\n$1\r\na\r\n$1\r\na\r\n', 'TM_AOF_PROTOCOL', 2],
    ['a count without LF', '*1\rx$1\r\na\r\naaaaaaaa', 'TM_AOF_PROTOCOL', 3],
    ['a count over the limit', '*1048577\r\n$1\r\na\r\n', 'TM_AOF_LIMIT', 0],
    ['a count of 21 digits', '*000000000000000000001\r\n$1\r\na\r\n', 'TM_AOF_LIMIT', 0],
    ['an argument without $', '*1\r\n:1\r\naaaaaaaaa', 'TM_AOF_PROTOCOL', 4],
    ['no length', '*1\r\n$\r\na\r\naaaaaaa', 'TM_AOF_PROTOCOL', 5],
    ['no length before an empty content', '*1\r\n$\r\n\r\n', 'TM_AOF_PROTOCOL', 5],
    ['a negative length', '*1\r\n$-1\r\na\r\naaa', 'TM_AOF_PROTOCOL', 5],
    ['a length over the limit', '*1\r\n$536870913\r\na\r\n', 'TM_AOF_LIMIT', 4],
    ['a length of 21 digits', '*1\r\n$000000000000000000001\r\na\r\n', 'TM_AOF_LIMIT', 4],
    ['content that is longer than it says', '*1\r\n$1\r\nab\r\nccccc', 'TM_AOF_PROTOCOL', 9],
    ['content without LF', '*1\r\n$1\r\na\rbccccccc', 'TM_AOF_PROTOCOL', 10],
  ];
  it.each(cases)('%s, at its offset, however the chunks are cut', (_, text, code, at) => {
    const bytes = Buffer.concat([before, Buffer.from(text), log('SET b 2')]);
    for (const chunks of [[bytes], split(bytes, 1), split(bytes, before.length + 3)]) {
      expect(() => decodeChunks(chunks, { offset: 1000n })).toThrow(
        expect.objectContaining({
          code,
          context: expect.objectContaining({
            offset: 1000n + BigInt(before.length + at),
          }) as object,
        }),
      );
    }
  });

  it('everything after a fault, with the same error', () => {
    const decoder = new CommandDecoder();
    const fault = (run: () => unknown): unknown => {
      try {
        return run();
      } catch (error) {
        return error;
      }
    };
    const first = fault(() => decoder.push(Buffer.from('?')));
    expect(first).toMatchObject({ code: 'TM_AOF_PROTOCOL' });
    expect(fault(() => decoder.push(log('SET a 1')))).toBe(first);
    expect(fault(() => decoder.end())).toBe(first);
  });

  it('lengths and counts by the limits it is given', () => {
    const options = { bulkBytesMax: 4, argumentsMax: 3 };
    expect(decodeChunks([command('MSET', 'a', 'abcd')], options).commands).toHaveLength(1);
    const tooMany = command('DEL', 'a', 'b', 'c');
    const tooLong = command('DEL', 'abcde');
    expect(() => decodeChunks([tooMany], options)).toThrow(
      expect.objectContaining({ code: 'TM_AOF_LIMIT', context: { offset: 0n, size: 4, max: 3 } }),
    );
    expect(() => decodeChunks([tooLong], options)).toThrow(
      expect.objectContaining({ code: 'TM_AOF_LIMIT', context: { offset: 13n, size: 5, max: 4 } }),
    );
  });
});

describe('CommandDecoder with large commands', () => {
  const value = Buffer.alloc(600 * KIB, 'v');

  it('keeps all arguments of a spanning command of at most 1 MiB', () => {
    const bytes = command('SET', 'key', value, 'PXAT', '1');
    const { commands } = decodeChunks(split(bytes, 64 * KIB));
    expect(commands[0]!.args.map((arg) => arg?.length)).toEqual([3, 3, value.length, 4, 1]);
  });

  it('elides what is over 64 KiB in a larger one, wherever it stands', () => {
    const bytes = command('MSET', 'a', value, 'b', value, 'c', Buffer.alloc(64 * KIB, 'w'));
    for (const size of [10_007, 900 * KIB]) {
      const { args } = decodeChunks(split(bytes, size)).commands[0]!;
      expect(args.map((arg) => arg?.length ?? null)).toEqual([4, 1, null, 1, null, 1, 64 * KIB]);
      expect([args[1], args[3], args[5]]).toEqual(['a', 'b', 'c']);
    }
    expect(decodeChunks([bytes]).commands[0]!.args).not.toContain(null);
  });

  it('keeps no more than 16 MiB of small arguments', () => {
    const small = Buffer.alloc(64 * KIB, 's');
    const bytes = command('RPUSH', 'k', ...Array.from({ length: 300 }, () => small), 'last');
    const { args } = decodeChunks(split(bytes, MIB)).commands[0]!;
    const kept = args.filter((arg) => arg !== null);
    expect(kept.reduce((sum, arg) => sum + arg.length, 0)).toBeLessThanOrEqual(16 * MIB);
    expect(kept.length).toBeGreaterThan(250);
    expect([args[0], args[1], args[args.length - 1]]).toEqual(['RPUSH', 'k', 'last']);
  });

  it('passes a value of 512 MiB in constant memory', () => {
    const decoder = new CommandDecoder();
    decoder.push(Buffer.from(`*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$${512 * MIB}\r\n`));
    const chunk = Buffer.alloc(MIB);
    const before = process.memoryUsage().arrayBuffers;
    for (let index = 0; index < 512; index += 1) decoder.push(chunk);
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(8 * MIB);
    const [batch] = decoder.push(Buffer.from('\r\n'));
    expect([batch!.count, batch!.argStart[2]]).toEqual([1, -1]);
    expect(decoder.boundary).toBe(BigInt(512 * MIB + 34));
  });

  it('allocates by what comes, not by what is claimed', () => {
    const before = process.memoryUsage().arrayBuffers;
    const decoders = Array.from({ length: 20 }, () => {
      const decoder = new CommandDecoder();
      decoder.push(Buffer.from('*1048576\r\n$3\r\nDEL\r\n$536870912\r\nabc'));
      return decoder;
    });
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(8 * MIB);
    expect(decoders[0]!.unfinished).toMatchObject({ argc: 1_048_576, complete: 1 });
  });

  it('a batch of the command that spans stays right while the next one begins', () => {
    const bytes = log('SET first 1', 'SET second 2');
    const decoder = new CommandDecoder();
    decoder.push(bytes.subarray(0, 10));
    const [batch] = decoder.push(bytes.subarray(10, bytes.length - 3));
    expect(batch!.data.toString('latin1', batch!.argStart[1], batch!.argEnd[1])).toBe('first');
    const [next] = decoder.push(bytes.subarray(bytes.length - 3));
    expect(next!.data.toString('latin1', next!.argStart[1], next!.argEnd[1])).toBe('second');
  });
});
