import type { Random } from '@tidemark/core';
import { publishPrivateFile, readPrivateFile, refused } from './private-files.ts';

const SECRET_BYTES = 32;

/**
 * Reads a file of exactly 32 secret bytes.
 * @param options - `systemCredential` as for `readPrivateFile`.
 * @throws KeyError `TM_KEY_RING`.
 */
export async function readSecretFile(
  path: string,
  options: { readonly systemCredential?: boolean } = {},
): Promise<Buffer> {
  const bytes = await readPrivateFile(path, { bytesMax: SECRET_BYTES, ...options });
  if (bytes.length === SECRET_BYTES) return bytes;
  bytes.fill(0);
  throw refused(path, `holds ${bytes.length} bytes, not ${SECRET_BYTES}`);
}

/**
 * Makes a file of 32 fresh secret bytes, whole or not at all.
 * @returns False when the name was taken; that file is left as it is.
 * @throws KeyError `TM_KEY_RING` when the file system refuses.
 */
export async function createSecretFile(path: string, random: Random): Promise<boolean> {
  const secret = random.bytes(SECRET_BYTES);
  try {
    return await publishPrivateFile(path, secret, random);
  } finally {
    secret.fill(0);
  }
}
