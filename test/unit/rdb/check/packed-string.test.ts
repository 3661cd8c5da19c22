import { RdbChecker } from '@tidemark/rdb';
import { describe, expect, it } from 'vitest';
import { PACKED_STRINGS } from '../../../support/hostile/packed-strings.ts';
import { RdbBuilder } from '../../../support/rdb-builder.ts';

/** A file with the string at one place, and the offset of the string. */
const PLACES: Readonly<Record<string, (text: Buffer) => readonly [Buffer, number]>> = {
  value: (text) => {
    const builder = new RdbBuilder().selectDb(0).entry({ key: 'k', value: text });
    return [builder.string('after', 'x').build(), builder.entries[0]?.valueOffset ?? 0];
  },
  member: (text) => {
    const value = Buffer.concat([Buffer.of(1), text]);
    const builder = new RdbBuilder().selectDb(0).entry({ key: 'k', type: 1, value });
    return [builder.string('after', 'x').build(), (builder.entries[0]?.valueOffset ?? 0) + 1];
  },
  key: (text) => {
    const builder = new RdbBuilder().selectDb(0);
    const offset = builder.offset + 1;
    return [builder.entry({ key: '', keyBytes: text }).string('after', 'x').build(), offset];
  },
  aux: (text) => {
    const builder = new RdbBuilder();
    const offset = builder.offset + 4;
    return [builder.aux('ab', text).selectDb(0).build(), offset];
  },
};

function check(bytes: Buffer, size: number): void {
  const checker = new RdbChecker();
  for (let at = 0; at < bytes.length; at += size) checker.push(bytes.subarray(at, at + size));
  checker.end();
}

describe.each(Object.entries(PLACES))('a compressed string as %s', (_, place) => {
  it.each(PACKED_STRINGS.filter(({ tidemark }) => tidemark))('may be $name', ({ bytes }) => {
    const [file] = place(bytes);
    for (const size of [file.length, 1]) check(file, size);
  });

  it.each(PACKED_STRINGS.filter(({ tidemark }) => !tidemark))(
    'is refused: $name',
    ({ bytes, server }) => {
      const [file, offset] = place(bytes);
      for (const size of [file.length, 1]) {
        expect(() => {
          check(file, size);
        }).toThrow(
          expect.objectContaining({
            code: 'TM_RDB_STRING',
            message: expect.stringContaining(
              server
                ? `of ${bytes[1] ?? 0} bytes claims to stand for none`
                : 'a compressed string does not decode',
            ) as unknown,
            context: expect.objectContaining({ offset }) as unknown,
          }),
        );
      }
    },
  );
});
