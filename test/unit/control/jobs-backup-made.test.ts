import { expect, it } from 'vitest';
import { newBackup, newestBackups } from '../../../services/control/src/handlers/backup.ts';

/** In the order of the catalog: by writers, not by time. */
const THERE = Array.from({ length: 300 }, (_, i) => ({
  backup: `backup-${i.toString()}`,
  startedMs: 1_000_000 + ((i * 7) % 300) * 1_000,
}));
const MADE = { backup: 'backup-made', startedMs: 2_000_000 };

it('no backup that was there before is taken for the one of the job, whichever of them is dropped', () => {
  const kept = newestBackups(THERE);
  expect(kept.before).toHaveLength(256);
  expect(newBackup(kept, THERE)).toBeNull();
  for (const { backup } of THERE) {
    const left = THERE.filter((one) => one.backup !== backup);
    expect(newBackup(kept, left)).toBeNull();
    expect(newBackup(kept, [MADE, ...left])).toBe('backup-made');
  }
});

it('a checkpoint of an earlier version tells by its names what is older', () => {
  const { before } = newestBackups(THERE);
  expect(newBackup({ before }, THERE.slice(1))).toBeNull();
  expect(newBackup({ before }, [...THERE, MADE])).toBe('backup-made');
});

it('the first backup of an instance is the one of the job', () => {
  const kept = newestBackups([]);
  expect(newBackup(kept, [])).toBeNull();
  expect(newBackup(kept, [MADE])).toBe('backup-made');
});
