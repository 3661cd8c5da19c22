import type { Clock, Random } from '@tidemark/core';
import type { Config } from '@tidemark/workspace';
import { execHook } from './exec-hook.ts';
import { givenAddress } from './given-address.ts';
import { localServer } from './local-server.ts';
import { requireFor } from './own-secrets.ts';
import { checkPassword } from './password-rules.ts';
import type { CloneTarget, Provisioner } from './provisioner.ts';
import { SecretFolder } from './secrets.ts';

/** The provisioners of a host, and the secrets that they work with. */
export interface Provisioners {
  readonly secrets: SecretFolder;
  of(kind: CloneTarget['kind']): Provisioner;
  /**
   * Keeps the password of a new server by the rules of B10.
   * @returns The reference that a request holds instead of it.
   * @throws UsageError `TM_PASSWORD`.
   */
  keepPassword(password: string): Promise<string>;
  /** Looks whether a file with a password may be given to a server. @throws As `requireFor`. */
  checkFor(name: string, url: string): Promise<void>;
  /** Looks whether the password in a file is by the rules. @throws UsageError `TM_PASSWORD`, `TM_NOT_FOUND`. */
  checkKept(name: string): Promise<void>;
}

/** Where servers for clones come from on this host. */
export function openProvisioners(
  config: Pick<Config, 'secretsDir' | 'stateDir' | 'clone' | 'worker'>,
  { clock, random }: { readonly clock: Clock; readonly random: Random },
): Provisioners {
  const secrets = new SecretFolder(config);
  const { hook, hookTimeoutMs } = config.clone;
  const allow = config.worker.allowTargets;
  const all: Readonly<Record<CloneTarget['kind'], Provisioner>> = {
    address: givenAddress(allow),
    local: localServer({ config, secrets, clock, random }),
    hook: execHook({ program: hook, timeoutMs: hookTimeoutMs, allow, secrets }),
  };
  return {
    secrets,
    of: (kind) => all[kind],
    keepPassword: async (password) => {
      checkPassword(password);
      return secrets.keep(password, 'clone', random);
    },
    checkFor: async (name, url) => {
      await requireFor(name, url, secrets, config);
    },
    checkKept: async (name) => checkPassword(await secrets.read(name)),
  };
}
