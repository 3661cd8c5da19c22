import { openJobNote, readJobNote, sealJobNote, type JobNote } from '@tidemark/bus';
import { JOB_MESSAGE_BYTES_MAX, openJobMessage, sealJobMessage } from '@tidemark/crypto';
import { TidemarkError } from '@tidemark/core';
import { describe, expect, it } from 'vitest';
import { seededRandom } from '../../support/crypto-ports.ts';
import { LOG_KEY, OTHER_LOG_KEY } from '../../support/log-events.ts';

const NOTE: JobNote = {
  kind: 'order',
  job: 'job-01abc',
  instance: 'orders',
  host: 'h0123',
  atMs: 1_795_000_000_000,
  body: { request: { keys: ['cart:7'] } },
};

const sealed = (note: JobNote = NOTE): Buffer =>
  Buffer.from(sealJobNote(note, LOG_KEY, seededRandom('note')).value);

function codeOf(work: () => unknown): string {
  try {
    work();
  } catch (error) {
    if (error instanceof TidemarkError) return error.code;
    throw error;
  }
  return 'none';
}

describe('a note of a job', () => {
  it('opens with the log key of its instance, and shows nothing of its body', () => {
    const value = sealed();
    expect(openJobNote(readJobNote({ value }), LOG_KEY)).toEqual(NOTE);
    expect(value.includes('cart')).toBe(false);
    expect(codeOf(() => openJobNote(readJobNote({ value }), OTHER_LOG_KEY))).toBe('TM_KEY_MISSING');
  });

  it('does not open when anything in it was changed, clear or sealed', () => {
    const text = sealed().toString('utf8');
    for (const [from, to] of [
      ['"kind":"order"', '"kind":"cancel"'],
      ['job-01abc', 'job-01abd'],
      ['"orders"', '"others"'],
      ['h0123', 'h0124'],
      ['1795000000000', '1795000000001'],
    ] as const) {
      const value = Buffer.from(text.replace(from, to));
      expect(codeOf(() => openJobNote(readJobNote({ value }), LOG_KEY))).toBe('TM_SEAL_CHUNK');
    }
    const whole = readJobNote({ value: sealed() });
    for (const at of [20, 48, 49, whole.sealed.length - 1]) {
      const bytes = Buffer.from(whole.sealed);
      bytes[at] = (bytes[at] ?? 0) ^ 1;
      expect(codeOf(() => openJobNote({ ...whole, sealed: bytes }, LOG_KEY))).toBe('TM_SEAL_CHUNK');
    }
    for (const short of [0, 1, 64]) {
      const bytes = whole.sealed.subarray(0, short);
      expect(codeOf(() => openJobNote({ ...whole, sealed: bytes }, LOG_KEY))).toBe(
        'TM_SEAL_FORMAT',
      );
    }
  });

  it.each([
    ['no JSON', 'x'],
    ['null', 'null'],
    ['another version', change({ v: 2 })],
    ['a kind that is not known', change({ kind: 'drop' })],
    ['an id with a path in it', change({ job: '../job' })],
    ['an instance that is no name', change({ instance: 7 })],
    ['a host that is no name', change({ host: 'a b' })],
    ['no time', change({ atMs: 'now' })],
    ['nothing sealed', change({ sealed: null })],
    ['too many bytes', ' '.repeat(768 * 1024 + 1)],
  ])('with %s is refused', (_, text) => {
    expect(codeOf(() => readJobNote({ value: Buffer.from(text) }))).toBe('TM_BUS_MESSAGE');
  });

  it('has a limit, and the bytes that docs/formats/event-message.md says', () => {
    const random = seededRandom('bytes');
    const bytes = sealJobMessage(LOG_KEY, random, 's', Buffer.from('text'));
    expect(bytes).toHaveLength(1 + 16 + 32 + 4 + 16);
    expect(bytes.readUInt8(0)).toBe(1);
    expect(bytes.toString('hex', 1, 17)).toBe(LOG_KEY.id);
    expect(openJobMessage(LOG_KEY, 's', bytes).toString()).toBe('text');
    expect(codeOf(() => openJobMessage(LOG_KEY, 't', bytes))).toBe('TM_SEAL_CHUNK');
    const long = Buffer.alloc(JOB_MESSAGE_BYTES_MAX + 1);
    expect(codeOf(() => sealJobMessage(LOG_KEY, random, 's', long))).toBe('TM_SEAL_LIMIT');
  });
});

function change(over: Readonly<Record<string, unknown>>): string {
  const whole = JSON.parse(sealed().toString('utf8')) as Record<string, unknown>;
  return JSON.stringify({ ...whole, ...over });
}
