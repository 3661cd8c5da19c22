import { TidemarkError, UsageError } from '@tidemark/core';
import { Compile } from 'typebox/schema';
import { checkNewSource } from '../clone/check-given.ts';
import { cleanUpClone } from '../clone/clean-up.ts';
import { cloneReport, exclusiveOf } from '../clone/clone-handler.ts';
import {
  checkTargetOf,
  refuseInvalid,
  type CloneRequest,
  type Kept,
} from '../clone/clone-request.ts';
import type { CloneParts } from '../clone/clone-attempt.ts';
import { runClone } from '../clone/clone-run.ts';
import { refuseKnownInstance } from '../clone/register-clone.ts';
import { RebuildSchema, type RebuildInput } from '../clone/request-schema.ts';
import { sourceNeeds } from '../clone/source-needs.ts';
import { takeBackClone } from '../clone/take-back.ts';
import type { JobHandler, JobOrder, Json } from '../jobs/job.ts';
import type { RecycleBin, RecycledInstance } from './recycle-bin.ts';

const CHECK_MS = 60_000;
const validator = Compile(RebuildSchema);

/** What rebuilds are made with. */
export interface RebuildParts extends CloneParts {
  readonly recycle: RecycleBin;
}

/**
 * Jobs of kind `rebuild`: an instance of the recycle bin becomes a new instance, with its data, users,
 * passwords, settings and backup policy, under protection from its first moment on.
 */
export function rebuildHandler(parts: RebuildParts): JobHandler {
  const requestOf = (request: Json): CloneRequest => request as unknown as CloneRequest;
  return {
    kind: 'rebuild',
    check: async (order) => (await checkRebuild(order, parts)) as unknown as Json,
    exclusive: ({ instance, request }) => `rebuild:${instance}\n${exclusiveOf(requestOf(request))}`,
    async run(context) {
      const { job, signal } = context;
      const request = requestOf(job.request);
      refuseUnfit(await parts.recycle.get(job.instance, signal));
      const result = await runClone(request, parts, context);
      const into = request.register ? request.name : null;
      await parts.recycle.noteRebuilt(
        job.instance,
        { into, job: job.id, by: job.actor.name },
        signal,
      );
      context.log('info', `rebuilt: ${result.provisioned.publicUrl}`);
      return { state: 'succeeded', result: cloneReport(request, result) as unknown as Json };
    },
    cleanUp: (context) => cleanUpClone(requestOf(context.job.request).register, parts, context),
    takeBack: (context) => takeBackClone(requestOf(context.job.request), parts, context),
  };
}

async function checkRebuild(
  { request, instance, actor }: JobOrder,
  parts: RebuildParts,
): Promise<CloneRequest> {
  refuseInvalid(validator, request);
  const input = request as RebuildInput;
  const signal = AbortSignal.timeout(CHECK_MS);
  const recycled = await parts.recycle.get(instance, signal);
  refuseUnfit(recycled);
  const name = input.name ?? `${instance.slice(0, 54)}-rebuilt`;
  const { node } = recycled;
  const needs = await sourceNeeds(instance, parts.workspace, signal);
  const asked = await checkTargetOf({ ...input, name }, parts.provisioners, actor);
  const register = input.register ?? true;
  if (register) {
    await refuseKnownInstance(name, parts.workspace);
    await checkNewSource(asked.target, actor, parts.workspace.config);
  }
  // One without a password is given one, or keeps what its server has.
  const isOwnPassword = needs.hasUsers && !needs.isOpen && asked.passwordRef === null;
  // The default user was the one that captured: its password is known, though no user was stored.
  const isKnown = node?.user === null && !needs.hasUsers && asked.passwordRef === null;
  const ofCapture = async (): Promise<string | null> => copyOf(node?.passwordRef ?? null, parts);
  const kept: readonly (Kept | null)[] = [
    needs.hasUsers ? 'users' : null,
    isOwnPassword ? 'password' : null,
    needs.hasParams ? 'params' : null,
    'policy',
  ];
  return {
    ...{ source: { kind: 'latest' }, selector: null, withFunctions: true, register },
    ...{ ttl: { mode: 'absolute' }, verify: 'stream', sample: input.sample ?? 0 },
    ...asked,
    passwordRef: isKnown ? await ofCapture() : asked.passwordRef,
    keep: kept.filter((each) => each !== null),
    login:
      isOwnPassword && register && node !== null
        ? { user: node.user, passwordRef: await ofCapture() }
        : null,
  };
}

/** The password of the released instance in a file of its own: the one of the bin goes with that. */
async function copyOf(
  passwordRef: string | null,
  { provisioners: { secrets }, random }: CloneParts,
): Promise<string | null> {
  return passwordRef === null
    ? null
    : secrets.keep(await secrets.read(passwordRef), 'clone', random);
}

/**
 * An instance with TDE is not rebuilt: the new one would take writes before it has TDE itself, and what
 * is captured of it until then would lie under other keys than its owner chose. Its data can be had back
 * by a clone, which opens them only towards the memory of a server.
 */
function refuseUnfit({ instance, state, tde }: RecycledInstance): void {
  if (state === 'destroyed' || state === 'erased') {
    throw new UsageError('TM_RECYCLE_STATE', `${instance} was destroyed`, {
      context: { instance, state },
      hint: 'its keys are gone: nothing can be had back',
    });
  }
  if (!tde) return;
  throw new TidemarkError('TM_TDE_REBUILD', `${instance} has TDE: it is not rebuilt`, {
    context: { instance },
    hint: 'clone it into a server (tidemark clone), add that one and enable TDE on it: docs/recycle-bin.md',
  });
}
