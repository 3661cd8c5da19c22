import { PlanError } from '@tidemark/core';
import { freshen, readFrom, withLease } from '@tidemark/workspace';
import type { JobContext } from '../jobs/job.ts';
import type { CloneCheckpoint } from './checkpoint.ts';
import { CloneAttempt, type CloneParts } from './clone-attempt.ts';
import type { CloneRequest } from './clone-request.ts';
import { handOverClone, type CloneResult } from './hand-over-clone.ts';
import { loadClone } from './load-clone.ts';
import { lookAtTarget } from './open-clone.ts';
import { hasSourcePassword } from './open-source.ts';
import { passwordFor } from './password-for.ts';
import { sourceNeeds, type SourceNeeds } from './source-needs.ts';

/** One attempt of a clone: it goes on where the checkpoint says. */
export async function runClone(
  request: CloneRequest,
  parts: CloneParts,
  context: JobContext,
): Promise<CloneResult> {
  const attempt = new CloneAttempt(request, parts, context);
  const { workspace } = parts;
  const { instance } = context.job;
  attempt.tell('source');
  if (attempt.at !== null) await attempt.checkGiven(attempt.at);
  await freshen(workspace, instance, context.signal);
  const reading = {
    instance,
    fromSecond: readFrom(workspace.catalog, instance, request.source),
    isLong: true,
  };
  const notes = { warn: (message: string) => context.log('warn', message) };
  return withLease(reading, workspace, notes, async () => {
    await provide(attempt);
    await loadClone(attempt, () => provide(attempt));
    return handOverClone(attempt);
  });
}

/** A server, found fit. */
async function provide(attempt: CloneAttempt): Promise<void> {
  const { context, parts } = attempt;
  const { signal } = context;
  const { provisioners } = parts;
  const at = attempt.at ?? (await begin(attempt));
  if (at.phase === 'provisioning') {
    attempt.tell('provision');
    const provisioned = await provisioners.of(at.asked.target.kind).provision(at.asked, {
      signal,
      log: (level, message) => context.log(level, message),
    });
    context.log('info', `the server is ${provisioned.publicUrl}`);
    const now = { ...at, phase: 'provisioned', provisioned } as const;
    await attempt.checkGiven(now);
    // What a hook has chosen is known only now.
    if (attempt.request.register) await attempt.checkSource(now.asked, provisioned);
    await attempt.keep(now);
  }
  const now = attempt.here;
  if (now.phase === 'provisioned') {
    attempt.tell('preflight');
    const { memoryBytes } = now.asked;
    const looked = await lookAtTarget(attempt.target, memoryBytes, provisioners.secrets, signal);
    await attempt.keep({ ...now, phase: 'looked', looked });
  }
}

async function begin(attempt: CloneAttempt): Promise<CloneCheckpoint> {
  const { workspace, clock } = attempt.parts;
  const { job, signal } = attempt.context;
  const { target, name, ttl } = attempt.request;
  const needs = await sourceNeeds(job.instance, workspace, signal);
  const memoryBytes = memoryFor(attempt.request, needs);
  const passwordRef = passwordFor(attempt.request, job.id);
  const at: CloneCheckpoint = {
    phase: 'provisioning',
    ttl: ttl.mode === 'remaining' ? { mode: 'rebase', toMs: clock.nowMs() } : ttl,
    asked: {
      ...{ id: job.id, instance: job.instance, name, target, passwordRef, memoryBytes },
      closed: hasSourcePassword(attempt.request),
      maxmemory: attempt.request.memoryBytes ?? needs.maxmemory,
      databases: needs.databases,
    },
    ...{ provisioned: null, looked: null, restoreId: null, replayed: null },
  };
  await attempt.keep(at);
  return at;
}

function memoryFor({ memoryBytes: wanted }: CloneRequest, needs: SourceNeeds): number {
  if (wanted === null || wanted >= needs.memoryBytes) return wanted ?? needs.memoryBytes;
  throw new PlanError('TM_TARGET_MEMORY', 'the clone would be smaller than its source', {
    context: { needed: needs.memoryBytes, wanted },
    hint: `at least ${needs.memoryBytes.toString()} bytes, which the source uses or may use; or give no size (--memory, memoryBytes)`,
  });
}
