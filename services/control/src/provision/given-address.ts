import { UsageError } from '@tidemark/core';
import { checkTarget, pinnedUrl } from './allowed-targets.ts';
import type { CloneTarget, Provisioned, Provisioner, TlsRefs } from './provisioner.ts';

/** A server that is there already: only its address is looked at. */
export function givenAddress(allow: readonly string[]): Provisioner {
  return {
    async provision({ target }) {
      if (target.kind !== 'address') throw new UsageError('TM_USAGE', 'no address was given');
      return provisionedAt(target, allow, 'address');
    },
    release: () => Promise.resolve(),
  };
}

/** What somebody says of a server, checked and pinned. */
export async function provisionedAt(
  said: {
    readonly url: string;
    readonly passwordRef: string | null;
    readonly tls: TlsRefs | null;
  },
  allow: readonly string[],
  kind: CloneTarget['kind'],
): Promise<Provisioned> {
  const pinned = await checkTarget(said.url, allow);
  const tls = said.tls ?? { ca: [], cert: null, key: null, serverName: null };
  return {
    kind,
    url: pinnedUrl(pinned),
    serverName: pinned.pinnedName ?? null,
    passwordRef: said.passwordRef,
    tls: pinned.secure === true ? tls : null,
    publicUrl: said.url,
    ownedBy: kind === 'hook' ? 'hook' : 'caller',
    dir: null,
  };
}
