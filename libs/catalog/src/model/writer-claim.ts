import { CatalogError } from '@tidemark/core';
import type { OwnerClaimed } from './events.ts';
import type { WriterState } from './writer-state.ts';

/** Heartbeats without an entry after which an owner counts as gone. */
export const OWNER_HEARTBEATS = 3;

/** Default distance of heartbeats: an owner counts as gone after 60 s. */
export const HEARTBEAT_MS = 20_000;

/** Who wants a log, and how. */
export interface ClaimRequest {
  /** Id of the spool: the same spool may always go on. */
  readonly ownerId: string;
  /** Take the log from an owner that may be alive. */
  readonly takeOver: boolean;
  /** Distance of heartbeats in milliseconds. */
  readonly heartbeatMs: number;
  readonly nowMs: number;
}

/**
 * The claim that a process may append to become the owner.
 *
 * The waiting time is a courtesy to an owner that is alive; what keeps two owners apart is that
 * entries are created conditionally and carry the generation.
 * @throws CatalogError `TM_LOG_OWNER` when another owner showed life within three heartbeats and
 *   has not released the log; `context.waitMs` says how long a claim without `takeOver` must wait.
 */
export function decideClaim(state: WriterState, request: ClaimRequest): OwnerClaimed {
  const { ownerId, takeOver, heartbeatMs, nowMs } = request;
  const { owner } = state;
  const other = owner !== null && !owner.released && owner.ownerId !== ownerId ? owner : null;
  const ageMs = nowMs - (state.lastEntryMs ?? nowMs);
  const limitMs = OWNER_HEARTBEATS * heartbeatMs;
  if (other !== null && ageMs < limitMs && !takeOver) {
    const waitMs = limitMs - ageMs;
    const waitSeconds = Math.ceil(waitMs / 1000);
    throw new CatalogError(
      'TM_LOG_OWNER',
      `another archiver (${other.ownerId}) wrote ${Math.floor(ageMs / 1000)} s ago`,
      {
        context: { ownerId: other.ownerId, generation: other.generation, ageMs, waitMs },
        hint: `wait ${waitSeconds} s, or use --take-over if that archiver is gone for good`,
      },
    );
  }
  const generation = (owner?.generation ?? 0) + 1;
  return { type: 'OwnerClaimed', generation, ownerId, atMs: nowMs, tookOver: other !== null };
}
