import type { CaptureStatus } from '@tidemark/archiver';
import { askStatus } from '../queries/status.ts';
import type { JobKind } from '../jobs/job.ts';
import type { LinkedParts } from './fleet-parts.ts';

/** Jobs that need the archiver that captures the instance: only a host where that is can do them. */
export const AT_CAPTURE: readonly JobKind[] = ['backup', 'clear-data'];

/** Whether a job of a kind is done where its instance is captured. */
export function isAtCapture(kind: JobKind): boolean {
  return AT_CAPTURE.includes(kind);
}

/** Whether a capture has the log of its instance, also one that cannot go on just now: then it says so itself. */
export function hasLog({ state }: Pick<CaptureStatus, 'state'>): boolean {
  return state !== 'waiting' && state !== 'stopped';
}

/**
 * Whether the archiver of this host has the log of an instance, also one that cannot capture just now: then it
 * says so itself. One that does not answer has none.
 */
export async function capturesHere(
  instance: string,
  { workspace, logger }: Pick<LinkedParts, 'workspace' | 'logger'>,
  signal: AbortSignal,
): Promise<boolean> {
  try {
    const status = await askStatus(workspace, signal);
    const capture = status?.captures.find((one) => one.instance === instance);
    return capture !== undefined && hasLog(capture);
  } catch (cause) {
    if (!signal.aborted) logger.warn('archiver-not-asked', { instance, error: String(cause) });
    return false;
  }
}
