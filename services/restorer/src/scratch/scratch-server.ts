import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  connectNode,
  describeAddress,
  startServer,
  type NodeAddress,
  type NodeClient,
  type ServerProcess,
} from '@tidemark/client';
import { NodeError } from '@tidemark/core';
import type { SelectorSpec } from '@tidemark/selector';
import type { SkipRange } from '../closure/skip-range.ts';
import type { DyingKeys } from '../feed/dying-keys.ts';
import type { WantedPoint } from '../plan/make-plan.ts';
import type { TtlChoice } from '../plan/ttl-rule.ts';
import type { RestoreEnvironment, RestoreRequest } from '../run/environment.ts';
import { restore } from '../run/restore.ts';
import type { RestoreReport } from '../run/restore-report.ts';

/** More than anybody has; each costs the server a few hundred bytes. */
const DATABASES = 1_024;

/** What a scratch server is to hold. */
export interface ScratchWish {
  readonly instance: string;
  readonly point: WantedPoint;
  /** Default: expiry times as they were. */
  readonly ttl?: TtlChoice;
  /** Only these keys. Default: every key. */
  readonly selector?: SelectorSpec | null;
  /** Commands that are left out. */
  readonly skip?: SkipRange | null;
}

/** A server that holds what an instance held at one point, frozen. Disposing ends it. */
export interface ScratchServer extends AsyncDisposable {
  readonly client: NodeClient;
  readonly address: NodeAddress;
  readonly report: RestoreReport;
  /** Keys that may have expired by now, and be hidden, are among these. */
  readonly dying: DyingKeys | null;
}

/**
 * Restores a point into a server that is started for it: reached by a unix socket (0700) alone,
 * without persistence, and gone with this process. It is not promoted, so that nothing expires.
 * @throws TidemarkError as `restore`; no process and no file are left behind.
 */
export async function restoreIntoScratch(
  wish: ScratchWish,
  environment: RestoreEnvironment,
): Promise<ScratchServer> {
  // Short, for the socket's path; nothing of the data is ever written there.
  const dir = await mkdtemp(join(tmpdir(), 'tidemark-'));
  const removeDir = (): Promise<void> => rm(dir, { recursive: true, force: true });
  const server = await startScratch(dir).catch(async (cause: unknown) => {
    await removeDir();
    throw nameLog(cause);
  });
  const end = async (): Promise<void> => {
    await server.kill();
    await removeDir();
  };
  try {
    const address = { host: 'localhost', port: 0, path: server.socketPath ?? '' };
    // Its record is of no use to anybody once the server is gone.
    let dying: DyingKeys | null = null;
    const report = await restore(requestOf(wish, address), {
      ...environment,
      recordsDir: dir,
      original: null,
      onDying: (found) => (dying = found),
    });
    const { signal } = environment;
    const options = { signal, name: 'tidemark-compare', replyTimeoutMs: 0 };
    const client = await connectNode(address, options);
    return {
      client,
      address,
      report,
      dying,
      async [Symbol.asyncDispose]() {
        await client.close();
        await end();
      },
    };
  } catch (cause) {
    await end();
    throw cause;
  }
}

/** Its log is gone with its folder: the last line of it is what there is to see. */
function nameLog(cause: unknown): unknown {
  if (!(cause instanceof NodeError) || typeof cause.context.log !== 'string') return cause;
  const last = cause.context.log.trim().split('\n').at(-1) ?? '';
  if (last === '') return cause;
  return new NodeError('TM_SERVER_START', cause.message, {
    cause,
    context: cause.context,
    hint: `redis-server of the PATH must be Redis 7.0, Valkey 7.2 or newer; it said: ${last}`,
  });
}

async function startScratch(dir: string): Promise<ServerProcess> {
  return startServer({
    dir,
    tcp: false,
    scratch: true,
    config: {
      appendonly: 'no',
      save: '',
      databases: DATABASES.toString(),
      'enable-debug-command': 'local',
    },
  });
}

function requestOf(wish: ScratchWish, address: NodeAddress): RestoreRequest {
  return {
    instance: wish.instance,
    point: wish.point,
    ttl: wish.ttl ?? { mode: 'absolute' },
    selector: wish.selector ?? null,
    keepOtherTypes: true,
    skip: wish.skip ?? null,
    target: { kind: 'server', url: describeAddress(address), address, passwordFile: null },
    promote: false,
    verify: 'stream',
    allowFlush: false,
    feedListen: null,
    feedAdvertise: null,
    facts: null,
  };
}
