import { connectNode, type NodeClient } from '@tidemark/client';
import { NodeError, type Clock } from '@tidemark/core';
import { originalAddress, type Workspace } from '@tidemark/workspace';
import { Compile } from 'typebox/schema';
import { refuseInvalid } from '../clone/clone-request.ts';
import type { JobContext, JobHandler, Json } from '../jobs/job.ts';
import { requireConfigured } from './require-configured.ts';

const PAGE_KEYS = 500;
const RATE_DEFAULT = 50_000;
const schema = {
  type: 'object',
  additionalProperties: false,
  properties: { keysPerSecond: { type: 'integer', minimum: 100, maximum: 1_000_000 } },
} as const;
const validator = Compile(schema);

/** What jobs on the data of a node work with. */
export interface DataParts {
  readonly workspace: Workspace;
  readonly clock: Clock;
}

/** What a purge ends with. */
export interface PurgeReport {
  /** Expired keys that the server removed meanwhile. */
  readonly purged: number;
  /** Keys that are left. */
  readonly keys: number;
}

/** How far a walk is: the databases before `db` are done, and `cursor` is where this one goes on. */
interface WalkPlace {
  readonly db: number;
  readonly cursor: string;
  readonly scanned: number;
  /** `expired_keys` and `expired_subkeys` of the server when the walk began, and which server it was. */
  readonly expiredBefore: number;
  readonly runId: string;
}

/**
 * Jobs of kind `purge-expired`: walks the keys of a node at a bounded rate. A server removes an expired key
 * when it comes upon it, so that their memory is free afterwards; nothing else is changed.
 */
export function purgeExpiredHandler(parts: DataParts): JobHandler {
  return {
    kind: 'purge-expired',
    async check({ request, instance }) {
      refuseInvalid(validator, request);
      await requireConfigured(instance, parts.workspace.config.path);
      const { keysPerSecond = RATE_DEFAULT } = request as { readonly keysPerSecond?: number };
      return { keysPerSecond };
    },
    exclusive: ({ instance }) => `purge-expired:${instance}`,
    async run(context) {
      const { instance } = context.job;
      const config = await requireConfigured(instance, parts.workspace.config.path);
      const address = await originalAddress(instance, config);
      try {
        await using client = await connectNode(address, {
          ...{ signal: context.signal, name: 'tidemark-purge' },
        });
        return { state: 'succeeded', result: { ...(await purge(client, parts.clock, context)) } };
      } finally {
        address.tls?.[Symbol.dispose]();
      }
    },
    cleanUp: () => Promise.resolve(),
  };
}

async function purge(client: NodeClient, clock: Clock, context: JobContext): Promise<PurgeReport> {
  const info = await client.info('server', 'replication', 'stats', 'keyspace');
  if (info.get('role') !== 'master') {
    throw new NodeError('TM_WRITE_TARGET', 'the node is a replica: only its primary removes keys', {
      hint: 'run it where the primary is configured',
    });
  }
  const runId = info.get('run_id') ?? '';
  const kept = context.checkpoint as WalkPlace | null;
  const { keysPerSecond } = context.job.request as { readonly keysPerSecond: number };
  const fresh = { db: 0, cursor: '0', scanned: 0, runId };
  // Cursors mean nothing to another process, and its counters began anew.
  let place: WalkPlace =
    kept?.runId === runId ? kept : { ...fresh, expiredBefore: info.number('expired_keys', 0) };
  const sizes = Array.from({ length: 256 }, (_, db) => Number(info.fields(`db${db}`)['keys'] ?? 0));
  const total = sizes.reduce((sum, keys) => sum + keys, 0);
  const startedMs = clock.monotonicMs();
  const before = place.scanned;
  for (let keptMs = startedMs; ;) {
    context.signal.throwIfAborted();
    const db = sizes.findIndex((keys, index) => keys > 0 && index >= place.db);
    if (db < 0) break;
    const cursor = db === place.db ? place.cursor : '0';
    await client.call('SELECT', db);
    const [next, keys] = (await client.callBuffer('SCAN', cursor, 'COUNT', PAGE_KEYS)) as [
      Buffer,
      Buffer[],
    ];
    const scanned = place.scanned + Math.max(keys.length, PAGE_KEYS);
    const isDone = next.toString() === '0';
    place = { ...place, db: isDone ? db + 1 : db, cursor: next.toString(), scanned };
    const percent = total === 0 ? 100 : Math.min(99, Math.round((scanned / total) * 1000) / 10);
    context.progress({ phase: 'walk', percent, keysDone: Math.min(scanned, total) });
    if (clock.monotonicMs() - keptMs > 1_000) {
      await context.keep(place as unknown as Json);
      keptMs = clock.monotonicMs();
    }
    const wantedMs = ((scanned - before) / keysPerSecond) * 1000;
    const aheadMs = wantedMs - (clock.monotonicMs() - startedMs);
    if (aheadMs > 5) await clock.sleep(aheadMs, context.signal);
  }
  const after = await client.info('stats', 'keyspace');
  const left = Array.from({ length: 256 }, (_, db) => Number(after.fields(`db${db}`)['keys'] ?? 0));
  const purged = Math.max(0, after.number('expired_keys', 0) - place.expiredBefore);
  return { purged, keys: left.reduce((sum, keys) => sum + keys, 0) };
}
