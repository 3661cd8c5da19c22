import { rm } from 'node:fs/promises';
import { join } from 'node:path';

/** Whose password it is: of the nodes of an instance, or of its Sentinels. */
export type SecretOwner = 'node' | 'sentinel';

/** Where a password that was typed is kept. An id holds no dot: no two are the same. */
export function keptSecretPath(stateDir: string, id: string, owner: SecretOwner): string {
  const name = owner === 'node' ? `${id}.pass` : `${id}.sentinel.pass`;
  return join(stateDir, 'instances', name);
}

/** Removes passwords that were typed and kept for an instance; files of other places stay. */
export async function forgetSecrets(stateDir: string, id: string): Promise<void> {
  for (const owner of ['node', 'sentinel'] as const) {
    await rm(keptSecretPath(stateDir, id, owner), { force: true });
  }
}

/**
 * Takes away what an archiver of this host has kept of an instance: bytes that wait for the store, and
 * copies that its own key opens.
 */
export async function eraseSpool(id: string, stateDir: string): Promise<void> {
  const psync = `${id}.psync`;
  const others = [`${id}.wire`, `${id}.dump`];
  for (const name of [id, `${id}.copies`, psync, `${psync}.copies`, ...others]) {
    await rm(join(stateDir, 'spool', name), { recursive: true, force: true });
  }
}
