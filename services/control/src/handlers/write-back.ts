import { UsageError } from '@tidemark/core';
import {
  parseRateLimit,
  restoreToOriginal,
  resumeWriteBack,
  type ConflictPolicy,
  type MissingKeys,
  type SparedServer,
  type TtlChoice,
  type WriteBackOutcome,
  type WriteBackReport,
} from '@tidemark/restorer';
import { selectorFromJson } from '@tidemark/selector';
import {
  freshen,
  originalAddress,
  readFrom,
  restoreEnvironment,
  undoRetainMs,
  withLease,
} from '@tidemark/workspace';
import type { Static } from 'typebox';
import { Compile } from 'typebox/schema';
import type { JobContext, JobHandler, JobOutcome, Json } from '../jobs/job.ts';
import { namelessResult } from '../jobs/nameless-result.ts';
import { restoreIdOf } from '../jobs/restore-id.ts';
import { knownInstance } from '../queries/known-instance.ts';
import type { HandlerPorts } from './handler-ports.ts';
import {
  checked,
  checkedSelector,
  fixedTtl,
  PointSchema,
  pointOf,
  SkipSchema,
  type PointJson,
} from './request-parts.ts';
import { RestorePhases } from './restore-phases.ts';
import { TtlSchema } from './ttl-schema.ts';

const LATENCY_MS = 5;

/** What is asked of a write into the running original. */
export const WriteBackJobSchema = {
  type: 'object',
  additionalProperties: false,
  required: ['point', 'selector'],
  properties: {
    point: PointSchema,
    /** `selectorToJson` of \@tidemark/selector. */
    selector: {},
    skip: { anyOf: [SkipSchema, { type: 'null' }] },
    ttl: TtlSchema,
    onConflict: { enum: ['skip', 'overwrite', 'fail'] },
    /** Selected keys that were not there then; default: they are deleted. */
    missingKeys: { enum: ['delete', 'keep'] },
    /** Slower when the original takes longer to answer than this. */
    maxLatencyMs: { type: 'number', minimum: 0.1, maximum: 60_000 },
    /** At most this much on the original, e.g. `5000ops,20MB/s`. */
    rateLimit: { anyOf: [{ type: 'string', maxLength: 64 }, { type: 'null' }] },
  },
} as const;

type WriteBackInput = Static<typeof WriteBackJobSchema>;

/** A request as the job keeps it. */
interface WriteBackJobRequest {
  readonly point: PointJson;
  readonly selector: Json;
  readonly skip: Static<typeof SkipSchema> | null;
  readonly ttl: TtlChoice;
  readonly onConflict: ConflictPolicy;
  /** Missing in jobs of earlier versions: `delete`. */
  readonly missingKeys?: MissingKeys;
  readonly maxLatencyMs: number;
  readonly rateLimit: string | null;
}

/** Id of the write and of its undo pack; noted before anything is written. */
interface WriteBackCheckpoint {
  readonly restore: string;
  /** What it ended with, once everything is written: it is not done again, whatever clients wrote since. */
  readonly ended?: JobOutcome;
}

const validator = Compile(WriteBackJobSchema);

/** Puts selected keys back into the running original; what they held is in the undo pack before. */
export function writeBackHandler(ports: HandlerPorts): JobHandler {
  return {
    kind: 'write-back',
    check: ({ instance, request }) => checkWriteBack(instance, request, ports),
    exclusive: ({ instance }) => `original:${instance}`,
    run: (context) => runWriteBack(context, ports),
    // What is written stays, under its undo pack: a resume goes on there.
    cleanUp: async (context) => {
      const known = context.checkpoint as unknown as WriteBackCheckpoint | null;
      if (known !== null) {
        context.log(
          'info',
          `what was written stays; to take it back: tidemark undo ${known.restore}`,
        );
      }
      return Promise.resolve();
    },
  };
}

