import { decodeLogEntry, encodeLogEntry, type EntryExpectation } from '@tidemark/catalog';
import { TidemarkError } from '@tidemark/core';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { anyWriterEvent } from '../support/log-arbitraries.ts';
import { LOG, LOG_KEY, stored, objectRef } from '../support/log-events.ts';

const place = fc.record({
  seq: fc.maxSafeNat(),
  generation: fc.integer({ min: 1 }),
  predecessor: fc.constantFrom('00'.repeat(32), 'ab'.repeat(32)),
});

const expectation = (at: { seq: number; predecessor: string }): EntryExpectation => ({
  log: LOG,
  ...at,
  logKey: LOG_KEY,
  keyProven: true,
  whole: true,
});

describe('log entries', () => {
  it('give back every event, and the same content gives the same bytes', () => {
    fc.assert(
      fc.property(anyWriterEvent, place, (event, at) => {
        const { bytes, entry } = encodeLogEntry({ log: LOG, ...at, event, logKey: LOG_KEY });
        expect(decodeLogEntry(bytes, expectation(at))).toEqual(entry);
        expect(entry.event).toEqual(event);
        const again = encodeLogEntry({ log: LOG, ...at, event: entry.event, logKey: LOG_KEY });
        expect(again.bytes.equals(bytes)).toBe(true);
      }),
      { numRuns: 500 },
    );
  });

  it('that were changed in any way before the body are refused with a typed error', () => {
    const body = Buffer.alloc(200, 5);
    const event = stored(1n, 2n, { object: objectRef({ key: null, size: body.length }) });
    const at = { seq: 9, generation: 3, predecessor: 'cd'.repeat(32) };
    const { bytes, entry } = encodeLogEntry({ log: LOG, ...at, event, logKey: LOG_KEY, body });
    const splice = fc.record({
      from: fc.nat({ max: entry.bodyOffset - 1 }),
      remove: fc.nat({ max: 40 }),
      insert: fc.uint8Array({ maxLength: 40 }),
    });
    fc.assert(
      fc.property(fc.array(splice, { minLength: 1, maxLength: 3 }), (splices) => {
        let changed: Buffer = bytes;
        for (const { from, remove, insert } of splices) {
          changed = Buffer.concat([
            changed.subarray(0, from),
            insert,
            changed.subarray(from + remove),
          ]);
        }
        fc.pre(!changed.subarray(0, entry.bodyOffset).equals(bytes.subarray(0, entry.bodyOffset)));
        let caught: unknown;
        try {
          decodeLogEntry(changed, expectation(at));
        } catch (error) {
          caught = error;
        }
        expect(caught).toBeInstanceOf(TidemarkError);
        expect((caught as TidemarkError).code).toMatch(/^TM_LOG_(FORMAT|AUTH|CHAIN)$/);
        expect((caught as TidemarkError).context).toMatchObject({ seq: 9 });
      }),
      { numRuns: 1000 },
    );
  });

  it('made of any bytes are refused, whatever lengths they claim', () => {
    const magic = Buffer.from('8b54444c310d0a1a01000000', 'hex');
    const junk = fc.tuple(fc.boolean(), fc.uint8Array({ maxLength: 300 }));
    fc.assert(
      fc.property(junk, ([withMagic, bytes]) => {
        const data = withMagic ? Buffer.concat([magic, bytes]) : Buffer.from(bytes);
        expect(() => decodeLogEntry(data, expectation({ seq: 0, predecessor: '' }))).toThrow(
          TidemarkError,
        );
      }),
      { numRuns: 500 },
    );
  });
});
