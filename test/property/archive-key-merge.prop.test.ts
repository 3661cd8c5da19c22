import { rowOf } from '@tidemark/archive';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { encodeKeyIndex, KeyListReader } from '../../libs/archive/src/segment/key-index.ts';
import { KeyTable } from '../../libs/archive/src/segment/key-table.ts';

const LIMITS = { keysMax: 1e6, bytesMax: 1e8, postingsMax: 1e6 };
const text = fc.oneof(
  fc.string({ unit: fc.constantFrom('a', 'b', '\0', '\xff'), maxLength: 6 }),
  fc.integer({ min: 0, max: 300 }).map((n) => `${'p'.repeat(200)}${n}`),
);
const key = fc.record({ db: fc.constantFrom(0, 1, 256), name: text });
const entry = fc.record({ key, frames: fc.uniqueArray(fc.nat(9), { minLength: 1, maxLength: 4 }) });

function encode(
  entries: readonly { key: { db: number; name: string }; frames: readonly number[] }[],
  frameCount: number,
): Buffer {
  const table = new KeyTable(frameCount, LIMITS);
  for (let frame = 0; frame < frameCount; frame += 1) {
    for (const { key: one, frames } of entries) {
      const bytes = Buffer.from(one.name, 'latin1');
      if (frames.includes(frame)) table.add(one.db, bytes, 0, bytes.length, frame);
    }
  }
  const encoded = encodeKeyIndex(table, frameCount);
  if (encoded === null) throw new Error('too large for a list');
  return encoded;
}

describe('KeyListReader.findEach()', () => {
  it('finds of many keys those that a look-up of each finds, with their frames', () => {
    fc.assert(
      fc.property(
        fc.array(entry, { maxLength: 60 }),
        fc.array(key, { maxLength: 60 }),
        fc.constantFrom(1, 10),
        (entries, others, frameCount) => {
          const list = new KeyListReader(encode(entries, frameCount), frameCount);
          const wanted = [...entries.map((one) => one.key), ...others]
            .map(({ db, name }) => ({ db, key: Buffer.from(name, 'latin1') }))
            .sort((a, b) => rowOf(a.db, a.key).compare(rowOf(b.db, b.key)));
          const found = new Map<number, readonly number[]>();
          list.findEach(
            wanted.map(({ db, key: name }) => rowOf(db, name)),
            (at, frames) => found.set(at, frames),
          );
          const each = wanted.map(({ db, key: name }) => list.find(db, name));
          expect(wanted.map((_, at) => found.get(at) ?? null)).toEqual(each);
        },
      ),
      { numRuns: 300 },
    );
  });

  it('ends at damage with its place, whatever the damage', () => {
    const entries = Array.from({ length: 20 }, (_, i) => ({
      key: { db: 0, name: `key:${i}` },
      frames: [0, (i % 9) + 1],
    }));
    const whole = encode(entries, 10);
    const wanted = entries.map(({ key: { db, name } }) => rowOf(db, Buffer.from(name)));
    wanted.sort((a, b) => a.compare(b));
    fc.assert(
      fc.property(fc.nat(whole.length - 1), fc.integer({ min: 1, max: 255 }), (at, flip) => {
        const damaged = Buffer.from(whole);
        damaged[at] = (damaged[at] as number) ^ flip;
        for (const bytes of [damaged, whole.subarray(0, at)]) {
          try {
            new KeyListReader(bytes, 10).findEach(wanted, (_, frames) => {
              for (const frame of frames) expect(frame).toBeLessThan(10);
            });
          } catch (error) {
            expect(error).toMatchObject({
              ...{ code: 'TM_SEGMENT_FORMAT', context: { section: 'key index' } },
            });
          }
        }
      }),
      { numRuns: 500 },
    );
  });
});
