import type { Clock } from '@tidemark/core';
import type { Workspace } from '@tidemark/workspace';
import type { LeftToOthers } from '../jobs/job-rows.ts';
import { askStatus } from '../queries/status.ts';
import { AT_CAPTURE, hasLog } from './at-capture.ts';
import { isOver, pause } from './fleet-parts.ts';

const LOOK_MS = 2_000;

/**
 * Knows what the archiver of this host captures. In a fleet that changes, and a job that needs the archiver of
 * its instance is given to the host where that is.
 */
export class CaptureWatch {
  readonly #workspace: Pick<Workspace, 'config' | 'askArchiver'>;
  readonly #clock: Clock;
  #here: ReadonlySet<string> = new Set();
  #untaken: ReadonlySet<string> = new Set();

  constructor(workspace: Pick<Workspace, 'config' | 'askArchiver'>, clock: Clock) {
    this.#workspace = workspace;
    this.#clock = clock;
  }

  /** Null outside of a fleet: what is captured at all is captured here. */
  readonly left = (): LeftToOthers | null => {
    const { fleet, events } = this.#workspace.config;
    if (!fleet || events === null) return null;
    return { kinds: AT_CAPTURE, here: this.#here, but: this.#untaken };
  };

  /** Jobs that were left, and that nobody took: they are done here all the same, and fail by what is in their way. */
  noteUntaken(jobs: ReadonlySet<string>): void {
    this.#untaken = jobs;
  }

  /** Looks every two seconds until the signal. An archiver that is away captures nothing. */
  async run(signal: AbortSignal): Promise<void> {
    while (!isOver(signal) && this.left() !== null) {
      const status = await askStatus(this.#workspace, signal).catch(() => null);
      const captures = status?.captures.filter(hasLog) ?? [];
      this.#here = new Set(captures.map(({ instance }) => instance));
      await pause(this.#clock, LOOK_MS, signal);
    }
  }
}
