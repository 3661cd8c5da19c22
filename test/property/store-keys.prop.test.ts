import fc from 'fast-check';
import { bytesOf } from '@tidemark/core';
import { openFileStore } from '@tidemark/store';
import { systemRandom } from '@tidemark/system';
import { describe, expect, it } from 'vitest';
import { pathOfKey } from '../../libs/store/src/file/key-path.ts';
import { TempDir } from '../support/temp-dir.ts';

/** Names from a small alphabet, so that they begin alike, and numbers of about 20 digits. */
const name = fc.oneof(
  fc.stringMatching(/^[a0][a0_-]{0,3}$/),
  fc.stringMatching(/^[01]{18,21}$/),
  fc.stringMatching(/^(t-)?[01]{20}(-[a0])?$/),
  fc.stringMatching(/^[01]{7,17}$/),
);
const key = fc.array(name, { minLength: 1, maxLength: 3 }).map((parts) => parts.join('/'));

describe('keys of a file store', () => {
  it('have one path each, and no path is above another', () => {
    fc.assert(
      fc.property(fc.uniqueArray(key, { minLength: 2, maxLength: 40 }), (keys) => {
        const paths = keys.map((each) => {
          const { folders, file } = pathOfKey(each);
          return [...folders, file].join('/');
        });
        expect(new Set(paths).size).toBe(keys.length);
        for (const path of paths) {
          expect(paths.some((other) => other.startsWith(`${path}/`))).toBe(false);
        }
      }),
    );
  });

  it('are listed in byte-wise order from any key on, whatever shapes lie side by side', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.uniqueArray(key, { minLength: 1, maxLength: 25 }),
        fc.nat(),
        async (keys, pick) => {
          await using temp = await TempDir.create();
          const store = await openFileStore({
            root: temp.path,
            random: systemRandom,
            durable: false,
          });
          for (const each of keys) await store.putIfAbsent(each, bytesOf(Buffer.from('x')));
          const sorted = [...keys].sort((a, b) => (a < b ? -1 : 1));
          const after = sorted[pick % sorted.length] ?? '';
          const prefix = (keys[0] ?? '').slice(0, 1);
          const list = async (from: string, options: { after?: string }): Promise<string[]> => {
            const found: string[] = [];
            for await (const batch of store.list(from, options)) {
              found.push(...batch.map((info) => info.key));
            }
            return found;
          };
          expect(await list('', {})).toEqual(sorted);
          expect(await list(prefix, { after })).toEqual(
            sorted.filter((each) => each.startsWith(prefix) && each > after),
          );
        },
      ),
      { numRuns: 60 },
    );
  });
});
