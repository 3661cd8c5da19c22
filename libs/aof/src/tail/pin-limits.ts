import { fstatSync, type BigIntStats } from 'node:fs';
import { statOrNull } from './pin-files.ts';
import type { SeenFile } from './seen.ts';

/** Files held at most, whatever their size. */
const FILES_MAX = 10_000;

/** What pins may cost the node. */
export interface PinLimits {
  readonly bytesMax: number;
  readonly ageMaxMs: number;
}

interface Cost {
  readonly file: SeenFile;
  readonly size: number;
  readonly ageMs: number;
}

/** What holding a file costs the node, or `null` when the server has it still. */
function costOf(file: SeenFile, nowMs: number, openedAtMs: number): Cost | null {
  let stat: BigIntStats | null = null;
  if (file.pinned) stat = statOrNull(file.path);
  else if (file.fd !== null) stat = fstatSync(file.fd, { bigint: true });
  if (stat === null || stat.nlink > (file.pinned ? 1n : 0n)) return null;
  // The inode changed last when its other name went; pins of an earlier process count from now.
  const since = Math.max(Number(stat.ctimeMs), openedAtMs);
  return { file, size: Number(stat.size), ageMs: nowMs - since };
}

/**
 * Chooses what must go: bases first (a snapshot less), then increments (a hole), the oldest first.
 * @param files - What is held and not listed by the manifest in force.
 */
export function overLimits(
  files: readonly SeenFile[],
  limits: PinLimits,
  nowMs: number,
  openedAtMs: number,
): readonly SeenFile[] {
  const costs = files
    .map((file) => costOf(file, nowMs, openedAtMs))
    .filter((cost) => cost !== null);
  const rank = ({ file }: Cost): number => (file.type === 'b' ? 0 : 1);
  costs.sort((a, b) => rank(a) - rank(b) || b.ageMs - a.ageMs);
  let bytes = costs.reduce((sum, { size }) => sum + size, 0);
  let count = costs.length;
  const over: SeenFile[] = [];
  for (const { file, size, ageMs } of costs) {
    if (bytes <= limits.bytesMax && ageMs <= limits.ageMaxMs && count <= FILES_MAX) continue;
    bytes -= size;
    count--;
    over.push(file);
  }
  return over;
}
