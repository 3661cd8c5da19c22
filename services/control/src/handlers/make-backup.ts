import { callArchiver, controlSocketPath, type CaptureStatus } from '@tidemark/archiver';
import type { CatalogSnapshot } from '@tidemark/catalog';
import { TidemarkError } from '@tidemark/core';
import type { Job, JobContext } from '../jobs/job.ts';
import type { HandlerPorts } from './handler-ports.ts';

const BACKUP_TIMEOUT_MS = 6 * 3_600_000;
const STATUS_TIMEOUT_MS = 10_000;
/** How often it is looked whether a backup that was asked for is there. */
const LOOK_MS = 500;
/** How long an archiver that was asked, and is away since, is waited for. */
const AWAY_MS = 120_000;
const BEFORE_MAX = 256;

type BackupMode = 'manual' | 'automated';

/** What was there before a backup was asked for. */
export interface BackupsBefore {
  /** The newest backups. */
  readonly before: readonly string[];
  /** When the newest of them was begun; those from before are not listed, and are not the one of this job. */
  readonly sinceMs?: number;
}

/** What an archiver that was asked does now. */
type Making = 'away' | 'at-work' | 'idle';

/**
 * Has the archiver make a backup, and no second one when it, or an earlier attempt, is killed meanwhile: what it
 * was asked for may be there all the same, or be on its way. Only where it is neither is it asked again.
 * @param asked - Whether an earlier attempt may have asked.
 * @returns Its id.
 * @throws As the archiver answers; TidemarkError `TM_ARCHIVER_DOWN` when none runs, or none comes back.
 */
export async function makeBackup(
  context: Pick<JobContext, 'job' | 'signal' | 'progress' | 'log'>,
  ports: Pick<HandlerPorts, 'workspace' | 'clock'>,
  { before, asked }: { readonly before: BackupsBefore; readonly asked: boolean },
): Promise<string> {
  const { job, signal } = context;
  const { workspace, clock } = ports;
  const socketPath = controlSocketPath(workspace.config.stateDir);
  let isAsked = asked;
  let awaySinceMs: number | null = null;
  context.progress({ phase: 'rewrite', percent: 10 });
  for (;;) {
    // Looked for after that: what is no more on its way stands in the log by then.
    let making = isAsked ? await makingOf(job.instance, socketPath, signal) : 'idle';
    const made = isAsked ? await madeSince(before, context, ports) : null;
    if (made !== null) return made;
    if (making === 'idle') {
      try {
        const call = { socketPath, timeoutMs: BACKUP_TIMEOUT_MS, signal };
        const answer = await callArchiver(call, 'backup', job.instance, {
          mode: modeOf(job),
        });
        return (answer as { readonly backup: string }).backup;
      } catch (cause) {
        if (!isPassing(cause, isAsked)) throw cause;
        making = cause.code === 'TM_BUSY' ? 'at-work' : 'away';
        isAsked = true;
      }
    }
    const nowMs = clock.monotonicMs();
    if (making === 'at-work') awaySinceMs = null;
    else if (awaySinceMs === null) {
      awaySinceMs = nowMs;
      context.log('warn', 'the archiver has ended, or has not begun: it is waited for');
    } else if (nowMs - awaySinceMs > AWAY_MS) throw gone();
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
    signal.throwIfAborted();
  }
}

/** What is kept of the backups that are there: the newest 256, and when the newest was begun. */
export function newestBackups(
  snapshots: readonly Pick<CatalogSnapshot, 'backup' | 'startedMs'>[],
): Required<BackupsBefore> {
  const newest = [...snapshots].sort((a, b) => b.startedMs - a.startedMs);
  return {
    before: newest.slice(0, BEFORE_MAX).map(({ backup }) => backup),
    sinceMs: newest[0]?.startedMs ?? 0,
  };
}

type BegunBackup = Pick<CatalogSnapshot, 'backup' | 'startedMs' | 'mode'>;

/**
 * The first backup of a mode that was begun since; null = none. Older ones than those that are listed are
 * none: a list that is cut says nothing of them.
 */
export function newBackup(
  { before, sinceMs }: BackupsBefore,
  snapshots: readonly BegunBackup[],
  wanted: BackupMode,
): string | null {
  const known = new Set(before);
  // A checkpoint of an earlier version tells by its names alone since when.
  const times = snapshots.filter(({ backup }) => known.has(backup)).map((one) => one.startedMs);
  const fromMs = sinceMs ?? times.reduce((most, each) => Math.max(most, each), 0);
  const made = snapshots.filter(
    ({ backup, startedMs, mode }) => mode === wanted && startedMs >= fromMs && !known.has(backup),
  );
  const [first] = made.sort((a, b) => a.startedMs - b.startedMs);
  return first?.backup ?? null;
}

async function madeSince(
  before: BackupsBefore,
  { job, signal }: Pick<JobContext, 'job' | 'signal'>,
  { workspace }: Pick<HandlerPorts, 'workspace'>,
): Promise<string | null> {
  await workspace.sync(signal, job.instance);
  return newBackup(before, workspace.catalog.snapshots(job.instance), modeOf(job));
}

async function makingOf(
  instance: string,
  socketPath: string,
  signal: AbortSignal,
): Promise<Making> {
  const options = { socketPath, timeoutMs: STATUS_TIMEOUT_MS, signal };
  let captures: readonly CaptureStatus[];
  try {
    const answer = await callArchiver(options, 'status', null);
    ({ captures } = answer as { readonly captures: readonly CaptureStatus[] });
  } catch (cause) {
    if (isPassing(cause, true)) return 'away';
    throw cause;
  }
  const capture = captures.find((one) => one.instance === instance);
  // Of one that it does not capture, or cannot, it says so itself when it is asked.
  if (capture === undefined || ['failed', 'waiting'].includes(capture.state)) return 'idle';
  if (capture.isBackingUp === null) return 'away';
  return capture.isBackingUp ? 'at-work' : 'idle';
}

/** Whether the archiver may make what it was asked for, now or before; not where none ran at all. */
function isPassing(cause: unknown, wasAsked: boolean): cause is TidemarkError {
  if (!(cause instanceof TidemarkError)) return false;
  if (cause.code === 'TM_BUSY') return wasAsked;
  return cause.code === 'TM_ARCHIVER_DOWN' && (wasAsked || cause.context['asked'] !== false);
}

function modeOf({ request }: Job): BackupMode {
  return (request as unknown as { readonly mode: BackupMode }).mode;
}

function gone(): TidemarkError {
  return new TidemarkError('TM_ARCHIVER_DOWN', 'the archiver was asked, and is away since', {
    hint: 'start it, then resume the job: what it had begun is looked for first',
  });
}
