import { CatalogError } from '@tidemark/core';
import {
  backupRefusal,
  backupsAfter,
  dropRefusal,
  holdRefusal,
  type BackupNote,
} from './instance-backups.ts';
import type { BackupPolicy, InstanceEvent, StoreFacts } from './instance-events.ts';
import {
  expiryAfter,
  expiryRefusal,
  leasesAfter,
  NO_EXPIRY,
  without,
  type ExpiryState,
} from './instance-expiry.ts';
import {
  holdsKey,
  keyRoom,
  shredRefusal,
  shreddedAfter,
  tdeAfter,
  tdeRefusal,
  withKey,
} from './instance-keys.ts';
import { jobRefusal, jobsAfter, NO_JOBS, type JobsState } from './instance-jobs.ts';
import { recycleAfter, recycleRefusal, type RecycleState } from './instance-recycle.ts';
import { NO_DIGEST } from './writer-state.ts';

/** Who set the policy, and when. */
export interface PolicyAuthor {
  /** Entry of the log that says so. */
  readonly seq: number;
  readonly by: string | null;
  readonly atMs: number;
}

/** A registered capture. */
export interface InstanceWriter {
  readonly shard: string;
  readonly writer: string;
  readonly source: 'aof' | 'psync';
  readonly retiredMs: number | null;
}

/** A reader of history. */
export interface Lease {
  readonly lease: string;
  readonly purpose: 'restore' | 'backup' | 'hold';
  readonly fromSecond: number;
  readonly untilMs: number;
}

/** A key that wraps data keys. */
export interface InstanceKey {
  /** `ring`, `aws-kms`. */
  readonly provider: string;
  /** Id of the ring, or a key ARN. */
  readonly keyId: string;
}

/** How far TDE is. Its rules hold in every one of these states: there is none that means "off". */
export interface TdeState extends InstanceKey {
  /** The key was made for this instance; else it is one of the owner's choice. */
  readonly auto: boolean;
  /** When it was asked for first. */
  readonly sinceMs: number;
  /** When the latch fell; `null` = asked for, no canary was sealed and opened yet. */
  readonly latchedMs: number | null;
  /** When the first full backup under the key stood; `null` = `modifying`. */
  readonly enabledMs: number | null;
  /** That backup. */
  readonly backup: string | null;
}

/** Data keys that were destroyed on purpose. */
export interface ShreddedKeys {
  /** When every data key of that time was destroyed. */
  readonly instanceMs: number | null;
  /** Data keys destroyed one by one, 32 hex digits each. */
  readonly dekIds: readonly string[];
}

/** The fold of an instance log. */
export interface InstanceState {
  /** Sequence number of the last entry; -1 for an empty log. */
  readonly seq: number;
  readonly digest: string;
  readonly iid: string | null;
  readonly name: string | null;
  readonly createdMs: number | null;
  readonly removedMs: number | null;
  readonly policy: BackupPolicy | null;
  /** Null without a policy. */
  readonly policySet: PolicyAuthor | null;
  /** Keys that data keys of this instance may be wrapped with, in the order of their adoption. */
  readonly keys: readonly InstanceKey[];
  readonly tde: TdeState | null;
  readonly shredded: ShreddedKeys;
  /** The store, as it was tried last; `null` = never. */
  readonly store: StoreFacts | null;
  readonly originalRestore: boolean;
  readonly writers: readonly InstanceWriter[];
  readonly leases: readonly Lease[];
  readonly expiry: ExpiryState;
  readonly jobs: JobsState;
  /** Backups of which something is said, by name. */
  readonly backups: readonly BackupNote[];
  /** Null: it is not in the recycle bin. */
  readonly recycle: RecycleState | null;
}

/** The fold of no entries. */
export const EMPTY_INSTANCE_STATE: InstanceState = {
  seq: -1,
  digest: NO_DIGEST,
  iid: null,
  name: null,
  createdMs: null,
  removedMs: null,
  policy: null,
  policySet: null,
  keys: [],
  tde: null,
  shredded: { instanceMs: null, dekIds: [] },
  store: null,
  originalRestore: false,
  writers: [],
  leases: [],
  expiry: NO_EXPIRY,
  jobs: NO_JOBS,
  backups: [],
  recycle: null,
};

