import {
  BODY_BYTES_MAX,
  decodeLogEntry,
  decodeWriterEvent,
  encodeLogEntry,
  encodeWriterEvent,
  type EntryContent,
  type EntryExpectation,
  type WriterEvent,
} from '@tidemark/catalog';
import { TidemarkError } from '@tidemark/core';
import { describe, expect, it } from 'vitest';
import { buildEntry, sha256 } from '../../support/log-builder.ts';
import {
  claimed,
  closed,
  heartbeat,
  LOG,
  LOG_KEY,
  nodeFacts,
  objectRef,
  opened,
  OTHER_LOG_KEY,
  released,
  snapshot,
  stored,
  SUMMARY,
} from '../../support/log-events.ts';

const predecessor = 'ee'.repeat(32);
const body = Buffer.from('sealed bytes, as it were');
const inline = stored(7n, 9n, { object: objectRef({ key: null, size: body.length }) });

const content = (over: Partial<EntryContent> = {}): EntryContent => ({
  log: LOG,
  seq: 5,
  generation: 2,
  event: released(2),
  predecessor,
  logKey: LOG_KEY,
  ...over,
});

const expectation = (over: Partial<EntryExpectation> = {}): EntryExpectation => ({
  log: LOG,
  seq: 5,
  predecessor,
  logKey: LOG_KEY,
  keyProven: true,
  whole: true,
  ...over,
});

const header =
  '{"event":{"atMs":1795000000007,"generation":2,"type":"Released"},"generation":2,' +
  '"iid":"inst","seq":5,"shard":"s0","writer":"w1"}';

