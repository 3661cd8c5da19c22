import { connectNode, type NodeClient } from '@tidemark/client';
import { CatalogError, IntegrityError, NodeError, TidemarkError, UsageError } from '@tidemark/core';
import { verifyBackups } from '@tidemark/restorer';
import { freshen, originalAddress } from '@tidemark/workspace';
import { Compile } from 'typebox/schema';
import type { Audit } from '../audit/audit.ts';
import { refuseInvalid } from '../clone/clone-request.ts';
import type { JobContext, JobHandler, Json } from '../jobs/job.ts';
import type { DataParts } from './purge-expired.ts';
import { requireConfigured } from './require-configured.ts';
import { untilCurrent } from './until-current.ts';

const BACKUP_MS = 6 * 3_600_000;
/** An attempt that goes on later than this makes a backup of its own. */
const BACKUP_AGE_MS = 3_600_000;
const schema = {
  type: 'object',
  additionalProperties: false,
  required: ['confirm'],
  properties: {
    confirm: { type: 'string', maxLength: 64 },
    backup: { type: 'boolean' },
  },
} as const;
const validator = Compile(schema);

/** What is kept: `clearing` is written before the data go, `cleared` after. */
interface ClearPlace {
  readonly phase: 'backed-up' | 'clearing' | 'cleared';
  readonly backup: string | null;
  readonly keys: number;
  readonly runId: string;
  /** When the backup was complete. */
  readonly atMs: number;
}

/** What a clearing ends with. */
export interface ClearReport {
  /** Null: none was made. */
  readonly backup: string | null;
  /** Keys that were removed. */
  readonly keys: number;
}

/** What data are cleared with. */
export interface ClearParts extends DataParts {
  readonly audit: Pick<Audit, 'append'>;
}

/**
 * Jobs of kind `clear-data`: a backup of the node is made and verified, and only then its data are removed
 * (`FLUSHALL ASYNC`, which blocks nobody). The id of the instance must be typed. What is written after the
 * backup is in the log: it is not done while nobody keeps one, or when it is not current.
 */
export function clearDataHandler(parts: ClearParts): JobHandler {
  return {
    kind: 'clear-data',
    async check({ request, instance }) {
      refuseInvalid(validator, request);
      await requireConfigured(instance, parts.workspace.config.path);
      const { confirm, backup = true } = request as { confirm: string; backup?: boolean };
      if (confirm === instance) return { confirm, backup };
      throw new UsageError('TM_WRITE_CONSENT', `clearing ${instance} was not confirmed`, {
        hint: 'nothing was done; the confirmation is the id of the instance',
      });
    },
    exclusive: ({ instance }) => `clear-data:${instance}`,
    async run(context) {
      const kept = usable(context.checkpoint as ClearPlace | null, parts.clock.nowMs());
      const { backup } = context.job.request as { readonly backup: boolean };
      const made = kept === null && backup ? await backUp(parts, context) : null;
      return { state: 'succeeded', result: { ...(await clear(kept, made, parts, context)) } };
    },
    // What is gone is gone, and the backup stays.
    cleanUp: () => Promise.resolve(),
  };
}

/** A backup that is not young any more is not what the data are as of now. */
function usable(kept: ClearPlace | null, nowMs: number): ClearPlace | null {
  if (kept === null || kept.phase !== 'backed-up' || kept.backup === null) return kept;
  const ageMs = nowMs - kept.atMs;
  return ageMs >= 0 && ageMs < BACKUP_AGE_MS ? kept : null;
}

async function refuseWithoutLog(
  { workspace }: ClearParts,
  { job: { instance }, signal }: JobContext,
): Promise<void> {
  await workspace.sync(signal, instance);
  const { policy } = workspace.catalog.instance(instance);
  const byDefault = workspace.config.policy.policy.flashback;
  if (policy === null ? byDefault : (policy.flashback ?? true)) return;
  throw new TidemarkError('TM_FLASHBACK_OFF', 'nothing was cleared: flashback is off', {
    context: { instance },
    hint: 'what is written after the backup would be lost. Where nothing writes: tidemark backup create, then data clear --no-backup',
  });
}

