import { open, rename } from 'node:fs/promises';
import { dirname } from 'node:path';

/** How a file is replaced. */
export interface ReplaceFileOptions {
  /**
   * What a loss of power leaves. `none`: the old content, the new one or an empty file; `content`:
   * the old one or the new one; `name`: the new one, once the call has ended. Default `none`.
   */
  readonly durable?: 'none' | 'content' | 'name';
  /** The time that the file is to carry, Unix milliseconds. Default: now. */
  readonly modifiedMs?: number;
}

/**
 * Gives a private file (0600) new content in one step: whoever reads it, also after this process was
 * killed, finds the old content or the new one, and nothing between.
 *
 * The new one is written beside it, as `<path>.tmp`: one writer at a time.
 * @throws The fault of the file system.
 */
export async function replaceFile(
  path: string,
  content: string | Uint8Array,
  { durable = 'none', modifiedMs }: ReplaceFileOptions = {},
): Promise<void> {
  const file = await open(`${path}.tmp`, 'w', 0o600);
  try {
    await file.writeFile(content);
    if (modifiedMs !== undefined) await file.utimes(modifiedMs / 1_000, modifiedMs / 1_000);
    if (durable !== 'none') await file.datasync();
  } finally {
    await file.close();
  }
  await rename(`${path}.tmp`, path);
  if (durable !== 'name') return;
  const folder = await open(dirname(path), 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