/** Captures of one instance, those that are retired counted. */
export const WRITERS_MAX = 4096;

/** Backups that a policy may keep however old they are. */
export const KEEP_LAST_MAX = 1000;

/** Leases at one time. */
export const LEASES_MAX = 1024;

/** Data keys that one entry destroys one by one, so that it fits into a header. */
export const SHREDDED_PER_ENTRY_MAX = 1024;

/** Warnings about a store that are kept. */
export const STORE_WARNINGS_MAX = 16;

/**
 * The state after one more entry of an instance log.
 *
 * @throws CatalogError `TM_LOG_STATE` when the event may not follow the state.
 */
export function evolveInstance(
  state: InstanceState,
  event: InstanceEvent,
  seq: number,
  digest: string,
): InstanceState {
  if (seq !== state.seq + 1) throw stateError(seq, event.type, `follows ${state.seq}`);
  decideInstance(state, event);
  return { ...apply(state, event), seq, digest };
}

/**
 * Asks whether an event may be appended now.
 *
 * @returns The event.
 * @throws CatalogError `TM_LOG_STATE` when it may not, with the reason.
 */
export function decideInstance(state: InstanceState, event: InstanceEvent): InstanceEvent {
  const reason = refusalOf(state, event);
  if (reason !== null) throw stateError(state.seq + 1, event.type, reason);
  return event;
}

function stateError(seq: number, event: string, reason: string): CatalogError {
  return new CatalogError('TM_LOG_STATE', `${event} is not allowed as entry ${seq}: ${reason}`, {
    context: { seq, event },
  });
}

/** A removed instance can still be read, its history expires, and its keys can be destroyed. */
const AFTER_REMOVAL: ReadonlySet<InstanceEvent['type']> = new Set<InstanceEvent['type']>([
  'LeaseTaken',
  'LeaseRenewed',
  'LeaseReleased',
  'KeyShredded',
  'ExpiryTombstoned',
  'ExpiryRevoked',
  'ExpiryBegun',
  'ExpiryDone',
  'JobClaimed',
  'JobRenewed',
  'JobEnded',
  'BackupLabelled',
  'BackupDeleted',
  'BackupUndeleted',
  'BackupsForgotten',
]);

function refusalOf(state: InstanceState, event: InstanceEvent): string | null {
  if (event.type === 'InstanceCreated') return state.iid === null ? null : 'the instance exists';
  if (state.iid === null) return 'the instance does not exist';
  if (state.removedMs !== null && !AFTER_REMOVAL.has(event.type)) return 'the instance is removed';
  const refused = recycleRefusal(state.recycle, event.type);
  if (refused !== null) return refused;
  switch (event.type) {
    case 'WriterRegistered':
      if (state.writers.length >= WRITERS_MAX) return `more than ${WRITERS_MAX} writers`;
      return findWriter(state, event.writer) === undefined ? null : 'the writer is registered';
    case 'WriterRetired': {
      const writer = findWriter(state, event.writer);
      if (writer === undefined) return 'the writer is not registered';
      return writer.retiredMs === null ? null : 'the writer is retired';
    }
    case 'KeyAdopted':
      if (holdsKey(state.keys, event)) return 'the key is adopted';
      return keyRoom(state, event);
    case 'TdeRequested':
    case 'TdeLatched':
    case 'TdeEnabled':
    case 'TdeKeyChanged':
      return (
        tdeRefusal(state, event) ?? (event.type === 'TdeEnabled' ? null : keyRoom(state, event))
      );
    case 'KeyShredded':
      return shredRefusal(state, event);
    case 'LeaseTaken':
      if (hasLease(state, event.lease)) return 'the lease is taken';
      if (state.leases.length >= LEASES_MAX) return `more than ${LEASES_MAX} leases`;
      return holdRefusal(state, event.lease);
    case 'LeaseRenewed':
    case 'LeaseReleased':
      return hasLease(state, event.lease) ? null : 'the lease is not taken';
    case 'ExpiryTombstoned':
      return expiryRefusal(state.expiry, event) ?? dropRefusal(state, event.backups ?? []);
    case 'ExpiryRevoked':
    case 'ExpiryBegun':
    case 'ExpiryDone':
      return expiryRefusal(state.expiry, event);
    case 'JobClaimed':
    case 'JobRenewed':
    case 'JobEnded':
      return jobRefusal(state.jobs, event);
    case 'BackupLabelled':
    case 'BackupDeleted':
    case 'BackupUndeleted':
    case 'BackupsForgotten':
      return backupRefusal(state, event);
    case 'PolicySet':
    case 'StoreProbed':
    case 'OriginalRestoreSet':
    case 'InstanceRecycled':
    case 'InstanceReturned':
    case 'InstanceRebuilt':
    case 'InstanceDue':
    case 'InstanceDestroyed':
    case 'InstanceErased':
    case 'InstanceRemoved':
      return null;
  }
}

