import { TidemarkError } from '@tidemark/core';
import {
  abortRestore,
  forgetRestore,
  restoreState,
  type RestoreEnvironment,
} from '@tidemark/restorer';
import { loadConfig, removeInstance, restoreEnvironment } from '@tidemark/workspace';
import type { JobContext } from '../jobs/job.ts';
import { refuseConfiguredNode } from '../provision/configured-nodes.ts';
import { checkGiven } from './check-given.ts';
import type { CloneCheckpoint } from './checkpoint.ts';
import { checkpointFromJson } from './checkpoint.ts';
import type { CloneParts } from './clone-attempt.ts';
import { readPassword, withTarget } from './open-clone.ts';
import { registeredUrl } from './register-clone.ts';

/** A clean-up holds a worker no longer than this, in milliseconds, beside the hook's own time. */
const PATIENCE_MS = 60_000;
const DETACH_MS = 30_000;

type CleanContext = Omit<JobContext, 'progress'>;

/**
 * Takes away what a clone left that was not handed over: a server that was made for it goes, one that was
 * given ends empty and not promoted. Safe to repeat.
 */
export async function cleanUpClone(
  register: boolean,
  parts: CloneParts,
  context: CleanContext,
): Promise<void> {
  const at = checkpointFromJson(context.checkpoint);
  if (at === null) return;
  const { config } = parts.workspace;
  if (register && at.phase === 'registering') await unregister(at, parts);
  await callOff(at, parts, context, { mayEmpty: true });
  const { clock: _clock, provisioners } = parts;
  const { kind } = at.asked.target;
  // Its server may be the one of another worker by now.
  context.signal.throwIfAborted();
  const patience = kind === 'hook' ? config.clone.hookTimeoutMs : 0;
  try {
    await provisioners.of(kind).release(at.asked, {
      signal: patient(context, PATIENCE_MS + patience),
      log: (level, message) => context.log(level, message),
    });
    if (kind !== 'address') context.log('info', 'the server that was made for it is taken away');
  } catch (cause) {
    context.signal.throwIfAborted();
    context.log('error', `the server could not be taken away: ${messageOf(cause)}`);
  }
  // Who asks for it once more begins anew.
  await context.keep(null);
}

/** Takes it out of the configuration. One of the same name that is another server stays: another job registered it. */
export async function unregister(
  { asked, provisioned }: CloneCheckpoint,
  { workspace }: CloneParts,
): Promise<void> {
  if (provisioned === null) return;
  const { path } = workspace.config;
  const { name } = asked;
  const { instances } = await loadConfig(path);
  const url = registeredUrl(provisioned);
  if (!instances.some((each) => each.id === name && each.url === url)) return;
  const options = { timeoutMs: DETACH_MS, signal: AbortSignal.timeout(DETACH_MS) };
  await workspace.askArchiver('detach', name, options).catch(() => null); // it may not have it
  await removeInstance(path, name);
}

/**
 * A server of the caller's holds part of the data, or all of it, and nobody was told.
 * @param how - `mayEmpty`: whether it is emptied although no restore into it is on record.
 */
export async function callOff(
  at: CloneCheckpoint,
  parts: CloneParts,
  context: CleanContext,
  { mayEmpty }: { readonly mayEmpty: boolean },
): Promise<void> {
  const { restoreId, provisioned } = at;
  if (restoreId === null || provisioned === null) return;
  const { workspace } = parts;
  const signal = patient(context, PATIENCE_MS);
  const environment: RestoreEnvironment = {
    ...restoreEnvironment(workspace, {
      signal,
      onProgress: () => undefined,
      onVanishing: () => undefined,
    }),
    checkNode: (target) => refuseConfiguredNode(target, workspace, signal),
  };
  if (provisioned.ownedBy !== 'caller') return forgetRestore(restoreId, environment);
  try {
    const config = await loadConfig(workspace.config.path);
    await checkGiven(at, context.job.actor, config, parts.provisioners);
    if ((await restoreState(restoreId, environment)) !== null) {
      const { instance } = context.job;
      const { warnings } = await abortRestore(instance, restoreId, readPassword, environment);
      for (const warning of warnings) context.log('warn', warning);
    } else if (mayEmpty && !['looked', 'replaying'].includes(at.phase)) {
      await empty(at, parts, context);
    }
  } catch (cause) {
    context.signal.throwIfAborted();
    const isDenied = cause instanceof TidemarkError && cause.code === 'TM_TARGET_DENIED';
    const when = isDenied
      ? 'it was left as it is: call it off'
      : 'call it off when it answers again';
    const hint = `${when}: tidemark restore --abort ${restoreId}, or there: REPLICAOF NO ONE, FLUSHALL`;
    const { publicUrl } = provisioned;
    context.log('error', `the target ${publicUrl} was not emptied: ${messageOf(cause)}; ${hint}`);
  }
}

/** It was empty before this clone, and was promoted by it: what is in it is ours. */
async function empty(
  { provisioned, looked, asked }: CloneCheckpoint,
  { provisioners, workspace }: CloneParts,
  context: CleanContext,
): Promise<void> {
  if (provisioned === null || looked === null) return;
  const signal = patient(context, PATIENCE_MS);
  const { secrets } = provisioners;
  const work = (passwordRef: string | null): Promise<void> =>
    withTarget({ ...provisioned, passwordRef }, secrets, signal, async (client) => {
      const runId = (await client.info('server')).get('run_id') ?? '';
      await refuseConfiguredNode({ client, runId }, workspace, signal);
      if (runId !== looked.runId) {
        context.log('warn', 'the target is another process now: its data were left as they are');
        return;
      }
      context.signal.throwIfAborted();
      await client.call('FLUSHALL', 'ASYNC');
      context.log('info', 'the target was emptied');
    });
  try {
    await work(provisioned.passwordRef);
  } catch (cause) {
    const isLogin = cause instanceof TidemarkError && cause.code === 'TM_NODE_AUTH';
    if (!isLogin || asked.passwordRef === null) throw cause;
    await work(asked.passwordRef); // it was settled already
  }
}

const patient = ({ signal }: CleanContext, ms: number): AbortSignal =>
  AbortSignal.any([signal, AbortSignal.timeout(ms)]);

const messageOf = (cause: unknown): string =>
  cause instanceof Error ? cause.message : String(cause);
