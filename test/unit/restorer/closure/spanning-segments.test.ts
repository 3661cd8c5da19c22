import { describe, expect, it } from 'vitest';
import { command, decodeChunks } from '../../../support/command-log.ts';
import { selectFrom, selecting } from '../../../support/selected-log.ts';
import { TestArchive } from '../../../support/test-archive.ts';

const MIB = 1024 * 1024;
const text = (sign: string, bytes: number): string => sign.repeat(bytes);

/** Commands of many frames, which begin and end in other segments, among small ones. */
const LOG: readonly (readonly string[])[] = [
  ['SELECT', '0'],
  ['SET', 'small', '1'],
  ['SET', 'large', text('l', 3 * MIB)],
  ['SELECT', '1'],
  ['SET', 'small', '2'],
  ['MSET', 'a', text('a', 2 * MIB), 'b', text('b', 2 * MIB), 'c', '3'],
  ['MULTI'],
  ['SET', 'c', '4'],
  ['APPEND', 'large', text('m', 3 * MIB)],
  ['SET', 'c', '5'],
  ['EXEC'],
  ['COPY', 'c', 'd'],
  ['SUNIONSTORE', 'e', 'd', text('k', 60_000)],
  ['SET', 'z', text('z', 2 * MIB)],
];

/** @returns The archive, and how many of its segments end within a command. */
async function archiveOf(pushBytes: number): Promise<{ archive: TestArchive; spanning: number }> {
  const archive = await TestArchive.begun();
  const raw = Buffer.concat(LOG.map((words) => command(...words)));
  let before = archive.end;
  let spanning = 0;
  for (let from = 0; from < raw.length; from += pushBytes) {
    const end = archive.writeLog(raw.subarray(from, from + pushBytes));
    if (end === before) continue;
    await archive.roll();
    before = end;
    if (end === BigInt(Math.min(from + pushBytes, raw.length))) spanning += 1;
  }
  return { archive, spanning };
}

const shown = (words: readonly (string | null)[]): string =>
  words.map((word) => (word === null ? 'large' : word.slice(0, 5))).join(' ');

describe('commands that begin and end in different segments', () => {
  it('are found for the keys that they write, and for no other', async () => {
    const { archive, spanning } = await archiveOf(1_300_000);
    await using _ = archive;
    expect(spanning).toBeGreaterThan(2);
    for (const key of ['small', 'large', 'b', 'e', 'none']) {
      const wants = new Set(key === 'e' ? ['c', 'd', 'e'] : [key]);
      const writes = LOG.filter(([name = '', first = '', , second = '', , third = '']) =>
        name === 'COPY'
          ? key === 'e'
          : name === 'MSET'
            ? [first, second, third].some((one) => wants.has(one))
            : wants.has(first),
      );
      const { fed, closure } = await selectFrom(archive, selecting(key));
      expect(closure.everything).toBe(null);
      const told = decodeChunks([fed]).commands.filter(({ name }) => name !== 'select');
      expect(
        told.map(({ args }) => shown(args)),
        key,
      ).toEqual(writes.map(shown));
      const total = writes.reduce((sum, words) => sum + command(...words).length, 0);
      const selects = decodeChunks([fed]).commands.length - told.length;
      expect(fed.length, key).toBe(total + selects * command('SELECT', '0').length);
    }
  });
});
