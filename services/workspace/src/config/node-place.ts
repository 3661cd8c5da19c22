import type { InstanceTarget } from '@tidemark/archiver';
import {
  describeAddress,
  isSentinelUrl,
  openSentinelLocator,
  parseNodeUrl,
  parseSentinelUrl,
  type NodeAddress,
  type NodeLocator,
} from '@tidemark/client';
import { UsageError } from '@tidemark/core';
import { systemClock, systemRandom } from '@tidemark/system';
import type { InstanceEntry } from './schema.ts';

/**
 * The address in the URL of an instance: of its node, or of the first Sentinel to ask for it, with
 * the user of the nodes.
 * @throws UsageError `TM_USAGE`.
 */
export function entryAddress(url: string): NodeAddress {
  if (!isSentinelUrl(url)) return parseNodeUrl(url);
  const { sentinels, username, tls } = parseSentinelUrl(url);
  const [first = { host: '', port: 0 }] = sentinels;
  return {
    ...first,
    ...(username === undefined ? {} : { username }),
    ...(tls ? { secure: true as const } : {}),
  };
}

/** The URL of an instance without its user, as it is shown. */
export function describeEntry(url: string): string {
  if (!isSentinelUrl(url)) return describeAddress(parseNodeUrl(url));
  const { sentinels, master, tls } = parseSentinelUrl(url);
  const places = sentinels.map((place) => describeAddress(place).replace(/^redis:\/\//, ''));
  return `${tls ? 'rediss' : 'redis'}+sentinel://${places.join(',')}/${master}`;
}

/**
 * What opens the locator of an instance behind Sentinels; undefined where the node stays.
 * @param node - As `entryAddress`, with password and TLS of the nodes; TLS holds for Sentinels too.
 * @throws UsageError `TM_CONFIG` for settings that do not fit the URL.
 */
export function locatorOpener(
  entry: InstanceEntry,
  node: NodeAddress,
  sentinelPassword: string | undefined,
): (() => NodeLocator) | undefined {
  if (!isSentinelUrl(entry.url)) {
    refuseWithoutSentinel(entry);
    return undefined;
  }
  if (entry.source !== 'psync') {
    throw new UsageError('TM_CONFIG', `the Sentinel set of ${entry.id} needs source = "psync"`, {
      hint: 'append-only files are captured beside their node: name that node',
    });
  }
  const { sentinels, master } = parseSentinelUrl(entry.url);
  const { host: _host, port: _port, ...login } = node;
  const { username: _username, password: _password, ...transport } = login;
  const shared = {
    ...transport,
    ...(entry.sentinel_user === undefined ? {} : { username: entry.sentinel_user }),
    ...(sentinelPassword === undefined ? {} : { password: sentinelPassword }),
  };
  return () =>
    openSentinelLocator({
      sentinels: sentinels.map((place) => ({ ...shared, ...place })),
      master,
      node: login,
      preferReplica: entry.prefer_replica ?? false,
      clock: systemClock,
      random: systemRandom,
    });
}

function refuseWithoutSentinel(entry: InstanceEntry): void {
  const names = ['sentinel_user', 'sentinel_password_file', 'prefer_replica'] as const;
  const found = names.find((name) => entry[name] !== undefined && entry[name] !== false);
  if (found === undefined) return;
  throw new UsageError('TM_CONFIG', `${found} of ${entry.id} needs the address of a Sentinel set`, {
    hint: 'url = "redis+sentinel://HOST:PORT,HOST:PORT/MASTER"; without Sentinel, name the replica itself',
  });
}

/** Where the node of an instance is now: the one that is captured. */
export async function locateNode(
  target: InstanceTarget,
  signal?: AbortSignal,
): Promise<NodeAddress> {
  if (target.locator === undefined) return target.address;
  await using locator = target.locator();
  return await locator.locate(signal);
}
