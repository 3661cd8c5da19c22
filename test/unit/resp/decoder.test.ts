import { FormatError } from '@tidemark/core';
import { RespDecoder, encodeBulk, encodeCommand, type RespValue } from '@tidemark/resp';
import { describe, expect, it } from 'vitest';

const decodeAll = (chunks: readonly (string | Buffer)[], decoder = new RespDecoder()) => {
  const values: RespValue[] = [];
  for (const chunk of chunks) {
    decoder.push(Buffer.from(chunk));
    for (let value = decoder.read(); value !== undefined; value = decoder.read()) {
      values.push(value);
    }
  }
  return values;
};

const errorOf = (run: () => unknown): FormatError => {
  try {
    run();
  } catch (error) {
    if (error instanceof FormatError) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
};

const ALL_KINDS = [
  '+OK\r\n',
  '-ERR no such thing\r\n',
  ':-9223372036854775808\r\n',
  '$0\r\n\r\n',
  '$-1\r\n',
  '*-1\r\n',
  '*0\r\n',
  '*2\r\n*1\r\n$1\r\na\r\n*2\r\n:1\r\n+x\r\n',
  '$5\r\n\r\n\0\r\n\r\n',
].join('');

const ALL_VALUES = [
  { kind: 'simple', text: 'OK' },
  { kind: 'error', text: 'ERR no such thing' },
  { kind: 'integer', value: -(2n ** 63n) },
  Buffer.alloc(0),
  null,
  null,
  [],
  [
    [Buffer.from('a')],
    [
      { kind: 'integer', value: 1n },
      { kind: 'simple', text: 'x' },
    ],
  ],
  Buffer.from('\r\n\0\r\n'),
];

describe('RespDecoder', () => {
  it('decodes every kind of value', () => {
    expect(decodeAll([ALL_KINDS])).toEqual(ALL_VALUES);
  });

  it('gives the same values for 1-byte chunks', () => {
    expect(decodeAll(Array.from(ALL_KINDS))).toEqual(ALL_VALUES);
  });

  it('skips newlines between values but not within one', () => {
    expect(decodeAll(['\n\n+OK\r\n\n', '\n*1\r\n$2\r\n\n\n\r\n'])).toEqual([
      { kind: 'simple', text: 'OK' },
      [Buffer.from('\n\n')],
    ]);
  });

  it('returns the bytes after the last value read, and counts only taken bytes', () => {
    const decoder = new RespDecoder();
    decoder.push(Buffer.from('+FULLRESYNC\r\nREDIS0011'));
    expect(decoder.read()).toEqual({ kind: 'simple', text: 'FULLRESYNC' });
    expect(decoder.offset).toBe(13);
    expect(decoder.rest().toString()).toBe('REDIS0011');
    expect(decoder.offset).toBe(22);
  });

  it('keeps what was not read when the next chunk comes', () => {
    const decoder = new RespDecoder();
    decoder.push(Buffer.from('+a\r\n+b\r\n'));
    expect(decoder.read()).toEqual({ kind: 'simple', text: 'a' });
    decoder.push(Buffer.from('+c\r\n'));
    expect(decoder.read()).toEqual({ kind: 'simple', text: 'b' });
    expect(decoder.read()).toEqual({ kind: 'simple', text: 'c' });
    expect(decoder.read()).toBeUndefined();
    expect(decoder.offset).toBe(12);
  });

  it('decodes a bulk string of 5 MB from many chunks to the same bytes', () => {
    const payload = Buffer.alloc(5_000_000, 'tidemark');
    const wire = encodeBulk(payload);
    const chunks: Buffer[] = [];
    for (let at = 0; at < wire.length; at += 65_537) chunks.push(wire.subarray(at, at + 65_537));
    const [value] = decodeAll(chunks);
    expect(payload.equals(value as Buffer)).toBe(true);
  });

  it('does not allocate by a claimed length', () => {
    const before = process.memoryUsage().arrayBuffers;
    const decoder = new RespDecoder();
    decodeAll(['*1048576\r\n$536870912\r\nabc'], decoder);
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(1_000_000);
    expect(errorOf(() => decoder.end())).toMatchObject({
      code: 'TM_RESP_TRUNCATED',
      context: { offset: 25, valueOffset: 0 },
    });
  });

  it('accepts the end between values and after newlines', () => {
    const decoder = new RespDecoder();
    decodeAll(['+OK\r\n\n'], decoder);
    expect(() => decoder.end()).not.toThrow();
  });

  it.each([
    ['an HTTP request', '+OK\r\nGET / HTTP/1.1\r\n', 5],
    ['an inline command', 'PING\r\n', 0],
    ['a line without CR', '+OK\n', 0],
    ['a CR within a line', '+a\rb\r\n', 0],
    ['a length that is no number', '*1\r\n$1x\r\n', 4],
    ['an empty length', '$\r\n', 0],
    ['a length below -1', '*-2\r\n', 0],
    ['an integer over 64 bits', ':9223372036854775808\r\n', 0],
    ['a bulk string that is longer than it says', '$1\r\nab\r\n', 5],
    ['a bulk string followed by CR and no LF', '$1\r\na\r\r', 6],
  ])('refuses %s', (_name, bytes, offset) => {
    for (const chunks of [[bytes], Array.from(bytes)]) {
      expect(errorOf(() => decodeAll(chunks))).toMatchObject({
        code: 'TM_RESP_PROTOCOL',
        context: { offset },
      });
    }
  });

  it.each([
    ['bulk string', '*2\r\n$11\r\n', 11, 10],
    ['array', '*5\r\n', 5, 4],
    ['line', `+${'x'.repeat(31)}`, 32, 22],
    ['depth', '*1\r\n*1\r\n*1\r\n', 3, 2],
    ['value', '*4\r\n$10\r\n0123456789\r\n$10\r\n0123456789\r\n', 38, 37],
  ])('stops at the limit of a %s', (what, bytes, actual, limit) => {
    const decoder = new RespDecoder({
      bulkBytesMax: 10,
      elementsMax: 4,
      lineBytesMax: 20,
      depthMax: 2,
      valueBytesMax: 37,
    });
    const error = errorOf(() => decodeAll([bytes], decoder));
    expect(error.code).toBe('TM_RESP_LIMIT');
    expect(error.context).toMatchObject({ what });
    if (what !== 'line') expect(error.context).toMatchObject({ actual, limit });
  });

  it('takes values that are exactly as long as the limits allow', () => {
    const decoder = new RespDecoder({ bulkBytesMax: 3, elementsMax: 2, depthMax: 1 });
    expect(decodeAll([encodeCommand(['abc', 'def'])], decoder)).toHaveLength(1);
  });
});
