import { join } from 'node:path';
import type { IncrFile } from '../model.ts';
import { findFile } from '../pin-files.ts';
import type { DiskView } from '../sample-mapper.ts';

/**
 * Looks at the size of a single append-only file. Synchronous, as `readDiskView` is.
 * @param known - The generation that the scout saw last.
 * @returns `null` when there is no file, or another one than the scout saw.
 */
export function readSingleView(dir: string, name: string, known: IncrFile | null): DiskView | null {
  if (known === null) return null;
  const found = findFile(join(dir, name), known.seq);
  if (found === null) return null;
  const { dev, ino } = found.identity;
  if (dev !== known.dev || ino !== known.ino) return null;
  return { base: null, incr: [{ seq: known.seq, dev, ino, name, size: found.size }] };
}
