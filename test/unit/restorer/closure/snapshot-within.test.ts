import { describe, expect, it } from 'vitest';
import { needsEntry } from '../../../../services/restorer/src/closure/closure.ts';
import { linesOf, log } from '../../../support/command-log.ts';
import { selectFrom, selecting } from '../../../support/selected-log.ts';
import { TestArchive } from '../../../support/test-archive.ts';

describe('a snapshot within a segment', () => {
  it.each(['FLUSHALL', 'FLUSHDB', 'SWAPDB 0 1', 'NOBODYKNOWS'])(
    'already has what %s before it did',
    async (line) => {
      await using archive = await TestArchive.begun();
      archive.writeLog(log('SELECT 0', line));
      await archive.snapshot('bk-1');
      archive.writeLog(log('SELECT 0', 'APPEND old x', 'SET other 1'));
      await archive.roll();
      const { closure, backup, fed } = await selectFrom(archive, selecting('old'));
      expect(backup).toBe('bk-1');
      expect(closure).toMatchObject({ startsEmpty: false, everything: null, globals: [] });
      expect(needsEntry(closure, 0, Buffer.from('old'))).toBe(true);
      expect(linesOf(fed)).toEqual(['SELECT 0', 'APPEND old x']);
    },
  );
});
