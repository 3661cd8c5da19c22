import { setTimeout as delay } from 'node:timers/promises';
import {
  connectNode,
  openNodeTls,
  parseNodeUrl,
  type NodeAddress,
  type NodeClient,
  type TlsSettings,
} from '@tidemark/client';
import { NodeError, PlanError, TidemarkError } from '@tidemark/core';
import type { RestoreTarget } from '@tidemark/restorer';
import { readSecret } from '@tidemark/workspace';
import { tlsSettingsOf, type Provisioned } from '../provision/provisioner.ts';
import type { SecretFolder } from '../provision/secrets.ts';
import type { LookedAt } from './checkpoint.ts';

/** How long a server that was said to be ready may take to answer. */
const READY_MS = 15_000;
const AGAIN_MS = 250;
/** Extra room that a server needs beside its data is its owner's to know. */
const LIMIT = 'maxmemory';

/** The settings of TLS of a target; undefined without it. */
export function tlsOf(
  { tls, serverName }: Provisioned,
  secrets: SecretFolder,
): TlsSettings | undefined {
  return tls === null ? undefined : tlsSettingsOf(tls, (name) => secrets.path(name), serverName);
}

/** The address of a target, with its password and an open `tls`, which whoever asks disposes of. */
export async function addressOf(
  provisioned: Provisioned,
  secrets: SecretFolder,
): Promise<NodeAddress> {
  const { url, passwordRef } = provisioned;
  const password = passwordRef === null ? {} : { password: await secrets.read(passwordRef) };
  const tls = tlsOf(provisioned, secrets);
  const named = { ...parseNodeUrl(url), ...password };
  return tls === undefined ? named : { ...named, tls: await openNodeTls(tls) };
}

/** The target as the restorer takes it. */
export async function restoreTargetOf(
  provisioned: Provisioned,
  secrets: SecretFolder,
): Promise<Extract<RestoreTarget, { readonly kind: 'server' }>> {
  const { url, passwordRef } = provisioned;
  const tls = tlsOf(provisioned, secrets);
  return {
    kind: 'server',
    url,
    address: await addressOf(provisioned, secrets),
    passwordFile: passwordRef === null ? null : secrets.path(passwordRef),
    ...(tls === undefined ? {} : { tls }),
  };
}

/** Reads the password file of a restore that is gone on with. */
export const readPassword = (file: string): Promise<string> => readSecret(file);

/** Works with a connection to a target. */
export async function withTarget<T>(
  provisioned: Provisioned,
  secrets: SecretFolder,
  signal: AbortSignal,
  work: (client: NodeClient) => Promise<T>,
): Promise<T> {
  const address = await addressOf(provisioned, secrets);
  try {
    await using client = await connectNode(address, { signal, name: 'tidemark-clone' });
    return await work(client);
  } finally {
    address.tls?.[Symbol.dispose]();
  }
}

/**
 * Waits until a server answers that was said to be ready, and looks whether it can take the clone. What
 * the restore itself looks at (emptiness, version, rights) is its own to refuse.
 * @throws PlanError `TM_TARGET_MEMORY`, `TM_TARGET_NOT_EMPTY`; NodeError `TM_NODE_UNREACHABLE`, `TM_NODE_AUTH`.
 */
export async function lookAtTarget(
  provisioned: Provisioned,
  memoryBytes: number,
  secrets: SecretFolder,
  signal: AbortSignal,
): Promise<LookedAt> {
  const endMs = performance.now() + READY_MS;
  for (;;) {
    try {
      return await withTarget(provisioned, secrets, signal, (client) => look(client, memoryBytes));
    } catch (cause) {
      const passes = cause instanceof TidemarkError && cause.retryable;
      if (!passes || signal.aborted || performance.now() > endMs) throw cause;
      await delay(AGAIN_MS, undefined, { signal });
    }
  }
}

async function look(client: NodeClient, memoryBytes: number): Promise<LookedAt> {
  const info = await client.info('server', 'stats', 'keyspace', 'persistence');
  if (info.flag('loading')) throw new NodeError('TM_NODE_LOADING', 'the target is still loading');
  const runId = info.get('run_id') ?? '';
  const keys = Array.from({ length: 256 }, (_, db) => Number(info.fields(`db${db}`)['keys'] ?? 0));
  const held = keys.reduce((sum, count) => sum + count, 0);
  if (held > 0) {
    throw new PlanError('TM_TARGET_NOT_EMPTY', 'the server for the clone holds data', {
      context: { keys: held },
      hint: 'a clone is written into an empty server only',
    });
  }
  const limit = Number((await client.configGet(LIMIT))[LIMIT] ?? 0);
  if (limit > 0 && limit < memoryBytes) {
    throw new PlanError('TM_TARGET_MEMORY', 'the server for the clone is smaller than its source', {
      context: { needed: memoryBytes, limit },
      hint: 'give it a maxmemory at least as large as the source has or uses, or 0',
    });
  }
  const valkey = info.get('valkey_version');
  return {
    runId,
    expired: info.number('expired_keys', 0),
    expiredFields: info.number('expired_subkeys', 0),
    product: valkey === undefined ? 'redis' : 'valkey',
    version: valkey ?? info.get('redis_version') ?? '',
  };
}
