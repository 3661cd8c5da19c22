import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { connectNode, openNodeTls, parseNodeUrl, type NodeClient } from '@tidemark/client';
import { NodeError, TidemarkError, type Clock } from '@tidemark/core';
import { replaceFile } from '@tidemark/system';
import { readNote, writeNote } from '../provision/local-folder.ts';
import { LOADER } from '../provision/local-server.ts';
import {
  tlsSettingsOf,
  type Provisioned,
  type ProvisionRequest,
} from '../provision/provisioner.ts';
import type { SecretFolder } from '../provision/secrets.ts';
import { withTarget } from './open-clone.ts';

const CONFIG_FILE = 'server.conf';
const POLL_MS = 20;

/** What a clone is settled with. */
export interface SettleParts {
  readonly secrets: SecretFolder;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

/**
 * Makes a promoted clone what its owner asked for: limit, password, a log on its disk, and nobody in it
 * who only loaded it. May be done again at any point.
 * @returns Warnings.
 */
export async function settleClone(
  asked: ProvisionRequest,
  provisioned: Provisioned,
  parts: SettleParts,
): Promise<readonly string[]> {
  if (provisioned.dir !== null) return settleLocal(asked, provisioned, provisioned.dir, parts);
  const { secrets, signal } = parts;
  const { passwordRef } = asked;
  // A hook was given the password before it made the server.
  if (passwordRef === null || provisioned.kind !== 'address') return [];
  const password = await secrets.read(passwordRef);
  const set = async (client: NodeClient): Promise<void> =>
    client.configSet('requirepass', password);
  try {
    await withTarget(provisioned, secrets, signal, set);
  } catch (cause) {
    if (!isRefusedLogin(cause)) throw cause;
    // An attempt that was killed has set it already.
    await withTarget({ ...provisioned, passwordRef }, secrets, signal, set);
  }
  return ['the password was set in memory: CONFIG REWRITE keeps it over a restart of the server'];
}

async function settleLocal(
  asked: ProvisionRequest,
  provisioned: Provisioned,
  dir: string,
  { secrets, clock, signal }: SettleParts,
): Promise<readonly string[]> {
  const { target, maxmemory } = asked;
  const tls = target.kind === 'local' ? target.tls : null;
  const note = await readNote(dir);
  let written = true;
  try {
    written = await withTarget(provisioned, secrets, signal, async (client) => {
      if (maxmemory > 0) await client.configSet('maxmemory', maxmemory.toString());
      if (tls !== null) await client.configSet('tls-replication', 'yes');
      const isWritten = await switchLogOn(client, clock, signal);
      await client.call('CONFIG', 'REWRITE');
      await dropLoader(dir);
      if (note !== null) await writeNote(dir, { ...note, state: 'ready' });
      // The connection ends with its user.
      await client.call('ACL', 'DELUSER', LOADER).catch((cause: unknown) => {
        if (!(cause instanceof NodeError) || cause.code !== 'TM_NODE_UNREACHABLE') throw cause;
      });
      return isWritten;
    });
  } catch (cause) {
    // An attempt that was killed has done all of it.
    const isOver = isRefusedLogin(cause) || isGone(cause);
    if (!isOver || note?.state !== 'ready') throw cause;
  }
  await secrets.forget(provisioned.passwordRef ?? '');
  await answersItsOwner(asked, provisioned, secrets, signal);
  return written ? [] : ['the new server could not write its append-only file: see its log'];
}

const isRefusedLogin = (cause: unknown): boolean =>
  cause instanceof TidemarkError && cause.code === 'TM_NODE_AUTH';

/** The password of the loader goes last. */
const isGone = (cause: unknown): boolean =>
  cause instanceof TidemarkError && cause.code === 'TM_NOT_FOUND';

/** @returns False when it could not be written. */
async function switchLogOn(
  client: NodeClient,
  clock: Clock,
  signal: AbortSignal,
): Promise<boolean> {
  await client.configSet('appendonly', 'yes');
  for (;;) {
    const info = await client.info('persistence');
    if (info.get('aof_last_bgrewrite_status') !== 'ok') return false;
    const busy = ['aof_rewrite_in_progress', 'aof_rewrite_scheduled'];
    if (busy.every((name) => info.get(name) !== '1')) return true;
    await clock.sleep(POLL_MS, signal);
  }
}

/** The user that loaded it goes from the file, so that no restart brings it back. */
async function dropLoader(dir: string): Promise<void> {
  const path = join(dir, CONFIG_FILE);
  const lines = (await readFile(path, 'utf8')).split('\n');
  const kept = lines.filter((line) => !line.replaceAll('"', '').startsWith(`user ${LOADER} `));
  await replaceFile(path, kept.join('\n'));
}

/** Whether the clone takes its owner in: over TLS, and with the password, as far as they are known. */
async function answersItsOwner(
  { target, passwordRef, closed }: ProvisionRequest,
  { publicUrl }: Provisioned,
  secrets: SecretFolder,
  signal: AbortSignal,
): Promise<void> {
  const tls = target.kind === 'local' ? target.tls : null;
  if (closed && passwordRef === null) return; // the password is that of the source, known to nobody here
  if (tls?.clients === 'required') return; // its clients' certificates are not ours
  const named = parseNodeUrl(publicUrl);
  const { ca = [], serverName = null } = tls ?? {};
  const settings = tlsSettingsOf({ ca, cert: null, key: null, serverName }, (name) =>
    secrets.path(name),
  );
  const secured = tls === null ? null : await openNodeTls(settings);
  const password = passwordRef === null ? {} : { password: await secrets.read(passwordRef) };
  try {
    const address = { ...named, ...password, ...(secured === null ? {} : { tls: secured }) };
    await using client = await connectNode(address, { signal, name: 'tidemark-clone' });
    await client.call('PING');
  } finally {
    secured?.[Symbol.dispose]();
  }
}
