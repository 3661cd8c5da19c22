import { PlanError, type Clock, type Random } from '@tidemark/core';
import type { RestoreProgress } from '@tidemark/restorer';
import type { Workspace } from '@tidemark/workspace';
import type { JobContext } from '../jobs/job.ts';
import type { Provisioned } from '../provision/provisioner.ts';
import type { Provisioners } from '../provision/provisioners.ts';
import { checkpointFromJson, checkpointToJson, type CloneCheckpoint } from './checkpoint.ts';
import { checkGiven, checkSource } from './check-given.ts';
import type { CloneRequest } from './clone-request.ts';

/** What clones are made with. */
export interface CloneParts {
  readonly workspace: Workspace;
  readonly provisioners: Provisioners;
  readonly clock: Clock;
  readonly random: Random;
}

/** Percent of the whole at which each phase begins. */
const PERCENT: Readonly<Record<string, number>> = {
  ...{ source: 0, provision: 2, preflight: 5, replay: 10, promote: 80, verify: 85, settle: 95 },
};

/** One attempt of a clone: what it was asked for, and how far it is. */
export class CloneAttempt {
  readonly request: CloneRequest;
  readonly parts: CloneParts;
  readonly context: JobContext;
  #at: CloneCheckpoint | null;

  constructor(request: CloneRequest, parts: CloneParts, context: JobContext) {
    this.request = request;
    this.parts = parts;
    this.context = context;
    this.#at = checkpointFromJson(context.checkpoint);
  }

  /** How far it is; null: nothing was begun. */
  get at(): CloneCheckpoint | null {
    return this.#at;
  }

  /** How far it is, once it was begun. */
  get here(): CloneCheckpoint {
    if (this.#at === null) throw new PlanError('TM_INTERNAL', 'a clone has not begun');
    return this.#at;
  }

  /** The server that it is written into. */
  get target(): Provisioned {
    const { provisioned } = this.here;
    if (provisioned === null) throw new PlanError('TM_INTERNAL', 'a clone has no server');
    return provisioned;
  }

  /** Writes down how far it is, durably. */
  async keep(checkpoint: CloneCheckpoint): Promise<void> {
    this.context.signal.throwIfAborted();
    await this.context.keep(checkpointToJson(checkpoint));
    this.#at = checkpoint;
  }

  /** @throws As `checkGiven`. */
  async checkGiven(at: CloneCheckpoint): Promise<void> {
    const { workspace, provisioners } = this.parts;
    return checkGiven(at, this.context.job.actor, workspace.config, provisioners);
  }

  /** @throws As `checkSource`. */
  async checkSource(asked: CloneCheckpoint['asked'], provisioned: Provisioned): Promise<void> {
    return checkSource(asked, provisioned, this.context.job.actor, this.parts.workspace.config);
  }

  /** Tells that a phase begins. */
  tell(phase: string): void {
    this.context.progress({ phase, percent: PERCENT[phase] ?? 0 });
  }

  /** Tells how far the replay is. */
  tellRestore({ phase, bytes, bytesTotal }: RestoreProgress): void {
    const from = PERCENT['replay'] ?? 0;
    const share = bytesTotal === 0 ? 0 : Math.min(1, bytes / bytesTotal);
    const percent = Math.round((from + share * ((PERCENT['promote'] ?? 0) - from)) * 10) / 10;
    this.context.progress({ phase, percent, bytesDone: bytes, bytesTotal });
  }
}
