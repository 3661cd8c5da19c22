import type { RetentionFloor } from '../retention/history.ts';
import type { Lease } from './instance-state.ts';
import type { LeaseTaken } from './instance-events.ts';

/** Entries of a writer log up to `seq` go, but those that hold the body of something kept. */
export interface LogCut {
  readonly writer: string;
  /** A checkpoint stands there. */
  readonly seq: number;
}

/** Objects that no log names: how many, and the digest of their keys. */
export interface UnnamedObjects {
  readonly objects: number;
  readonly bytes: number;
  /** SHA-256 over the sorted keys, each with a line feed behind it, 64 hex. */
  readonly digest: string;
}

/**
 * History that is needed no more is marked: nobody is shown it from here on, and it is deleted after
 * `dueMs`, unless a look at that time finds that it is needed.
 */
export interface ExpiryTombstoned {
  readonly type: 'ExpiryTombstoned';
  readonly tombstone: string;
  /** One for each writer that gives something up. */
  readonly floors: readonly RetentionFloor[];
  readonly cuts: readonly LogCut[];
  readonly unnamed: UnnamedObjects | null;
  /** Deleted backups above the floors that nothing kept needs; absent: none. */
  readonly backups?: readonly string[];
  /** Why: the retention that it was reckoned with, and whether the share of one run was lifted. */
  readonly retainSeconds: number;
  readonly forced: boolean;
  /** Segments and snapshots below the floors, and their sealed bytes. */
  readonly objects: number;
  readonly bytes: number;
  readonly dueMs: number;
  readonly atMs: number;
}

/** The mark is taken back: what it hid is there again. Only before the deletion begins. */
export interface ExpiryRevoked {
  readonly type: 'ExpiryRevoked';
  readonly tombstone: string;
  readonly atMs: number;
}

/** From here on what was marked is being deleted; there is no way back. */
export interface ExpiryBegun {
  readonly type: 'ExpiryBegun';
  readonly tombstone: string;
  readonly atMs: number;
}

/** Everything that was marked is deleted. */
export interface ExpiryDone {
  readonly type: 'ExpiryDone';
  readonly tombstone: string;
  readonly atMs: number;
}

/** An event of retention. */
export type ExpiryEvent = ExpiryTombstoned | ExpiryRevoked | ExpiryBegun | ExpiryDone;

/** A mark that stands. */
export interface Tombstone {
  readonly tombstone: string;
  /** The floors before it. */
  readonly before: readonly RetentionFloor[];
  readonly cuts: readonly LogCut[];
  readonly unnamed: UnnamedObjects | null;
  /** Backups above the floors. */
  readonly backups: readonly string[];
  readonly objects: number;
  readonly bytes: number;
  readonly dueMs: number;
  readonly atMs: number;
  /** Whether the deletion has begun. */
  readonly begun: boolean;
}

/** What retention has let go of an instance. */
export interface ExpiryState {
  /** Where the visible history of each writer begins; writers that lost nothing have none. */
  readonly floors: readonly RetentionFloor[];
  /** Backups above the floors that were let go of singly, those of the tombstone included. */
  readonly dropped: readonly string[];
  /** At most one at a time. */
  readonly tombstone: Tombstone | null;
}

/** Nothing was ever let go. */
export const NO_EXPIRY: ExpiryState = { floors: [], dropped: [], tombstone: null };

/** Writers that one tombstone speaks of, so that it fits into a header. */
export const TOMBSTONE_WRITERS_MAX = 128;

/** Single backups that one tombstone speaks of. */
export const TOMBSTONE_BACKUPS_MAX = 512;

/** How long a lease that ended by itself stays in the fold: its reader may still release it. */
const LEASE_KEPT_MS = 24 * 3_600_000;

/** Why an event of retention may not follow; null when it may. */
export function expiryRefusal({ tombstone }: ExpiryState, event: ExpiryEvent): string | null {
  if (event.type === 'ExpiryTombstoned') {
    if (tombstone !== null) return 'a tombstone stands';
    const { floors, cuts, unnamed, backups = [] } = event;
    const nothing = floors.length + cuts.length + backups.length === 0 && unnamed === null;
    return nothing ? 'it marks nothing' : null;
  }
  if (tombstone?.tombstone !== event.tombstone) return 'the tombstone does not stand';
  switch (event.type) {
    case 'ExpiryRevoked':
      return tombstone.begun ? 'the deletion has begun' : null;
    case 'ExpiryBegun':
      return tombstone.begun ? 'the deletion has begun' : null;
    case 'ExpiryDone':
      return tombstone.begun ? null : 'the deletion has not begun';
  }
}

/** The state after an event of retention. */
export function expiryAfter(state: ExpiryState, event: ExpiryEvent): ExpiryState {
  switch (event.type) {
    case 'ExpiryTombstoned': {
      const { tombstone, cuts, unnamed, backups = [], objects, bytes, dueMs, atMs } = event;
      const mark = { tombstone, cuts, unnamed, backups, objects, bytes, dueMs, atMs, begun: false };
      const named = new Set(event.floors.map(({ writer }) => writer));
      const others = state.floors.filter(({ writer }) => !named.has(writer));
      const floors = [...others, ...event.floors].sort((a, b) => (a.writer < b.writer ? -1 : 1));
      const dropped = [...new Set([...state.dropped, ...backups])].sort();
      return { floors, dropped, tombstone: { ...mark, before: state.floors } };
    }
    case 'ExpiryRevoked':
      return {
        floors: state.tombstone?.before ?? state.floors,
        dropped: without(state.dropped, state.tombstone?.backups ?? []),
        tombstone: null,
      };
    case 'ExpiryBegun':
      return { ...state, tombstone: state.tombstone && { ...state.tombstone, begun: true } };
    case 'ExpiryDone':
      return { ...state, tombstone: null };
  }
}

/** Names without some of them. */
export function without(names: readonly string[], some: readonly string[]): readonly string[] {
  const gone = new Set(some);
  return names.filter((name) => !gone.has(name));
}

/** The leases after a new one; those that ended by themselves long ago are dropped. */
export function leasesAfter(leases: readonly Lease[], taken: LeaseTaken): readonly Lease[] {
  const { lease, purpose, fromSecond, untilMs, atMs } = taken;
  const kept = leases.filter(
    (each) => each.purpose === 'hold' || each.untilMs + LEASE_KEPT_MS > atMs,
  );
  return [...kept, { lease, purpose, fromSecond, untilMs }];
}
