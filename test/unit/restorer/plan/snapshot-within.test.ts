import { describe, expect, it } from 'vitest';
import { preparePlan } from '../../../../services/restorer/src/run/prepared-plan.ts';
import { command, log } from '../../../support/command-log.ts';
import { ARCHIVED, TestArchive } from '../../../support/test-archive.ts';

describe('a snapshot within a segment that begins within a command', () => {
  it.each(['offset', 'before'] as const)('is where commands are told from (%s)', async (kind) => {
    await using archive = await TestArchive.begun();
    const spanning = command('SET', 'old', 'x'.repeat(500));
    archive.writeLog(Buffer.concat([log('SELECT 0'), spanning.subarray(0, 100)]));
    await archive.roll();
    archive.writeLog(spanning.subarray(100));
    await archive.snapshot('bk-1');
    const offset = archive.writeLog(log('SELECT 0', 'SET old 2'));
    archive.writeLog(log('SET old 3'));
    await archive.roll();
    using prepared = await preparePlan(
      {
        instance: ARCHIVED,
        // An offset within a command goes back to where that starts.
        point: { kind, offset: kind === 'offset' ? offset + 3n : offset, timeline: null },
        ttl: { mode: 'absolute' },
      },
      await archive.environment(),
    );
    expect(prepared.plan.reads[0]?.header.partialBytes).toBe(100);
    expect(prepared.plan).toMatchObject({ cut: { offset }, snapshot: { backup: 'bk-1' } });
  });
});
