import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Random } from '@tidemark/core';

/**
 * The name of this host in the logs of instances: made once, and kept beside the database, so that it
 * outlasts that.
 */
export async function hostName(stateDir: string, random: Random): Promise<string> {
  const path = join(stateDir, 'control.host');
  const name = `h${random.bytes(8).toString('hex')}`;
  await writeFile(path, `${name}\n`, { mode: 0o600, flag: 'wx' }).catch((cause: unknown) => {
    if (!(cause instanceof Error && 'code' in cause && cause.code === 'EEXIST')) throw cause;
  });
  // One that was killed while it wrote leaves an empty file: a name for this process does as well.
  return (await knownHost(stateDir)) || name;
}

/** The name of this host, where it has one; else it is empty. */
export async function knownHost(stateDir: string): Promise<string> {
  const known = await readFile(join(stateDir, 'control.host'), 'utf8').catch(() => '');
  return /^h[0-9a-f]{16}$/.exec(known.trim())?.[0] ?? '';
}