async function backUp(parts: ClearParts, context: JobContext): Promise<string> {
  const { workspace } = parts;
  const { instance } = context.job;
  const { signal } = context;
  await refuseWithoutLog(parts, context);
  context.progress({ phase: 'backup', percent: 0 });
  const answer = await workspace.askArchiver('backup', instance, { timeoutMs: BACKUP_MS, signal });
  if (answer === null) {
    throw new TidemarkError(
      'TM_ARCHIVER_DOWN',
      'nothing was cleared: no archiver makes the backup',
      {
        hint: 'start it: tidemark serve archiver; or clear without a backup',
      },
    );
  }
  const { backup } = answer as { readonly backup: string };
  context.log('info', `${backup} is complete`);
  context.progress({ phase: 'verify', percent: 40 });
  await freshen(workspace, instance, signal);
  const { store, keys } = workspace;
  const found = await verifyBackups(
    { instance, backup, sample: null },
    {
      ...{ store, keys, signal },
      onProgress: (_, bytes) =>
        context.progress({ phase: 'verify', percent: 40, bytesDone: bytes }),
    },
  );
  if (found.faultCount === 0) return backup;
  throw new IntegrityError('TM_STORE_DIFFERS', `nothing was cleared: ${backup} does not hold`, {
    context: { backup, faults: found.faultCount, code: found.faults[0]?.code ?? null },
    hint: found.faults[0]?.message ?? 'tidemark backup verify',
  });
}

async function clear(
  kept: ClearPlace | null,
  made: string | null,
  parts: ClearParts,
  context: JobContext,
): Promise<ClearReport> {
  const { workspace, audit } = parts;
  const { instance, actor, id } = context.job;
  const config = await requireConfigured(instance, workspace.config.path);
  const address = await originalAddress(instance, config);
  try {
    await using client = await connectNode(address, {
      ...{ signal: context.signal, name: 'tidemark-clear', replyTimeoutMs: 0 },
    });
    const now = await lookAt(client);
    const backup = kept?.backup ?? made;
    const atMs = parts.clock.nowMs();
    const place: ClearPlace = kept ?? { phase: 'backed-up', backup, atMs, ...now };
    if (kept === null) await keep(place, context);
    if (place.phase === 'backed-up') {
      if (backup !== null) await untilCurrent(client, parts, context);
      context.signal.throwIfAborted();
      await keep({ ...place, ...now, phase: 'clearing' }, context);
      context.progress({ phase: 'clear', percent: 90 });
      await client.call('FLUSHALL', 'ASYNC');
      const detail = `${now.keys.toString()} keys; backup ${backup ?? 'none'}`;
      audit.append({ actor, action: 'data.clear', instance, job: id, detail });
      await keep({ ...place, ...now, phase: 'cleared' }, context);
      return { backup, keys: now.keys };
    }
    // Whether a command that nobody saw the answer of was run cannot be told once there are keys again.
    if (place.phase === 'clearing' && now.keys > 0) {
      throw new CatalogError('TM_CLEAR_UNKNOWN', 'nobody knows whether the data were cleared', {
        context: { keys: now.keys, before: place.keys, backup },
        hint: 'an attempt was killed while it cleared them; look at the node, then ask again',
      });
    }
    return { backup, keys: place.keys };
  } finally {
    address.tls?.[Symbol.dispose]();
  }
}

async function lookAt(
  client: NodeClient,
): Promise<{ readonly keys: number; readonly runId: string }> {
  const info = await client.info('server', 'replication', 'keyspace');
  if (info.get('role') !== 'master') {
    throw new NodeError('TM_WRITE_TARGET', 'the node is a replica: its primary is to be cleared', {
      hint: 'configure the primary, or Sentinels that tell it',
    });
  }
  const sizes = Array.from({ length: 256 }, (_, db) => Number(info.fields(`db${db}`)['keys'] ?? 0));
  return { keys: sizes.reduce((sum, keys) => sum + keys, 0), runId: info.get('run_id') ?? '' };
}

const keep = (place: ClearPlace, context: JobContext): Promise<void> =>
  context.keep(place as unknown as Json);
