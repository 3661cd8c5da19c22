import { describe, expect, it } from 'vitest';
import { command, decodeChunks, log } from '../../../support/command-log.ts';
import { selectFrom, selecting } from '../../../support/selected-log.ts';
import { TestArchive } from '../../../support/test-archive.ts';

const FRAME = 1024 * 1024;
const LONG = 'k'.repeat(100_000);

/** Names and first bytes of what is fed. */
const shown = (fed: Buffer): readonly string[] =>
  decodeChunks([fed]).commands.map(({ args }) =>
    args.map((word) => (word ?? '?').slice(0, 6)).join(' '),
  );

async function fedOf(parts: readonly Buffer[], key: string): Promise<readonly string[]> {
  await using archive = await TestArchive.begun();
  archive.writeLog(log('SELECT 0'));
  for (const part of parts) archive.writeLog(part);
  await archive.roll();
  const { closure, fed } = await selectFrom(archive, selecting(key));
  expect(closure.everything).toBe(null);
  return shown(fed);
}

describe('a command over several frames', () => {
  it('is replayed for a selected key of over 64 KiB', async () => {
    const value = 'x'.repeat(2 * FRAME);
    expect(await fedOf([command('SET', LONG, value)], LONG)).toEqual([
      'SELECT 0',
      'SET kkkkkk xxxxxx',
    ]);
  });

  it('is replayed for a selected key among others with large values', async () => {
    const value = 'x'.repeat(2 * FRAME);
    const words = ['MSET', 'a', value, 'old', value, 'b', value];
    expect(await fedOf([command(...words)], 'old')).toEqual([
      'SELECT 0',
      'MSET a xxxxxx old xxxxxx b xxxxxx',
    ]);
    expect(await fedOf([command(...words)], 'other')).toEqual([]);
  });
});