function checkWriteBack(instance: string, request: Json, { workspace, clock }: HandlerPorts): Json {
  const input = checked<WriteBackInput>(validator, request);
  knownInstance(workspace.catalog, instance);
  if (!workspace.config.instances.some(({ id }) => id === instance)) {
    throw new UsageError('TM_NOT_FOUND', `the configuration has no instance ${instance}`, {
      hint: `the running server is that of [[instance]] in ${workspace.config.path}`,
    });
  }
  const selector = checkedSelector(input.selector);
  if (selector === null) {
    throw new UsageError('TM_SELECTOR_EMPTY', 'say which keys go into the original', {
      context: { pointer: '/selector' },
      hint: 'a whole instance goes into a new server',
    });
  }
  const { rateLimit = null } = input;
  if (rateLimit !== null) parseRateLimit(rateLimit);
  const asked: WriteBackJobRequest = {
    point: input.point,
    ...{ selector, rateLimit },
    skip: input.skip ?? null,
    ttl: fixedTtl(input.ttl ?? { mode: 'remaining' }, clock.nowMs()),
    onConflict: input.onConflict ?? 'skip',
    missingKeys: input.missingKeys ?? 'delete',
    maxLatencyMs: input.maxLatencyMs ?? LATENCY_MS,
  };
  return asked as unknown as Json;
}

async function runWriteBack(context: JobContext, ports: HandlerPorts): Promise<JobOutcome> {
  const { job, signal } = context;
  const { workspace, clock } = ports;
  const { instance } = job;
  const asked = job.request as unknown as WriteBackJobRequest;
  const phases = new RestorePhases(context, clock);
  const known = context.checkpoint as unknown as WriteBackCheckpoint | null;
  if (known?.ended !== undefined) return known.ended;
  const id = known?.restore ?? restoreIdOf(job.id, 1);
  await context.keep({ restore: id });
  await freshen(workspace, instance, signal);
  const environment = {
    ...restoreEnvironment(workspace, {
      signal,
      onProgress: phases.told,
      onVanishing: () => undefined,
    }),
    onPhase: phases.ended,
  };
  const { rateLimit, maxLatencyMs, onConflict: policy } = asked;
  const live: SparedServer = {
    address: await originalAddress(instance, workspace.config),
    locate: () => originalAddress(instance, workspace.config),
    latencyMaxMs: maxLatencyMs,
    rate: rateLimit === null ? null : parseRateLimit(rateLimit),
  };
  const retainMs = undoRetainMs(instance, workspace);
  const point = pointOf(asked.point);
  const fromSecond = readFrom(workspace.catalog, instance, point);
  const onEnded = async (report: WriteBackReport): Promise<void> => {
    const { state, result } = outcomeOf(report);
    const ended = { state, result: namelessResult('write-back', result) };
    await context.keep({ restore: id, ended });
  };
  const notes = { warn: (message: string) => context.log('warn', message) };
  const outcome = await withLease(
    { instance, fromSecond, isLong: true },
    workspace,
    notes,
    async () => {
      const gone =
        known === null
          ? null
          : await resumeWriteBack(instance, id, { live, retainMs, policy, onEnded }, environment);
      if (gone !== null) return gone;
      const { skip, ttl, missingKeys = 'delete' } = asked;
      return restoreToOriginal(
        {
          ...{ id, instance, point, ttl, live, policy, missingKeys, retainMs, onEnded },
          selector: selectorFromJson(asked.selector),
          skip: skip && { from: BigInt(skip.from), to: BigInt(skip.to) },
        },
        environment,
      );
    },
  );
  return endOf(outcome, context);
}

function endOf({ report, failure }: WriteBackOutcome, context: JobContext): JobOutcome {
  for (const warning of report.warnings) context.log('warn', warning);
  if (failure !== null) {
    context.log('warn', `ended before its end: ${writtenText(report)}`);
    throw failure;
  }
  return outcomeOf(report);
}

function outcomeOf(report: WriteBackReport): JobOutcome {
  const result = JSON.parse(
    JSON.stringify(report, (_name, each: unknown) =>
      typeof each === 'bigint' ? each.toString() : each,
    ),
  ) as Json;
  return { state: report.state === 'partial' ? 'partial' : 'succeeded', result };
}

function writtenText({ restored, deleted, undo }: WriteBackReport): string {
  const done = `${restored.toString()} keys were put back, ${deleted.toString()} deleted`;
  return undo === null ? done : `${done}; the undo pack is ${undo.id}`;
}
