import { describe, expect, it } from 'vitest';
import { needsEntry } from '../../../../services/restorer/src/closure/closure.ts';
import { linesOf, log } from '../../../support/command-log.ts';
import { selectFrom, selecting } from '../../../support/selected-log.ts';
import { TestArchive } from '../../../support/test-archive.ts';

describe('a selection with functions', () => {
  it('has them from before a FLUSHALL, which keeps them', async () => {
    await using archive = await TestArchive.begun();
    archive.writeLog(log('SELECT 0', 'FUNCTION LOAD one', 'SET old 1', 'SWAPDB 0 1', 'NOBODY x'));
    await archive.roll();
    archive.writeLog(log('FUNCTION LOAD two', 'SWAPDB 1 2', 'FLUSHALL', 'SET other 1'));
    await archive.roll();
    archive.writeLog(log('SET old 2', 'FUNCTION LOAD three'));
    await archive.roll();
    const wanted = selecting('old');
    const some = await selectFrom(archive, wanted, { withFunctions: true });
    expect(linesOf(some.fed)).toEqual([
      ...['SELECT 0', 'FUNCTION LOAD one', 'FUNCTION LOAD two', 'FLUSHALL'],
      ...['SET old 2', 'FUNCTION LOAD three'],
    ]);
    expect(some.closure.startsEmpty).toBe(false);
    expect(needsEntry(some.closure, 0, Buffer.from('old'))).toBe(false);
    const none = await selectFrom(archive, wanted);
    expect(linesOf(none.fed)).toEqual(['FLUSHALL', 'SELECT 0', 'SET old 2']);
    expect(none.closure.startsEmpty).toBe(true);
  });
});
