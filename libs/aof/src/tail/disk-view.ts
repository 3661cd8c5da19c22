import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { FormatError } from '@tidemark/core';
import { parseManifest, type ManifestFile } from '../manifest/parse-manifest.ts';
import { findFile, isMissing } from './pin-files.ts';
import type { DiskView, SizedFile } from './sample-mapper.ts';

function sized(dir: string, file: ManifestFile): SizedFile | null {
  const found = findFile(join(dir, file.name), file.seq);
  return found === null ? null : { ...found.identity, name: file.name, size: found.size };
}

/**
 * Reads the manifest and the sizes of its files at once.
 *
 * Synchronous on purpose: it brackets a sample, and every turn of the event loop in between widens
 * the bracket. A handful of system calls.
 * @returns `null` when there is no manifest, it is not well formed, or a file went meanwhile.
 */
export function readDiskView(dir: string, manifestName: string): DiskView | null {
  let text: Buffer;
  try {
    text = readFileSync(join(dir, manifestName));
  } catch (error) {
    if (isMissing(error)) return null;
    throw error;
  }
  try {
    const manifest = parseManifest(text);
    const base = manifest.base === null ? null : sized(dir, manifest.base);
    if (base === null && manifest.base !== null) return null;
    const incr: SizedFile[] = [];
    for (const file of manifest.incr) {
      const one = sized(dir, file);
      if (one === null) return null;
      incr.push(one);
    }
    return { base, incr };
  } catch (error) {
    if (error instanceof FormatError) return null;
    throw error;
  }
}
