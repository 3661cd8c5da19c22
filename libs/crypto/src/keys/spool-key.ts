import type { Random } from '@tidemark/core';
import { lstat } from 'node:fs/promises';
import type { DataKey } from '../container/key-schedule.ts';
import { keyIdOf } from './key-derivation.ts';
import { isSystemError } from './private-files.ts';
import { createSecretFile, readSecretFile } from './secret-file.ts';

/**
 * Opens the key that seals the local spool; makes it when there is none.
 *
 * The file holds 32 bytes and has mode 0600; it may also be a credential of systemd. What was
 * spooled under a lost key is lost, the archive is not touched by it.
 * @throws KeyError `TM_KEY_RING` when the file is open to others, a link, damaged or unreadable.
 */
export async function openSpoolKey(o: {
  readonly path: string;
  readonly random: Random;
}): Promise<DataKey> {
  const there = await lstat(o.path).then(
    () => true,
    (error: unknown) => !isSystemError(error, 'ENOENT'),
  );
  if (!there) await createSecretFile(o.path, o.random);
  const key = await readSecretFile(o.path, { systemCredential: true });
  return { id: keyIdOf(key), key };
}