function apply(state: InstanceState, event: InstanceEvent): InstanceState {
  switch (event.type) {
    case 'InstanceCreated':
      return { ...state, iid: event.iid, name: event.name, createdMs: event.atMs };
    case 'WriterRegistered': {
      const { shard, writer, source } = event;
      return { ...state, writers: [...state.writers, { shard, writer, source, retiredMs: null }] };
    }
    case 'WriterRetired': {
      const writers = state.writers.map((each) =>
        each.writer === event.writer ? { ...each, retiredMs: event.atMs } : each,
      );
      return { ...state, writers };
    }
    case 'PolicySet':
      return {
        ...state,
        policy: event.policy,
        // The entry that is being applied: `evolveInstance` has looked at its number.
        policySet: { seq: state.seq + 1, by: event.by ?? null, atMs: event.atMs },
      };
    case 'KeyAdopted':
      return { ...state, keys: withKey(state.keys, event) };
    case 'TdeRequested':
    case 'TdeLatched':
    case 'TdeKeyChanged':
      return { ...state, keys: withKey(state.keys, event), tde: tdeAfter(state.tde, event) };
    case 'TdeEnabled': {
      const { tde } = state;
      if (tde === null) return state; // decided above: the latch has fallen
      return { ...state, tde: { ...tde, enabledMs: event.atMs, backup: event.backup } };
    }
    case 'KeyShredded':
      return { ...state, shredded: shreddedAfter(state.shredded, event) };
    case 'StoreProbed': {
      const { type: _type, atMs: _atMs, ...store } = event;
      return { ...state, store };
    }
    case 'OriginalRestoreSet':
      return { ...state, originalRestore: event.allowed };
    case 'LeaseTaken':
      return { ...state, leases: leasesAfter(state.leases, event) };
    case 'LeaseRenewed': {
      const leases = state.leases.map((each) =>
        each.lease === event.lease ? { ...each, untilMs: event.untilMs } : each,
      );
      return { ...state, leases };
    }
    case 'LeaseReleased':
      return { ...state, leases: state.leases.filter((each) => each.lease !== event.lease) };
    case 'InstanceRemoved':
      return { ...state, removedMs: event.atMs };
    case 'ExpiryTombstoned':
    case 'ExpiryRevoked':
    case 'ExpiryBegun':
    case 'ExpiryDone':
      return { ...state, expiry: expiryAfter(state.expiry, event) };
    case 'JobClaimed':
    case 'JobRenewed':
    case 'JobEnded':
      return { ...state, jobs: jobsAfter(state.jobs, event) };
    case 'BackupLabelled':
    case 'BackupDeleted':
    case 'BackupUndeleted':
      return { ...state, backups: backupsAfter(state.backups, event) };
    case 'BackupsForgotten': {
      const dropped = without(state.expiry.dropped, event.backups);
      const backups = backupsAfter(state.backups, event);
      return { ...state, backups, expiry: { ...state.expiry, dropped } };
    }
    case 'InstanceRecycled':
    case 'InstanceReturned':
    case 'InstanceRebuilt':
    case 'InstanceDue':
    case 'InstanceDestroyed':
      return { ...state, recycle: recycleAfter(state.recycle, event) };
    case 'InstanceErased':
      // Nothing of its writers is read any more: their logs go.
      return {
        ...state,
        ...{ writers: [], leases: [], expiry: NO_EXPIRY, backups: [] },
        recycle: recycleAfter(state.recycle, event),
      };
  }
}

function findWriter(state: InstanceState, writer: string): InstanceWriter | undefined {
  return state.writers.find((each) => each.writer === writer);
}

function hasLease(state: InstanceState, lease: string): boolean {
  return state.leases.some((each) => each.lease === lease);
}
