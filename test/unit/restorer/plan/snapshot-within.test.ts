import { describe, expect, it } from 'vitest';
import { preparePlan } from '../../../../services/restorer/src/run/prepared-plan.ts';
import { log } from '../../../support/command-log.ts';
import { ARCHIVED, TestArchive } from '../../../support/test-archive.ts';

describe('a snapshot within a segment that begins within a transaction', () => {
  it.each(['offset', 'before'] as const)('is where commands are told from (%s)', async (kind) => {
    await using archive = await TestArchive.begun();
    archive.writeLog(log('SELECT 0', 'MULTI', 'SET old 0'));
    await archive.roll();
    archive.writeLog(log('SET old 1', 'EXEC'));
    await archive.snapshot('bk-1');
    const offset = archive.writeLog(log('SELECT 0', 'SET old 2'));
    archive.writeLog(log('SET old 3'));
    await archive.roll();
    await using prepared = await preparePlan(
      {
        instance: ARCHIVED,
        // An offset within a command goes back to where that starts.
        point: { kind, offset: kind === 'offset' ? offset + 3n : offset, timeline: null },
        ttl: { mode: 'absolute' },
      },
      await archive.environment(),
    );
    expect(prepared.plan.reads[0]?.header.inMulti).toBe(true);
    expect(prepared.plan).toMatchObject({ cut: { offset }, snapshot: { backup: 'bk-1' } });
  });
});
