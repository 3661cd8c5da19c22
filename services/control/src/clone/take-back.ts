import { forgetRestore } from '@tidemark/restorer';
import { hostName } from '../jobs/host-name.ts';
import type { JobContext } from '../jobs/job.ts';
import { takeBackServer } from '../provision/take-back-server.ts';
import { checkpointFromJson, type CloneCheckpoint } from './checkpoint.ts';
import { callOff, unregister } from './clean-up.ts';
import type { CloneParts } from './clone-attempt.ts';
import type { CloneRequest } from './clone-request.ts';

type LeftContext = Omit<JobContext, 'progress'>;

/**
 * Takes away what attempts of this host have begun of a clone that another host ended: its entry of the configuration,
 * the record of its restore, and the server that was started here, with its folder, its name and its passwords. A
 * server of somebody else's, or of a hook, may be the one that was handed over: it is left, and what is to be done is
 * said. Safe to repeat.
 */
export async function takeBackClone(
  { register, target }: Pick<CloneRequest, 'register' | 'target'>,
  parts: CloneParts,
  context: LeftContext,
): Promise<void> {
  const at = checkpointFromJson(context.checkpoint);
  if (at !== null) {
    if (register && at.phase === 'registering') await unregister(at, parts);
    await endRestore(at, parts, context);
  }
  if (target.kind === 'local') await takeBackLocal(parts, context);
  if (target.kind === 'hook') tellOfHook(at, context);
}

/** Where it was done the target is in use: the record of a replay into it must not call that off one day. */
async function endRestore(
  at: CloneCheckpoint,
  parts: CloneParts,
  context: LeftContext,
): Promise<void> {
  if (at.restoreId === null) return;
  const isDone = ['succeeded', 'partial'].includes(context.job.state);
  const { stateDir } = parts.workspace.config;
  if (isDone) await forgetRestore(at.restoreId, { stateDir });
  // That looks whether the target still follows this very replay.
  else await callOff(at, parts, context, { mayEmpty: false });
}

async function takeBackLocal(
  { workspace, provisioners, random }: CloneParts,
  { job, log }: LeftContext,
): Promise<void> {
  const { config } = workspace;
  const host = await hostName(config.stateDir, random);
  const taken = await takeBackServer(job.id, { config, secrets: provisioners.secrets, host });
  const elsewhere = `the job was ended elsewhere (${job.state})`;
  if (taken.kind === 'gone') {
    log('info', `${elsewhere}: the server that was begun on this host is taken away`);
  } else if (taken.kind === 'left') {
    const end = `tidemark servers end ${job.id} --data delete --confirm ${job.id}`;
    log('warn', `${elsewhere}; a server on this host is left: ${taken.why}; to end it: ${end}`);
  }
}

/** It gives one server to all who ask with the id of the job: taking that back may take away what is in use. */
function tellOfHook(at: CloneCheckpoint | null, { job, log }: LeftContext): void {
  if (at === null || ['succeeded', 'partial'].includes(job.state)) return;
  log(
    'warn',
    `this job was ended elsewhere (${job.state}): look whether a server of the hook is left for ${job.id}`,
  );
}
