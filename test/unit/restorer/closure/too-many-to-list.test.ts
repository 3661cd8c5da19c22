import { describe, expect, it } from 'vitest';
import { command, linesOf, log } from '../../../support/command-log.ts';
import { selectFrom, selecting } from '../../../support/selected-log.ts';
import { TestArchive } from '../../../support/test-archive.ts';

/** More keys than a flow section lists, in commands of 100. */
const MANY = 2_622;
const HUNDRED = command('DEL', ...new Array<string>(100).fill('k'));
const FRAME = 1024 * 1024;

/** An archive of two segments: the first one has too many keys to be listed. */
async function archiveOf(first: Buffer, second: Buffer): Promise<TestArchive> {
  const archive = await TestArchive.begun();
  const many = new Array<Buffer>(MANY).fill(HUNDRED);
  archive.writeLog(Buffer.concat([log('SELECT 0'), ...many, first]));
  await archive.roll();
  archive.writeLog(second);
  await archive.roll();
  return archive;
}

describe('a part of the log with too many commands to be listed', () => {
  it('ends before a command that ends in the next segment', async () => {
    const large = command('SET', 'unselected', 'x'.repeat(3 * FRAME));
    // A part of this size goes into the first segment.
    const part = 2 * FRAME;
    await using archive = await archiveOf(large.subarray(0, part), large.subarray(part));
    const { closure, fed } = await selectFrom(archive, selecting('old'));
    expect(closure.everything?.reason).toContain('too many commands');
    expect(linesOf(fed).some((line) => line.startsWith('SET'))).toBe(false);
  });

  it('ends before a command that the next segment begins with', async () => {
    await using archive = await archiveOf(
      Buffer.alloc(0),
      log('SWAPDB 0 1', 'APPEND old x', 'SET other 1'),
    );
    const { fed } = await selectFrom(archive, selecting('old'));
    expect(linesOf(fed).slice(MANY + 1)).toEqual(['SWAPDB 0 1', 'APPEND old x']);
  });
});
