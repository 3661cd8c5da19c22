import fc from 'fast-check';
import { expect, it } from 'vitest';
import { EofFraming } from '../../libs/replication/src/receive/eof-framing.ts';

/** Few letters, so that data and mark have much in common. */
const letters = fc.constantFrom(0x61, 0x62);
const mark = fc.array(letters, { minLength: 40, maxLength: 40 }).map((bytes) => Buffer.from(bytes));
const piece = fc.oneof(
  fc.array(letters, { maxLength: 60 }).map((bytes) => ({ bytes: Buffer.from(bytes), cut: null })),
  // A beginning of the mark, up to all but its last byte.
  fc.nat({ max: 39 }).map((cut) => ({ bytes: null, cut })),
);
const sizes = fc.array(fc.integer({ min: 1, max: 50 }), { minLength: 1, maxLength: 20 });

it('gives the bytes before the first mark and those behind it, however both are cut', () => {
  fc.assert(
    fc.property(
      mark,
      fc.array(piece, { maxLength: 12 }),
      fc.uint8Array({ maxLength: 100 }),
      sizes,
      (eof, pieces, behind, chunks) => {
        const rdb = pieces.map(({ bytes, cut }) => bytes ?? eof.subarray(0, cut));
        const whole = Buffer.concat([...rdb, eof, behind]);
        const at = whole.indexOf(eof);
        const framing = new EofFraming(eof);
        const data: Buffer[] = [];
        let rest: Buffer | null = null;
        let read = 0;
        for (let turn = 0; rest === null; turn++) {
          const size = chunks[turn % chunks.length] ?? 1;
          const part = framing.push(whole.subarray(read, read + size));
          read = Math.min(whole.length, read + size);
          data.push(Buffer.from(part.data));
          rest = part.rest;
          expect(rest !== null || read < whole.length).toBe(true);
        }
        expect(Buffer.concat(data).equals(whole.subarray(0, at))).toBe(true);
        expect(rest.equals(whole.subarray(at + 40, read))).toBe(true);
        // Nothing is held back that can no longer begin the mark.
        expect(read - at - 40).toBe(rest.length);
      },
    ),
    { numRuns: 1000 },
  );
});

it('holds back no more than may begin the mark', () => {
  fc.assert(
    fc.property(
      mark,
      fc.array(fc.uint8Array({ maxLength: 90 }), { maxLength: 9 }),
      (eof, chunks) => {
        const framing = new EofFraming(eof);
        let taken = 0;
        let given = 0;
        for (const chunk of chunks) {
          taken += chunk.length;
          given += framing.push(Buffer.from(chunk)).data.length;
          const held = taken - given;
          expect(held).toBeLessThan(40);
          const tail = Buffer.concat(chunks).subarray(given, taken);
          expect(tail.equals(eof.subarray(0, held))).toBe(true);
        }
      },
    ),
  );
});
