import type { Bus } from '@tidemark/bus';
import type { Logger } from '@tidemark/archiver';
import type { Clock, Random } from '@tidemark/core';
import type { Workspace } from '@tidemark/workspace';
import type { LocalJobDesk } from '../jobs/job-desk.ts';
import type { JobRows } from '../jobs/job-rows.ts';
import type { StateDatabase } from '../state/database.ts';
import type { CaptureWatch } from './capture-watch.ts';

/** What a host shares with others over Kafka, and with what. */
export interface FleetParts {
  readonly workspace: Workspace;
  readonly state: StateDatabase;
  readonly jobs: LocalJobDesk;
  readonly rows: JobRows;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  /** What this host leaves to others. */
  readonly captures: Pick<CaptureWatch, 'left' | 'noteUntaken'>;
}

/** The same, with an open bus. */
export interface LinkedParts extends FleetParts {
  readonly bus: Bus;
  /** Name of this host: its processes are one reader of what all hosts are told. */
  readonly host: string;
}

/** Waits; the signal ends it, too. */
export async function pause(clock: Clock, ms: number, signal: AbortSignal): Promise<void> {
  await clock.sleep(ms, signal).catch(() => undefined);
}

/** Asked again after a wait: it may be true now. */
export function isOver(signal: AbortSignal): boolean {
  return signal.aborted;
}
