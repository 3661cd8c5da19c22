import { isIP } from 'node:net';
import { networkInterfaces } from 'node:os';
import { isSentinelUrl, parseNodeUrl } from '@tidemark/client';
import { UsageError } from '@tidemark/core';
import type { Config } from '@tidemark/workspace';
import { lookUp } from './allowed-targets.ts';
import { hostServers, type HostServer } from './host-servers.ts';
import { isLoopback, plainIp } from './ip-rules.ts';
import { isOwnSecret, type SecretFolder } from './secrets.ts';

/** Where servers that were started here are found. */
export type ServerPlaces = Pick<Config, 'stateDir' | 'clone'>;

/**
 * The path of a file with the password of a server that a request names both of. What Tidemark wrote for itself is
 * given to the server alone that it was made for, as the note of that server has it, and while that runs: passwords of
 * released instances, of other servers and of loaders would be sent to a server of the caller's choice.
 * @param url - The server; once it was pinned, as that.
 * @throws UsageError `TM_TARGET_DENIED` with `context.file`; as `SecretFolder.requirePrivate`.
 */
export async function requireFor(
  file: string,
  url: string,
  secrets: SecretFolder,
  places: ServerPlaces,
): Promise<string> {
  if (!isOwnSecret(file) || (await isMadeFor(file, url, places))) {
    return secrets.requirePrivate(file);
  }
  throw new UsageError('TM_TARGET_DENIED', 'this file is one that Tidemark wrote for itself', {
    context: { file },
    hint: `it is for the server that it was made for (tidemark servers list), while that runs; for another one put the password into a file of your own in ${secrets.dir}, mode 0600`,
  });
}

async function isMadeFor(file: string, url: string, places: ServerPlaces): Promise<boolean> {
  if (isSentinelUrl(url)) return false;
  const { host, port, path } = parseNodeUrl(url);
  if (path !== undefined) return false;
  const ips = isIP(host) === 0 ? await lookUp(host) : [host];
  const servers = await hostServers(places);
  return servers.some(
    ({ passwordRef, pid, address }) =>
      passwordRef === file &&
      pid !== null &&
      address?.port === port &&
      ips.some((ip) => listensOn(address, ip)),
  );
}

function listensOn({ host }: NonNullable<HostServer['address']>, ip: string): boolean {
  const plain = plainIp(ip);
  if (host !== '0.0.0.0' && host !== '::') return plainIp(host) === plain;
  const own = Object.values(networkInterfaces()).flat();
  return isLoopback(plain) || own.some((each) => each?.address === plain);
}