function failure(work: () => unknown): TidemarkError {
  try {
    work();
  } catch (error) {
    if (error instanceof TidemarkError) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
}

const refusal = (bytes: Uint8Array, over: Partial<EntryExpectation> = {}): TidemarkError =>
  failure(() => decodeLogEntry(bytes, expectation(over)));

describe('encodeLogEntry()', () => {
  it('writes the bytes of the table in docs/formats/log-entry.md', () => {
    const { bytes, entry } = encodeLogEntry(content());
    const built = buildEntry({ header, predecessor });
    expect(bytes.toString('hex')).toBe(built.toString('hex'));
    expect(entry).toEqual({
      seq: 5,
      generation: 2,
      event: released(2),
      digest: sha256(built.subarray(0, 96 + header.length)),
      predecessor,
      bodyOffset: 104 + header.length,
      bodySize: 0,
    });
  });

  it('puts a body behind its length and leaves it out of the chain', () => {
    const one = encodeLogEntry(content({ event: inline, body }));
    const two = encodeLogEntry(content({ event: inline, body: Buffer.alloc(body.length) }));
    expect(one.bytes.subarray(one.entry.bodyOffset)).toEqual(body);
    expect(one.bytes.readBigUInt64BE(one.entry.bodyOffset - 8)).toBe(BigInt(body.length));
    expect(one.entry.digest).toBe(two.entry.digest);
  });

  it.each<[string, WriterEvent, Uint8Array | undefined]>([
    ['a body that is missing', inline, undefined],
    ['a body of another length', inline, Buffer.alloc(3)],
    ['a body nobody names', released(2), body],
    [
      'a body over 1 MiB',
      stored(7n, 9n, { object: objectRef({ key: null, size: BODY_BYTES_MAX + 1 }) }),
      Buffer.alloc(BODY_BYTES_MAX + 1),
    ],
    ['a time with a fraction', { ...released(2), atMs: 1.5 }, undefined],
    ['an offset below zero', heartbeat(-1n), undefined],
    ['an offset over 2^63-1', heartbeat(1n << 63n), undefined],
    ['an id that is no name', opened({ timeline: '../x' }), undefined],
    ['a key outside the archive', nodeFacts({ object: objectRef({ key: 'x/y' }) }), undefined],
    ['a reason that is not on the list', closed(1n, { reason: 'bored' as 'aof-off' }), undefined],
    ['a text with a control character', closed(1n, { detail: 'two\nlines' }), undefined],
    ['half a surrogate pair', closed(1n, { detail: '\ud83d' }), undefined],
  ])('refuses %s', (_, event, bytes) => {
    const error = failure(() => encodeLogEntry(content({ event, body: bytes })));
    expect(error).toMatchObject({ code: 'TM_LOG_STATE', context: { seq: 5, event: event.type } });
  });

  it('refuses a header over 64 KiB', () => {
    const databases = Array.from({ length: 1024 }, (_, db) => ({
      db,
      keys: Number.MAX_SAFE_INTEGER,
      expires: Number.MAX_SAFE_INTEGER,
    }));
    const modules = Array.from({ length: 256 }, () => 'm'.repeat(64));
    const event = snapshot(1n, { summary: { ...SUMMARY, databases, modules } });
    const error = failure(() => encodeLogEntry(content({ event })));
    expect(error.code).toBe('TM_LOG_STATE');
    expect(error.message).toMatch(/over the limit of 65536/);
  });
});

describe('decodeLogEntry()', () => {
  const cases: readonly [WriterEvent, Uint8Array?][] = [
    [claimed()],
    [opened()],
    [inline, body],
    [stored(0n, 2n ** 62n, { segment: { rawBytes: 5 } })],
    [snapshot(123n)],
    [heartbeat(9n, { timeline: null, provenTo: -1 })],
    [closed(1n, { detail: 'ключ 🔑' })],
    [nodeFacts()],
    [released()],
  ];
  it.each(cases)('gives back event %#', (event, bytes) => {
    const encoded = encodeLogEntry(content({ event, body: bytes }));
    const entry = decodeLogEntry(encoded.bytes, expectation());
    expect(entry.event).toEqual(event);
    expect(entry).toEqual(encoded.entry);
  });

  it('needs no more than the bytes up to the body length', () => {
    const { bytes, entry } = encodeLogEntry(content({ event: inline, body }));
    const head = bytes.subarray(0, entry.bodyOffset);
    expect(decodeLogEntry(head, expectation({ whole: false }))).toEqual(entry);
  });

  const whole = encodeLogEntry(content({ event: inline, body }));

  it('refuses every truncation', () => {
    for (let length = 0; length < whole.bytes.length; length++) {
      const error = refusal(whole.bytes.subarray(0, length));
      expect(error.code).toBe('TM_LOG_FORMAT');
      expect(error.context).toMatchObject({ seq: 5, offset: length });
    }
  });

  it('refuses every flipped bit before the body', () => {
    const codes = new Set<string>();
    for (let at = 0; at < whole.entry.bodyOffset; at++) {
      for (let bit = 0; bit < 8; bit++) {
        const bytes = Buffer.from(whole.bytes);
        bytes[at] = (bytes[at] ?? 0) ^ (1 << bit);
        const error = refusal(bytes);
        codes.add(error.code);
        expect(error.context['seq']).toBe(5);
        expect(error.context['offset']).toBeTypeOf('number');
        expect(error.exitCode).toBe(14);
      }
    }
    expect([...codes].sort()).toEqual(['TM_LOG_AUTH', 'TM_LOG_FORMAT']);
  });

  it('refuses bytes after the end', () => {
    expect(refusal(Buffer.concat([whole.bytes, Buffer.alloc(1)]))).toMatchObject({
      code: 'TM_LOG_FORMAT',
      context: { offset: whole.bytes.length + 1 },
    });
  });

  it('refuses bytes after an entry without a body, also when it reads the head only', () => {
    const { bytes } = encodeLogEntry(content({ event: heartbeat(9n) }));
    const longer = Buffer.concat([bytes, Buffer.alloc(1)]);
    expect(refusal(longer, { whole: false })).toMatchObject({
      code: 'TM_LOG_FORMAT',
      context: { offset: longer.length },
    });
  });

  it('tells a wrong key ring (exit 12) from damage (exit 14)', () => {
    const error = refusal(whole.bytes, { logKey: OTHER_LOG_KEY, keyProven: false });
    expect(error).toMatchObject({
      name: 'KeyError',
      code: 'TM_KEY_MISSING',
      exitCode: 12,
      context: { seq: 5, keyId: LOG_KEY.id, expectedKeyId: OTHER_LOG_KEY.id },
    });
    expect(refusal(whole.bytes, { logKey: OTHER_LOG_KEY })).toMatchObject({
      code: 'TM_LOG_AUTH',
      exitCode: 14,
    });
    const forged = { id: LOG_KEY.id, key: OTHER_LOG_KEY.key };
    expect(refusal(whole.bytes, { logKey: forged, keyProven: false }).code).toBe('TM_LOG_AUTH');
  });

  it.each<[string, Partial<EntryExpectation>]>([
    ['seq', { seq: 6 }],
    ['iid', { log: { ...LOG, iid: 'other' } }],
    ['shard', { log: { ...LOG, shard: 's1' } }],
    ['writer', { log: { ...LOG, writer: 'w2' } }],
  ])('refuses an entry that was moved: %s', (field, over) => {
    expect(refusal(whole.bytes, over)).toMatchObject({ code: 'TM_LOG_CHAIN', context: { field } });
  });

  it('refuses an entry that follows another one', () => {
    expect(refusal(whole.bytes, { predecessor: 'dd'.repeat(32) })).toMatchObject({
      code: 'TM_LOG_CHAIN',
      context: { seq: 5, expected: 'dd'.repeat(32), actual: predecessor },
    });
    expect(decodeLogEntry(whole.bytes, expectation({ predecessor: null }))).toEqual(whole.entry);
  });

  it.each([
    ['white space', header.replace(',', ', ')],
    ['names out of order', header.replace(/^\{(.*),("generation":2),/, '{$2,$1,')],
    ['a doubled name', header.replace('"seq":5', '"seq":5,"seq":5')],
    ['a number with an exponent', header.replace('"seq":5', '"seq":5e0')],
    ['a number with a fraction', header.replace('"seq":5', '"seq":5.5')],
    ['a number beyond 2^53', header.replace('1795000000007', '9007199254740993')],
    ['minus zero', header.replace('1795000000007', '-0')],
    ['an escape nobody needs', header.replace('"inst"', String.raw`"\u0069nst"`)],
    ['an unknown field', header.replace('"iid"', '"hello":1,"iid"')],
    ['an unknown field of the event', header.replace('"type"', '"extra":1,"type"')],
    ['a missing field', header.replace('"shard":"s0",', '')],
    ['an unknown event', header.replace('"Released"', '"Renamed"')],
    ['a prototype for an event', header.replace('"Released"', '"constructor"')],
    ['a list for an object', '[]'],
    ['null', 'null'],
    ['nothing', ''],
    ['a byte order mark', `\ufeff${header}`],
    ['bytes that are not UTF-8', Buffer.from(header.replace('inst', '\xff\xfe'), 'latin1')],
    ['half a surrogate pair', header.replace('"inst"', String.raw`"\ud800"`)],
    ['deep nesting', '['.repeat(30_000) + ']'.repeat(30_000)],
    ['__proto__', header.replace('"event"', '"__proto__":{},"event"')],
  ])('refuses a signed header with %s', (_, json) => {
    const error = refusal(buildEntry({ header: json, predecessor }));
    expect(error).toMatchObject({ code: 'TM_LOG_FORMAT', context: { seq: 5, offset: 64 } });
    expect(error.context['path']).toMatch(/^\$/);
  });

  it.each(['01', '-1', '+1', '1.0', '', '9223372036854775808', 'x', ' 1'])(
    'refuses the offset "%s"',
    (text) => {
      const beat = encodeLogEntry(content({ event: heartbeat(77n) })).bytes;
      const json = beat.subarray(64, 64 + beat.readUInt32BE(12)).toString();
      const bytes = buildEntry({ header: json.replace('"77"', `"${text}"`), predecessor });
      expect(refusal(bytes)).toMatchObject({
        code: 'TM_LOG_FORMAT',
        context: { path: '$.event.offset' },
      });
    },
  );

  it.each<[string, Buffer, number]>([
    ['another version', buildEntry({ header, predecessor, version: 2 }), 8],
    ['reserved bytes', buildEntry({ header, predecessor, reserved: Buffer.from([0, 1, 0]) }), 9],
    ['a header of 4 GiB', buildEntry({ header, predecessor, headerLength: 0xffffffff }), 12],
    ['a header of 64 KiB + 1', buildEntry({ header: ' '.repeat(65_537), predecessor }), 12],
    [
      'a body of 16 EiB',
      buildEntry({ header, predecessor, bodyLength: 2n ** 64n - 1n }),
      96 + header.length,
    ],
  ])('refuses %s at its byte', (_, bytes, offset) => {
    expect(refusal(bytes)).toMatchObject({ code: 'TM_LOG_FORMAT', context: { offset } });
  });
});

describe('encodeWriterEvent()', () => {
  it('is read back by decodeWriterEvent()', () => {
    for (const event of [inline, snapshot(1n), opened()]) {
      expect(decodeWriterEvent(encodeWriterEvent(event))).toEqual(event);
    }
  });

  it('leaves auxiliary fields out that may hold data, and cuts long ones', () => {
    const aux = {
      lua: 'return redis.call("get", "secret")',
      'redis-ver': `7.0.15\u0000${'x'.repeat(300)}`,
      'repl-id': '\ud83d\ude00'.repeat(200),
    };
    const json = encodeWriterEvent(snapshot(1n, { summary: { ...SUMMARY, aux } }));
    expect(json.includes('secret')).toBe(false);
    const event = decodeWriterEvent(json);
    if (event.type !== 'SnapshotStored') throw new Error('another event');
    expect(Object.keys(event.summary.aux)).toEqual(['redis-ver', 'repl-id']);
    expect(event.summary.aux['redis-ver']).toBe(`7.0.15?${'x'.repeat(249)}`);
  });

  it.each(['', '{}', 'null', '{"type":"Released"}'])('refuses %j', (json) => {
    expect(failure(() => decodeWriterEvent(Buffer.from(json))).code).toBe('TM_LOG_FORMAT');
  });
});
