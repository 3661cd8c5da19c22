import type { BackupPolicy } from '@tidemark/catalog';
import type { Actor } from '../jobs/job.ts';

/** A policy as it holds for an instance now. */
export interface PolicyView {
  readonly instance: string;
  /** Every field of it. */
  readonly policy: Required<BackupPolicy>;
  /** Who says so: the log of the instance, or the configuration of this host. */
  readonly source: 'instance' | 'host';
  /** Who set it; null where that is not known, or the host says. */
  readonly setBy: string | null;
  /** When, Unix milliseconds. */
  readonly setMs: number | null;
  /** A strong ETag, with its quotes: another one with every change. */
  readonly etag: string;
  /** When the next backup begins, Unix milliseconds; null where the host knows no such zone. */
  readonly nextBackupMs: number | null;
}

/** A run to come. Unix milliseconds. */
export interface PlannedRun {
  /** The time that the policy names. */
  readonly dueMs: number;
  /** When it begins: a little later, each instance at its own time. */
  readonly beginMs: number;
}

/**
 * What became of a run: `submitted`: a job does it; `skipped`: it was refused; `missed`: a later one was
 * caught up in its place; `made`: a backup stands that was made for it, or after it.
 */
export type PolicyRunState = 'submitted' | 'skipped' | 'missed' | 'made';

/** A run whose time has come. */
export interface PolicyRun {
  readonly instance: string;
  /** The time that the policy named, Unix milliseconds. */
  readonly dueMs: number;
  readonly state: PolicyRunState;
  readonly job: string | null;
  /** Why it was not simply made; empty else. */
  readonly reason: string;
  /** When that was noted. */
  readonly atMs: number;
}

/** How a policy is set. */
export interface SetPolicyOptions {
  readonly actor: Actor;
  /** ETag of the policy that is replaced; null or `*`: whichever it is. */
  readonly ifMatch: string | null;
}

/** Everything that is asked of backup policies, by API and command line alike. */
export interface PolicyDesk {
  /** @throws UsageError `TM_NOT_FOUND`; as `Catalog.sync`. */
  get(instance: string): Promise<PolicyView>;
  /**
   * Sets the policy of an instance; durable, in its log, when it resolves.
   * @throws UsageError `TM_POLICY` (context.pointer) for one that cannot be meant; CatalogError
   *   `TM_POLICY_CHANGED` (context.etag) when it is not the one of `ifMatch` any more; `TM_NOT_FOUND`.
   */
  set(instance: string, policy: BackupPolicy, options: SetPolicyOptions): Promise<PolicyView>;
  /** The runs to come, in order. @throws As `get`; UsageError `TM_POLICY` for a zone not known here. */
  next(instance: string, count: number): Promise<readonly PlannedRun[]>;
  /** Runs whose time has come, newest first; those that this host knows. */
  runs(instance: string, max: number): readonly PolicyRun[];
  /** How many runs of an instance were skipped or missed, of those that are still noted. */
  missedCount(instance: string): number;
}
