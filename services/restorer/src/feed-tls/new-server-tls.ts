import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { readPemSet, type NodeClient } from '@tidemark/client';
import { UsageError } from '@tidemark/core';

/** Certificates of a new server that speaks TLS only; absolute paths. */
export interface NewServerTls {
  /** What it shows its clients. Read by the server itself, also when it is restarted later. */
  readonly certFile: string;
  readonly keyFile: string;
  /** Authorities of its clients. */
  readonly caFiles: readonly string[];
}

/** Authorities of the clients, where there are several files of them. */
const CLIENT_CA = 'tls-ca.pem';
/** For the time of the restore: the authority of the feed, and what the server shows the feed. */
const FEED_CA = 'feed-ca.pem';
const FEED_CLIENT = 'feed-client.pem';
/** Files in the folder of a new server that have to do with TLS. */
export const TLS_FILES: readonly string[] = [CLIENT_CA, FEED_CA, FEED_CLIENT];

/** Settings that say whom a new server trusts, and what it shows, for the time of the restore. */
const FEED_SETTINGS = ['tls-ca-cert-file', 'tls-client-key-file', 'tls-client-cert-file'] as const;

/**
 * Settings of a new server with TLS only. Its key stays where it is.
 * @throws UsageError `TM_TLS_SETTINGS` for files that it could not start with.
 */
export async function newServerSettings(
  dir: string,
  { certFile, keyFile, caFiles }: NewServerTls,
  nowMs: number,
): Promise<Record<string, string>> {
  const set = await readPemSet({ certFile, keyFile, caFiles }, nowMs);
  const [first, ...more] = caFiles;
  if (set?.isForServers !== true || first === undefined) {
    throw new UsageError('TM_TLS_SETTINGS', `the certificate ${certFile} is not for servers`, {
      hint: 'the new server needs one of its own, and the authorities of its clients: --tls-cert, --tls-key, --tls-ca',
    });
  }
  const joined = join(dir, CLIENT_CA);
  if (more.length > 0) await writePrivate(joined, (set.ca ?? []).join('\n'));
  return {
    'tls-cert-file': certFile,
    'tls-key-file': keyFile,
    'tls-ca-cert-file': more.length > 0 ? joined : first,
    'tls-replication': 'yes',
  };
}

/** Settings of a new server for the time of the restore: name and value, in the order they are set. */
export function feedSettings(dir: string): readonly (readonly [name: string, value: string])[] {
  const [trusted, key, certificate] = FEED_SETTINGS;
  // Certificate and key lie in one file, so that no moment has one of each.
  const shown = join(dir, FEED_CLIENT);
  return [
    [trusted, join(dir, FEED_CA)],
    [key, shown],
    [certificate, shown],
  ];
}

/** Whether a setting is one of `feedSettings`. */
export function isFeedSetting(name: string): boolean {
  return (FEED_SETTINGS as readonly string[]).includes(name);
}

/** Writes the files that `feedSettings` names, mode 0600. */
export async function writeFeedFiles(
  dir: string,
  { ca, target }: { readonly ca: string; readonly target: { cert: string; key: string } },
): Promise<void> {
  await writePrivate(join(dir, FEED_CA), ca);
  await writePrivate(join(dir, FEED_CLIENT), target.cert + target.key);
}

/** Takes them away, unless the server still needs them. */
export async function removeFeedFiles(dir: string, client: NodeClient | null): Promise<void> {
  const inUse = client === null ? {} : await client.configGet('tls-*');
  for (const name of [FEED_CA, FEED_CLIENT]) {
    const path = join(dir, name);
    if (!Object.values(inUse).includes(path)) await rm(path, { force: true });
  }
}

async function writePrivate(path: string, text: string): Promise<void> {
  await rm(path, { force: true });
  await writeFile(path, text, { mode: 0o600, flag: 'wx' });
}
