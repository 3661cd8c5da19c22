import { CatalogError } from '@tidemark/core';
import type { BackupPolicy, InstanceEvent } from './instance-events.ts';
import { NO_DIGEST } from './writer-state.ts';

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

/** TDE is on, since when and with which key. */
export interface TdeState {
  readonly provider: string;
  readonly keyId: string;
  readonly sinceMs: number;
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
  readonly tde: TdeState | null;
  readonly originalRestore: boolean;
  readonly writers: readonly InstanceWriter[];
  readonly leases: readonly Lease[];
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
  tde: null,
  originalRestore: false,
  writers: [],
  leases: [],
};

/** Captures of one instance, those that are retired counted. */
export const WRITERS_MAX = 4096;

/** Leases at one time. */
export const LEASES_MAX = 1024;

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

function refusalOf(state: InstanceState, event: InstanceEvent): string | null {
  if (event.type === 'InstanceCreated') return state.iid === null ? null : 'the instance exists';
  if (state.iid === null) return 'the instance does not exist';
  // Leases of a removed instance still end, and its retention still asks for them.
  if (state.removedMs !== null && event.type !== 'LeaseReleased') return 'the instance is removed';
  switch (event.type) {
    case 'WriterRegistered':
      if (state.writers.length >= WRITERS_MAX) return `more than ${WRITERS_MAX} writers`;
      return findWriter(state, event.writer) === undefined ? null : 'the writer is registered';
    case 'WriterRetired': {
      const writer = findWriter(state, event.writer);
      if (writer === undefined) return 'the writer is not registered';
      return writer.retiredMs === null ? null : 'the writer is retired';
    }
    case 'TdeLatched':
      return state.tde === null ? null : 'TDE is on';
    case 'LeaseTaken':
      if (hasLease(state, event.lease)) return 'the lease is taken';
      return state.leases.length < LEASES_MAX ? null : `more than ${LEASES_MAX} leases`;
    case 'LeaseReleased':
      return hasLease(state, event.lease) ? null : 'the lease is not taken';
    case 'PolicySet':
    case 'OriginalRestoreSet':
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
      return { ...state, policy: event.policy };
    case 'TdeLatched':
      return {
        ...state,
        tde: { provider: event.provider, keyId: event.keyId, sinceMs: event.atMs },
      };
    case 'OriginalRestoreSet':
      return { ...state, originalRestore: event.allowed };
    case 'LeaseTaken': {
      const { lease, purpose, fromSecond, untilMs } = event;
      return { ...state, leases: [...state.leases, { lease, purpose, fromSecond, untilMs }] };
    }
    case 'LeaseReleased':
      return { ...state, leases: state.leases.filter((each) => each.lease !== event.lease) };
    case 'InstanceRemoved':
      return { ...state, removedMs: event.atMs };
  }
}

function findWriter(state: InstanceState, writer: string): InstanceWriter | undefined {
  return state.writers.find((each) => each.writer === writer);
}

function hasLease(state: InstanceState, lease: string): boolean {
  return state.leases.some((each) => each.lease === lease);
}
