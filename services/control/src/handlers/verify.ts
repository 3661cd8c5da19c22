import { IntegrityError, KeyError } from '@tidemark/core';
import { verifyBackups, type RepoVerification } from '@tidemark/restorer';
import { withLease } from '@tidemark/workspace';
import { Compile } from 'typebox/schema';
import type { JobContext, JobHandler, JobOutcome, Json } from '../jobs/job.ts';
import { knownInstance } from '../queries/known-instance.ts';
import type { HandlerPorts } from './handler-ports.ts';
import { checked } from './request-parts.ts';

/** Exit code of a key that is missing or does not fit. */
const WRONG_KEYS = 12;
const FAULTS_SHOWN = 100;

interface VerifyInput {
  readonly backup?: string | null;
}

const validator = Compile({
  type: 'object',
  additionalProperties: false,
  properties: {
    backup: {
      anyOf: [{ type: 'string', pattern: '^[a-z0-9][a-z0-9_-]{0,62}$' }, { type: 'null' }],
    },
  },
} as const);

/** Reads and authenticates every byte of an instance, or of one of its backups. Changes nothing. */
export function verifyHandler(ports: HandlerPorts): JobHandler {
  return {
    kind: 'verify',
    check: ({ instance, request }) => {
      const { backup = null } = checked<VerifyInput>(validator, request ?? {});
      knownInstance(ports.workspace.catalog, instance);
      return { backup };
    },
    exclusive: ({ instance }) => `verify:${instance}`,
    run: (context) => runVerify(context, ports),
    cleanUp: async () => Promise.resolve(),
  };
}

async function runVerify(context: JobContext, ports: HandlerPorts): Promise<JobOutcome> {
  const { job, signal } = context;
  const { workspace } = ports;
  const { store, keys } = workspace;
  const { instance } = job;
  const { backup } = job.request as { readonly backup: string | null };
  context.progress({ phase: 'sync', percent: 0 });
  await workspace.sync(signal, instance);
  const bytesTotal = backup === null ? storedBytes(instance, ports) : 0;
  const reading = { instance, fromSecond: null, isLong: true } as const;
  const notes = { warn: (message: string) => context.log('warn', message) };
  const found = await withLease(reading, workspace, notes, () =>
    verifyBackups(
      { instance, backup, sample: null },
      {
        ...{ store, keys, signal },
        onProgress: (_objects, bytesDone) =>
          context.progress({
            phase: 'read',
            ...{ bytesDone, bytesTotal },
            percent: bytesTotal > 0 ? Math.min(99, (bytesDone / bytesTotal) * 100) : 50,
          }),
      },
    ),
  );
  refuseFaults(found, context);
  const { faults: _faults, ...counts } = found;
  return { state: 'succeeded', result: { backup, ...counts } as unknown as Json };
}

/** What the catalog knows of; the log itself is a little more. */
function storedBytes(instance: string, { workspace }: HandlerPorts): number {
  const { catalog } = workspace;
  return catalog.snapshots(instance).reduce((sum, { object }) => sum + object.size, 0);
}

function refuseFaults(found: RepoVerification, context: JobContext): void {
  const { faultCount, faults, objects } = found;
  if (faultCount === 0) return;
  for (const { message, code } of faults.slice(0, FAULTS_SHOWN)) {
    context.log('error', `${message} (${code})`);
  }
  const [first] = faults;
  const details = { context: { faults: faultCount, first: first?.message ?? '' } };
  // Where nothing opens at all, it is the ring; where some does, what does not is damaged.
  if (objects === 0 && faults.every(({ exitCode }) => exitCode === WRONG_KEYS)) {
    throw new KeyError('TM_KEY_MISSING', 'what is in the store needs other keys', {
      ...details,
      hint: 'name the keys that the store was written with in [keys]',
    });
  }
  throw new IntegrityError(
    'TM_SEAL_DIGEST',
    `damaged in ${faultCount.toString()} places: ${first?.message ?? ''}`,
    { ...details, hint: 'bring the objects back from a copy of the store' },
  );
}
