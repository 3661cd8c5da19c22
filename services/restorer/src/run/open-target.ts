import { join } from 'node:path';
import { connectNode, startServer, type NodeClient, type ServerProcess } from '@tidemark/client';
import type { RestoreEnvironment, RestoreTarget } from './environment.ts';

const DATABASES_MIN = 16;

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
    return {
      client,
      url: target.url,
      dir: null,
      server: null,
      [Symbol.asyncDispose]: () => client.close(),
    };
  }
  const dir = target.dir ?? join(stateDir, 'servers', id);
  const server = await startServer({
    dir,
    port: target.port,
    detached: true,
    config: {
      databases: Math.max(DATABASES_MIN, databases).toString(),
      appendonly: 'no',
      save: '',
      // So that the digest of the restored data can be compared, from this host only.
      'enable-debug-command': 'local',
    },
  });
  try {
    const address = { host: server.host, port: server.port };
    const client = await connectNode(address, {
      signal,
      name: 'tidemark-restorer',
      replyTimeoutMs: 0,
    });
    return {
      client,
      url: `redis://${server.host}:${server.port.toString()}`,
      dir,
      server,
      [Symbol.asyncDispose]: () => client.close(),
    };
  } catch (cause) {
    await server.kill();
    throw cause;
  }
}

/** Switches the log of a server on that was started for a restore, and keeps it so. */
export async function switchLogOn(
  client: NodeClient,
  environment: RestoreEnvironment,
): Promise<void> {
  await client.configSet('appendonly', 'yes');
  for (;;) {
    const info = await client.info('persistence');
    const busy = ['aof_rewrite_in_progress', 'aof_rewrite_scheduled'];
    if (busy.every((name) => info.get(name) !== '1')) break;
    await environment.clock.sleep(20);
  }
  await client.call('CONFIG', 'REWRITE');
}
