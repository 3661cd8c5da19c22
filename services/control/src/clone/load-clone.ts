import { makeId, PlanError } from '@tidemark/core';
import {
  restore,
  restoreState,
  resumeRestore,
  type RestoreEnvironment,
  type RestoreReport,
  type RestoreRequest,
} from '@tidemark/restorer';
import { selectorFromJson } from '@tidemark/selector';
import { configuredAddress, loadConfig, restoreEnvironment } from '@tidemark/workspace';
import { refuseConfiguredNode } from '../provision/configured-nodes.ts';
import type { ReplayedFacts } from './checkpoint.ts';
import type { CloneAttempt } from './clone-attempt.ts';
import { hasSourcePassword, refuseOpenSource } from './open-source.ts';
import { readPassword, restoreTargetOf, withTarget } from './open-clone.ts';

/**
 * Brings all of the data into the server of a clone, and promotes it. It goes on where the attempt is.
 * @param provide - Looks at the server again, when the replay has to begin anew.
 */
export async function loadClone(
  attempt: CloneAttempt,
  provide: () => Promise<void>,
): Promise<void> {
  const isAt = (...phases: readonly string[]): boolean => phases.includes(attempt.here.phase);
  if (isAt('replaying', 'resuming')) await goOn(attempt, provide);
  if (isAt('looked')) await replay(attempt);
  if (isAt('replayed', 'promoting')) await promote(attempt);
}

async function replay(attempt: CloneAttempt): Promise<void> {
  const { clock, random } = attempt.parts;
  const restoreId = `rs-${makeId(clock.nowMs(), random)}`;
  await attempt.keep({ ...attempt.here, phase: 'replaying', restoreId });
  attempt.tell('replay');
  const report = await withRestore(attempt, async (request, environment) =>
    restore({ ...request, id: restoreId, promote: false }, environment),
  );
  const replayed = factsOf(report);
  if (replayed.keys === 0 && attempt.request.selector !== null) {
    throw new PlanError('TM_NOT_FOUND', 'no selected key was there at that time', {
      hint: 'nothing was handed over',
    });
  }
  await attempt.keep({ ...attempt.here, phase: 'replayed', replayed });
}

/** An attempt was killed while it replayed. */
async function goOn(attempt: CloneAttempt, provide: () => Promise<void>): Promise<void> {
  const at = attempt.here;
  const id = at.restoreId ?? '';
  const state = await restoreState(id, attempt.parts.workspace.config);
  if (state === null) {
    // It did not begin, or was called off, which leaves an empty server; or it was promoted.
    const isBegun = at.phase === 'resuming' && (await holdsData(attempt));
    if (isBegun) return attempt.keep({ ...at, phase: 'promoted' });
    await attempt.keep({ ...at, phase: 'provisioned', looked: null, restoreId: null });
    return provide();
  }
  await attempt.keep({ ...at, phase: 'resuming' });
  attempt.tell('replay');
  const report = await resume(attempt, id);
  await attempt.keep({ ...at, phase: 'promoted', replayed: factsOf(report) });
}

async function holdsData({ target, parts, context }: CloneAttempt): Promise<boolean> {
  const { secrets } = parts.provisioners;
  return withTarget(target, secrets, context.signal, async (client) =>
    /^db\d+:keys=/m.test(String(await client.call('INFO', 'keyspace'))),
  );
}

async function promote(attempt: CloneAttempt): Promise<void> {
  const at = attempt.here;
  const id = at.restoreId ?? '';
  if (at.phase === 'replayed') await refuseOpen(attempt);
  await attempt.keep({ ...at, phase: 'promoting' });
  attempt.tell('promote');
  if ((await restoreState(id, attempt.parts.workspace.config)) !== null) {
    const { warnings } = await resume(attempt, id);
    const replayed = at.replayed && { ...at.replayed, warnings };
    return attempt.keep({ ...at, phase: 'promoted', replayed });
  }
  return attempt.keep({ ...at, phase: 'promoted' });
}

/** What was planned says of which second it is: the users are written with the promotion. */
async function refuseOpen({ request, parts, context, here }: CloneAttempt): Promise<void> {
  const { job, signal } = context;
  const ms = Date.parse(here.replayed?.at ?? '');
  const atMs = Number.isNaN(ms) ? null : ms + 999;
  await refuseOpenSource(request, job.instance, atMs, parts.workspace, signal);
}

async function resume(attempt: CloneAttempt, id: string): Promise<RestoreReport> {
  const { instance } = attempt.context.job;
  return withRestore(attempt, async (_, environment) =>
    resumeRestore(instance, id, readPassword, environment),
  );
}

async function withRestore<T>(
  attempt: CloneAttempt,
  work: (request: RestoreRequest, environment: RestoreEnvironment) => Promise<T>,
): Promise<T> {
  const { instance } = attempt.context.job;
  const { source, selector, withFunctions, keep, verify } = attempt.request;
  const target = await restoreTargetOf(attempt.target, attempt.parts.provisioners.secrets);
  const [users, password] = [keep.includes('users'), hasSourcePassword(attempt.request)];
  const params = keep.includes('params');
  const isWished = users || password || params;
  try {
    return await work(
      {
        ...{ instance, point: source, ttl: attempt.here.ttl, target, verify, withFunctions },
        selector: selector === null ? null : selectorFromJson(selector),
        ...{ promote: false, allowFlush: false, feedListen: null, feedAdvertise: null },
        facts: isWished ? { acl: users || password, defaultUser: password, config: params } : null,
      },
      await environmentOf(attempt),
    );
  } finally {
    target.address.tls?.[Symbol.dispose]();
  }
}

/** What the restores of a clone work with. */
export async function environmentOf(attempt: CloneAttempt): Promise<RestoreEnvironment> {
  const { context, parts, request } = attempt;
  const { workspace } = parts;
  const { job, signal } = context;
  const environment = restoreEnvironment(workspace, {
    signal,
    onProgress: (progress) => attempt.tellRestore(progress),
    onVanishing: ({ count }) =>
      context.log('warn', `${count.toString()} keys have expired and vanish at once`),
  });
  return {
    ...environment,
    original: await configuredAddress(job.instance, await loadConfig(workspace.config.path)),
    // One that was started here for this is nobody's else.
    ...(request.target.kind === 'local'
      ? {}
      : { checkNode: (target) => refuseConfiguredNode(target, workspace, signal) }),
  };
}

function factsOf(report: RestoreReport): ReplayedFacts {
  const { id, at, cut, keys, commands, bytes, warnings } = report;
  return { id, at, timeline: cut.timeline, offset: cut.offset, keys, commands, bytes, warnings };
}
