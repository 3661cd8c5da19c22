/** Where an instance was when it was released: enough to make it anew. No secret. */
export interface ReleasedNode {
  /** Address of its node without user and password. */
  readonly url: string;
  /** Null: the default user. */
  readonly user: string | null;
  readonly source: 'aof' | 'psync';
  /** Name of a file in the folder of secrets of the host that released it; null: no password. */
  readonly passwordRef: string | null;
}

/** The instance was released: it lies in the recycle bin, and all of it is kept until `untilMs`. */
export interface InstanceRecycled {
  readonly type: 'InstanceRecycled';
  /** Null: no node was configured where it was released. */
  readonly node: ReleasedNode | null;
  /** The name of an actor. */
  readonly by: string;
  readonly untilMs: number;
  readonly atMs: number;
}

/** It is under protection again; its history goes on. */
export interface InstanceReturned {
  readonly type: 'InstanceReturned';
  readonly by: string;
  readonly atMs: number;
}

/** It was rebuilt into a new instance. It stays in the bin until its time. */
export interface InstanceRebuilt {
  readonly type: 'InstanceRebuilt';
  /** The new instance; null: a server that is not captured. */
  readonly into: string | null;
  readonly job: string;
  readonly by: string;
  readonly atMs: number;
}

/** Its time in the bin is over, as the clock of a host has it: it is not destroyed at once. */
export interface InstanceDue {
  readonly type: 'InstanceDue';
  readonly atMs: number;
}

/** It was given up for good: its keys are destroyed, and its objects go after `dueMs`. */
export interface InstanceDestroyed {
  readonly type: 'InstanceDestroyed';
  readonly by: string;
  readonly dueMs: number;
  readonly atMs: number;
}

/** From here on its objects are being deleted: none of its writer logs can be counted upon. */
export interface InstanceErased {
  readonly type: 'InstanceErased';
  readonly atMs: number;
}

/** An event of the recycle bin. */
export type RecycleEvent =
  | InstanceRecycled
  | InstanceReturned
  | InstanceRebuilt
  | InstanceDue
  | InstanceDestroyed
  | InstanceErased;

/** A rebuild that was handed over. */
export interface Rebuild {
  readonly into: string | null;
  readonly job: string;
  readonly atMs: number;
}

/** An instance in the recycle bin. */
export interface RecycleState {
  readonly node: ReleasedNode | null;
  readonly by: string;
  readonly sinceMs: number;
  readonly untilMs: number;
  /** The last ones, oldest first. */
  readonly rebuilds: readonly Rebuild[];
  /** When a host last found that its time is over; absent: none did yet. */
  readonly dueSinceMs?: number;
  /** Null: it can still be had back. */
  readonly destroyed: {
    readonly by: string;
    readonly atMs: number;
    readonly dueMs: number;
  } | null;
  readonly erasedMs: number | null;
}

/** Rebuilds that are remembered. */
export const REBUILDS_MAX = 16;

/** Events that may follow once an instance was given up for good. */
const AFTER_DESTRUCTION: ReadonlySet<string> = new Set([
  ...['KeyShredded', 'LeaseTaken', 'LeaseRenewed', 'LeaseReleased'],
  ...['ExpiryTombstoned', 'ExpiryRevoked', 'ExpiryBegun', 'ExpiryDone'],
  ...['JobClaimed', 'JobRenewed', 'JobEnded', 'BackupsForgotten', 'InstanceErased'],
]);

/** Why an event, of whatever kind, may not follow for what lies in the bin; null when it may. */
export function recycleRefusal(recycle: RecycleState | null, type: string): string | null {
  if (recycle?.destroyed != null && !AFTER_DESTRUCTION.has(type))
    return 'the instance is destroyed';
  switch (type) {
    case 'InstanceRecycled':
      return recycle === null ? null : 'the instance is in the recycle bin';
    case 'WriterRegistered':
      return recycle === null ? null : 'the instance is in the recycle bin';
    case 'InstanceReturned':
    case 'InstanceRebuilt':
    case 'InstanceDue':
    case 'InstanceDestroyed':
      return recycle === null ? 'the instance is not in the recycle bin' : null;
    case 'InstanceErased':
      if (recycle?.destroyed == null) return 'the instance is not destroyed';
      return recycle.erasedMs === null ? null : 'the instance is erased';
    default:
      return null;
  }
}

/** The bin after an event of it. */
export function recycleAfter(
  recycle: RecycleState | null,
  event: RecycleEvent,
): RecycleState | null {
  switch (event.type) {
    case 'InstanceRecycled': {
      const { node, by, untilMs, atMs } = event;
      return { node, by, sinceMs: atMs, untilMs, rebuilds: [], destroyed: null, erasedMs: null };
    }
    case 'InstanceReturned':
      return null;
    case 'InstanceRebuilt': {
      const { into, job, atMs } = event;
      const before = recycle?.rebuilds.slice(1 - REBUILDS_MAX) ?? [];
      return recycle && { ...recycle, rebuilds: [...before, { into, job, atMs }] };
    }
    case 'InstanceDue':
      return recycle && { ...recycle, dueSinceMs: event.atMs };
    case 'InstanceDestroyed': {
      const { by, atMs, dueMs } = event;
      return recycle && { ...recycle, destroyed: { by, atMs, dueMs } };
    }
    case 'InstanceErased':
      return recycle && { ...recycle, erasedMs: event.atMs };
  }
}
