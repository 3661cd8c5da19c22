import { mkdir, readdir, rm, rmdir } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import {
  connectNode,
  startServer,
  type NodeAddress,
  type NodeClient,
  type ServerProcess,
} from '@tidemark/client';
import { NodeError, PlanError } from '@tidemark/core';
import {
  TLS_FILES,
  newServerSettings,
  removeFeedFiles,
  type NewServerTls,
} from '../feed-tls/new-server-tls.ts';
import type { RestoreEnvironment, RestoreTarget } from './environment.ts';

const DATABASES_MIN = 16;
/** The note of whoever had the server started: who it is for. */
export const SERVER_NOTE = 'server.json';
/** Files that a new server leaves in its folder when it ends before its promotion. */
const OWN_FILES = new Set([
  ...[SERVER_NOTE, 'server.conf', 'server.log', 'server.sock'],
  ...TLS_FILES,
]);

/** A target with a control connection. Disposing closes the connection only. */
export interface OpenTarget extends AsyncDisposable {
  readonly client: NodeClient;
  readonly url: string;
  readonly dir: string | null;
  /** The server, when it was started for this restore. */
  readonly server: ServerProcess | null;
}

/**
 * Connects to the target, starting a server when a new one is wanted.
 *
 * The new server has no persistence until it is promoted: nothing of it touches a disk before it is
 * whole. It lives on when this process ends.
 */
export async function openTarget(
  target: RestoreTarget,
  id: string,
  databases: number,
  environment: RestoreEnvironment,
): Promise<OpenTarget> {
  const { stateDir, signal } = environment;
  if (target.kind === 'server') {
    const client = await connectNode(target.address, {
      signal,
      name: 'tidemark-restorer',
      replyTimeoutMs: 0,
    });
    await checkNode(client, environment);
    return {
      client,
      url: target.url,
      dir: null,
      server: null,
      [Symbol.asyncDispose]: () => client.close(),
    };
  }
  const dir = resolve(target.dir ?? join(serversDir(stateDir), id));
  await checkFresh(dir);
  const { tls, closed } = target;
  const server = await startNew(target, dir, databases, environment);
  try {
    const password = closed === undefined ? {} : { password: closed.password };
    const address = { ...addressOf(server), ...password };
    const client = await connectNode(address, {
      signal,
      name: 'tidemark-restorer',
      replyTimeoutMs: 0,
    });
    return {
      client,
      url:
        tls === undefined
          ? `redis://${server.host}:${server.port}`
          : `rediss://${server.host}:${server.tlsPort}`,
      dir,
      server,
      [Symbol.asyncDispose]: () => client.close(),
    };
  } catch (cause) {
    await server.kill();
    throw cause;
  }
}

async function startNew(
  { port, ports = [port], tls, closed }: Extract<RestoreTarget, { readonly kind: 'new' }>,
  dir: string,
  databases: number,
  environment: RestoreEnvironment,
): Promise<ServerProcess> {
  const config = {
    ...(tls === undefined ? {} : await tlsSettingsIn(dir, tls, environment)),
    databases: Math.max(DATABASES_MIN, databases).toString(),
    appendonly: 'no',
    save: '',
    ...(closed === undefined ? {} : { requirepass: closed.password }),
  };
  for (const one of ports) {
    const place = tls === undefined ? { port: one } : { tlsPort: one };
    try {
      return await startServer({ dir, ...place, detached: true, config });
    } catch (cause) {
      const log = cause instanceof NodeError ? String(cause.context['log'] ?? '') : '';
      if (!/address already in use/i.test(log)) throw cause;
      if (ports.length > 1) continue;
      // Its folder holds nothing but the log that says so.
      await removeServerFiles(dir, environment);
      throw new NodeError('TM_SERVER_START', `port ${one.toString()} is in use`, {
        cause,
        context: { port: one },
        hint: 'name another port (--port), or none: a free one is taken',
      });
    }
  }
  throw new NodeError('TM_SERVER_START', 'no port is free for a new server', {
    context: { ports: ports.length },
  });
}

