import { expect, it } from 'vitest';
import { newBackup, newestBackups } from '../../../services/control/src/handlers/make-backup.ts';

/** In the order of the catalog: by writers, not by time. */
const THERE = Array.from({ length: 300 }, (_, i) => ({
  backup: `backup-${i.toString()}`,
  startedMs: 1_000_000 + ((i * 7) % 300) * 1_000,
  mode: 'manual' as const,
}));
const MADE = { backup: 'backup-made', startedMs: 2_000_000, mode: 'manual' } as const;

it('no backup that was there before is taken for the one of the job, whichever of them is dropped', () => {
  const kept = newestBackups(THERE);
  expect(kept.before).toHaveLength(256);
  expect(newBackup(kept, THERE, 'manual')).toBeNull();
  for (const { backup } of THERE) {
    const left = THERE.filter((one) => one.backup !== backup);
    expect(newBackup(kept, left, 'manual')).toBeNull();
    expect(newBackup(kept, [MADE, ...left], 'manual')).toBe('backup-made');
  }
});

it('a checkpoint of an earlier version tells by its names what is older', () => {
  const { before } = newestBackups(THERE);
  expect(newBackup({ before }, THERE.slice(1), 'manual')).toBeNull();
  expect(newBackup({ before }, [...THERE, MADE], 'manual')).toBe('backup-made');
});

it('the first backup of an instance is the one of the job', () => {
  const kept = newestBackups([]);
  expect(newBackup(kept, [], 'manual')).toBeNull();
  expect(newBackup(kept, [MADE], 'manual')).toBe('backup-made');
});

it('a base that is shipped by rule is not the backup that somebody wants', () => {
  const kept = newestBackups(THERE);
  const byRule = { ...MADE, backup: 'by-rule', startedMs: 1_500_000, mode: 'automated' } as const;
  expect(newBackup(kept, [...THERE, byRule], 'manual')).toBeNull();
  expect(newBackup(kept, [...THERE, byRule, MADE], 'manual')).toBe('backup-made');
  expect(newBackup(kept, [...THERE, byRule, MADE], 'automated')).toBe('by-rule');
});
