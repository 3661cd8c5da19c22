import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BodyParts } from '../../../libs/store/src/s3/body-parts.ts';
import { PARTS_MAX } from '../../../libs/store/src/s3/limits.ts';
import { keyOf, nameOf } from '../../../libs/store/src/s3/object-name.ts';
import { partBytes } from '../../../libs/store/src/s3/put-parts.ts';
import { inChunks, patternBytes } from '../../support/pattern.ts';

const MIB = 1024 * 1024;

describe('BodyParts', () => {
  it('cuts a body into full parts and a last one, whatever its chunks', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.nat(300_000),
        fc.integer({ min: 1, max: 200_000 }),
        fc.integer({ min: 1_000, max: 150_000 }),
        async (length, chunk, size) => {
          const bytes = patternBytes(length);
          const parts = new BodyParts(inChunks(bytes, Math.max(chunk, 50)), undefined);
          const found: Buffer[] = [];
          for (let last = false; !last;) {
            const part = await parts.next(size);
            expect(part.last || part.bytes.length === size).toBe(true);
            // Only a body of nothing has a part of nothing.
            expect(part.bytes.length > 0 || length === 0).toBe(true);
            found.push(part.bytes);
            ({ last } = part);
          }
          expect(Buffer.concat(found).equals(bytes)).toBe(true);
        },
      ),
      { numRuns: 40 },
    );
  });

  it('asks for no more of a body than the part that is wanted', async () => {
    let pulled = 0;
    const endless = async function* (): AsyncGenerator<Uint8Array> {
      for (;;) {
        pulled++;
        yield await Promise.resolve(Buffer.alloc(1_000));
      }
    };
    const parts = new BodyParts(endless(), undefined);
    for (let part = 1; part <= 3; part++) {
      await parts.next(10_000);
      expect(pulled).toBeLessThanOrEqual(part * 10 + 1);
    }
  });
});

describe('partBytes()', () => {
  it('lets 10,000 parts hold far more than 10,000 of the first size, each within bounds', () => {
    for (const first of [5 * MIB, 8 * MIB, 512 * MIB]) {
      let total = 0;
      for (let number = 1; number <= PARTS_MAX; number++) {
        const bytes = partBytes(number, first);
        expect(bytes >= first && bytes <= 512 * MIB).toBe(true);
        total += bytes;
      }
      expect(total).toBeGreaterThan(300 * 1024 * MIB);
    }
    expect([1, 2_000, 2_001, 10_000].map((number) => partBytes(number, 8 * MIB) / MIB)).toEqual([
      ...[8, 8, 16, 128],
    ]);
  });
});

describe('nameOf()', () => {
  const component = fc.stringMatching(/^[a-z0-9][a-z0-9_-]{0,5}$/);
  const key = fc.array(component, { minLength: 1, maxLength: 4 }).map((parts) => parts.join('/'));

  it('keeps the order of keys, and no name is a folder of another one', () => {
    fc.assert(
      fc.property(key, key, fc.constantFrom('', 'p', 'p/q'), (a, b, prefix) => {
        const [x, y] = [nameOf(prefix, a), nameOf(prefix, b)];
        expect(Math.sign(Buffer.compare(Buffer.from(x), Buffer.from(y)))).toBe(
          Math.sign(Buffer.compare(Buffer.from(a), Buffer.from(b))),
        );
        expect(y.startsWith(`${x}/`)).toBe(false);
        expect(keyOf(prefix, x)).toBe(a);
      }),
    );
  });

  it.each(['a', 'p/a', 'q/a!', 'p/A!', 'p/a/!', 'p/../a!', 'p/!', '!'])(
    'knows that %j is no object of a store under p',
    (name) => {
      expect(keyOf('p', name)).toBeNull();
    },
  );
});
