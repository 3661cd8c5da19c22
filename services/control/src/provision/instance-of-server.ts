import { realpath } from 'node:fs/promises';
import { dirname, join, resolve, sep } from 'node:path';
import { connectNode, isSentinelUrl, parseNodeUrl } from '@tidemark/client';
import { NodeError, UsageError } from '@tidemark/core';
import { loadConfig, type Workspace } from '@tidemark/workspace';
import { instanceOfNode } from './configured-nodes.ts';
import type { HostServer } from './host-servers.ts';
import type { SecretFolder } from './secrets.ts';
import { serverKeys } from './server-keys.ts';

const ANSWER_MS = 5_000;
const ASKING_MS = 60_000;

/**
 * The instance that a server of this host is the node of: by where the configuration, as it is now, says that the
 * node is, whatever that is spelled like; and, while it runs and lets us in, by who it says it is.
 * @returns Null: of none, as far as anybody tells.
 * @throws As `loadConfig`; as `instanceOfNode`.
 */
export async function instanceOfServer(
  server: HostServer,
  workspace: Pick<Workspace, 'config' | 'catalog'>,
  secrets: SecretFolder,
): Promise<string | null> {
  const { instances } = await loadConfig(workspace.config.path);
  // Wherever it is bound to, it listens on this host, all addresses of which are one.
  const port = server.address?.port ?? null;
  const its = port === null ? [] : await serverKeys(`redis://127.0.0.1:${port.toString()}`);
  for (const { id, url } of instances) {
    if (isSentinelUrl(url)) continue;
    const { path, port: named } = parseNodeUrl(url);
    if (path === undefined) {
      // Names are looked up one by one, and that may take long: only those that may be it.
      if (named === port && (await serverKeys(url)).some((key) => its.includes(key))) return id;
    } else if (await isWithin(server.dir, path)) return id;
  }
  return server.pid === null ? null : askedInstance(server, workspace, secrets);
}

/** Whether a socket lies in a folder, or leads there. */
async function isWithin(dir: string, path: string): Promise<boolean> {
  const folder = await realpath(dir).catch(() => resolve(dir));
  const places = await Promise.all([
    realpath(path).catch(() => resolve(path)),
    realpath(dirname(path)).catch(() => resolve(dirname(path))),
  ]);
  return places.some((place) => place === folder || place.startsWith(folder + sep));
}

/** Null also when it does not answer, or its password is not ours to know. */
async function askedInstance(
  { dir, passwordRef }: HostServer,
  workspace: Pick<Workspace, 'config' | 'catalog'>,
  secrets: SecretFolder,
): Promise<string | null> {
  const signal = AbortSignal.timeout(ASKING_MS);
  try {
    const password = passwordRef === null ? {} : { password: await secrets.read(passwordRef) };
    const address = { host: 'localhost', port: 0, path: join(dir, 'server.sock'), ...password };
    const limits = { timeoutMs: ANSWER_MS, replyTimeoutMs: ANSWER_MS, signal };
    await using client = await connectNode(address, limits);
    const runId = (await client.info('server')).get('run_id') ?? '';
    return await instanceOfNode({ client, runId }, workspace, signal);
  } catch (cause) {
    if (cause instanceof NodeError || cause instanceof UsageError) return null;
    throw cause;
  }
}
