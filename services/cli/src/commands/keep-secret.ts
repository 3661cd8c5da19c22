import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  ASKED,
  keptSecretPath,
  readSecret,
  secretSource,
  type SecretOwner,
} from '@tidemark/workspace';

/** Where the configuration finds a password; disposing takes it away unless it stays. */
export interface KeptSecret extends AsyncDisposable {
  readonly source: string | null;
  stays(): void;
}

/**
 * A password that was typed is kept in a file of the state folder that only this user can read
 * (0600): the archiver has no terminal to ask on. Any other source is taken as it is.
 * @throws UsageError as `readSecret`.
 */
export async function keepSecret(
  flag: string | undefined,
  stateDir: string,
  id: string,
  owner: SecretOwner = 'node',
): Promise<KeptSecret> {
  if (flag !== ASKED) {
    return {
      source: flag === undefined ? null : secretSource(flag, '.'),
      stays: () => undefined,
      [Symbol.asyncDispose]: () => Promise.resolve(),
    };
  }
  const whose = owner === 'node' ? `the user that captures ${id}` : `the Sentinels of ${id}`;
  const secret = await readSecret(ASKED, whose);
  const path = keptSecretPath(stateDir, id, owner);
  await mkdir(join(stateDir, 'instances'), { recursive: true, mode: 0o700 });
  await rm(path, { force: true }); // an older file may have another mode
  await writeFile(path, `${secret}\n`, { mode: 0o600, flag: 'wx' });
  let stays = false;
  return {
    source: path,
    stays: () => {
      stays = true;
    },
    [Symbol.asyncDispose]: () => (stays ? Promise.resolve() : rm(path, { force: true })),
  };
}