/**
 * Has the caller look at a server that somebody named; closes the connection to one that is refused.
 * @throws As `checkNode` of the environment.
 */
export async function checkNode(
  client: NodeClient,
  environment: Pick<RestoreEnvironment, 'checkNode'>,
): Promise<void> {
  if (environment.checkNode === undefined) return;
  try {
    const runId = (await client.info('server')).get('run_id') ?? '';
    await environment.checkNode({ client, runId });
  } catch (cause) {
    await client.close();
    throw cause;
  }
}

/** One with TLS only is steered over its unix socket: its clients need not include us. */
function addressOf({ host, port, tlsPort, socketPath }: ServerProcess): NodeAddress {
  if (tlsPort === 0 || socketPath === null) return { host, port };
  return { host: 'localhost', port: 0, path: socketPath };
}

async function tlsSettingsIn(
  dir: string,
  tls: NewServerTls,
  { clock }: RestoreEnvironment,
): Promise<Record<string, string>> {
  await mkdir(dir, { recursive: true, mode: 0o700 });
  return newServerSettings(dir, tls, clock.nowMs());
}

/** Where new servers live that nobody named a folder for. */
const serversDir = (stateDir: string): string => resolve(stateDir, 'servers');

/** Ends a server that was started for a restore and holds nothing; any other target is left alone. */
export async function discardServer(
  { server, dir }: OpenTarget,
  environment: RestoreEnvironment,
): Promise<void> {
  if (server === null) return;
  await server.kill();
  if (dir !== null) await removeServerFiles(dir, environment);
}

/**
 * Takes away what a new server left that has ended. Other files stay, and so does the folder unless it
 * was made for this server.
 */
export async function removeServerFiles(
  dir: string,
  { stateDir }: RestoreEnvironment,
): Promise<void> {
  for (const name of OWN_FILES) await rm(join(dir, name), { force: true });
  // Refused when something else is in it.
  if (dirname(dir) === serversDir(stateDir)) await rmdir(dir).catch(() => undefined);
}

/**
 * Takes away what a new server left that was killed: the keys of its feed in any case, the rest where
 * it had written no data.
 */
export async function removeLeftFiles(dir: string, environment: RestoreEnvironment): Promise<void> {
  await removeFeedFiles(dir, null);
  const names = await readdir(dir).catch((): string[] => []);
  if (names.every((name) => OWN_FILES.has(name))) await removeServerFiles(dir, environment);
}

/** A server would load what lies in its folder, and write its own log over another one's. */
async function checkFresh(dir: string): Promise<void> {
  const names = await readdir(dir).catch((cause: unknown) => {
    if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return [];
    throw new NodeError('TM_SERVER_START', `the folder ${dir} cannot be used`, { cause });
  });
  const foreign = names.filter((name) => !OWN_FILES.has(name));
  if (foreign.length === 0) return;
  throw new PlanError('TM_TARGET_NOT_EMPTY', `the folder ${dir} is not empty`, {
    context: { files: foreign.length },
    hint: 'name a folder for the new server that is empty or does not exist (--dir)',
  });
}

/**
 * Switches the log of a server on that was started for a restore, and keeps it so.
 * @returns False when the server could not write it: its data are in memory only. It is promoted by
 *   now, so that this is no reason to end it.
 */
export async function switchLogOn(
  client: NodeClient,
  environment: RestoreEnvironment,
): Promise<boolean> {
  try {
    await client.configSet('appendonly', 'yes');
    const busy = ['aof_rewrite_in_progress', 'aof_rewrite_scheduled'];
    for (;;) {
      const info = await client.info('persistence');
      if (info.get('aof_last_bgrewrite_status') !== 'ok') return false;
      if (busy.every((name) => info.get(name) !== '1')) break;
      await environment.clock.sleep(20);
    }
    await client.call('CONFIG', 'REWRITE');
    return true;
  } catch (error) {
    if (error instanceof NodeError) return false;
    throw error;
  }
}
