import type { TtlChoice } from '@tidemark/restorer';
import type { Json } from '../jobs/job.ts';
import type { Provisioned, ProvisionRequest } from '../provision/provisioner.ts';

/**
 * How far a clone is. Each is written down before what it names is done, so that whoever comes after a
 * kill knows what may have been done:
 *
 * - `provisioning`: a server may have been made;
 * - `provisioned`: there is one, and nothing of ours in it;
 * - `looked`: it was found empty and fit, and which process it is is known;
 * - `replaying`: a restore may have begun. Without its record it has not;
 * - `resuming`: a restore is gone on with that promotes by itself. Without its record it has;
 * - `replayed`: all is there, and not promoted;
 * - `promoting`: without its record it is promoted;
 * - `promoted`, `settling`, `registering`: what is left can be done again.
 */
export type ClonePhase =
  | 'provisioning'
  | 'provisioned'
  | 'looked'
  | 'replaying'
  | 'resuming'
  | 'replayed'
  | 'promoting'
  | 'promoted'
  | 'settling'
  | 'registering';

/** What the target was when it was looked at. */
export interface LookedAt {
  readonly runId: string;
  readonly expired: number;
  readonly expiredFields: number;
  readonly product: string;
  readonly version: string;
}

/** What was replayed, for the report and for what is checked after it. */
export interface ReplayedFacts {
  readonly id: string;
  readonly at: string | null;
  readonly timeline: string;
  readonly offset: string;
  readonly keys: number;
  readonly commands: number;
  readonly bytes: number;
  readonly warnings: readonly string[];
}

/** What a clone keeps between attempts. */
export interface CloneCheckpoint {
  readonly phase: ClonePhase;
  /** With its instants fixed: every attempt gives the same expiries. */
  readonly ttl: TtlChoice;
  readonly asked: ProvisionRequest;
  readonly provisioned: Provisioned | null;
  readonly looked: LookedAt | null;
  readonly restoreId: string | null;
  readonly replayed: ReplayedFacts | null;
  /** What it held when it was checked. */
  readonly count?: { readonly keys: number; readonly expired: number };
}

/** What was kept, as JSON. */
export function checkpointToJson(checkpoint: CloneCheckpoint): Json {
  return checkpoint as unknown as Json;
}

/** What an earlier attempt kept; only `checkpointToJson` writes it. */
export function checkpointFromJson(json: Json): CloneCheckpoint | null {
  return json as unknown as CloneCheckpoint | null;
}
