import type { BackupEvent } from './instance-backups.ts';
import type { ExpiryEvent } from './instance-expiry.ts';
import type { JobLogEvent } from './instance-jobs.ts';
import type { RecycleEvent } from './instance-recycle.ts';

/** When automatic backups are made and how long history is kept. */
export interface BackupPolicy {
  /** Days of the week, at least one, without repetition. */
  readonly days: readonly ('mon' | 'tue' | 'wed' | 'thu' | 'fri' | 'sat' | 'sun')[];
  /** Times of the day in the zone, `HH:MM`, or spans of it in UTC, `HH:MMZ-HH:MMZ`. */
  readonly hours: readonly string[];
  /** How long history is kept, in seconds. */
  readonly retainSeconds: number;
  /** Zone of days and times, a name of the IANA database; absent: UTC. */
  readonly timeZone?: string;
  /** The newest so many backups are kept, however old they are; absent: as the host says. */
  readonly keepLast?: number;
  /** Whether the log between backups is kept, for a flashback to any second; absent: yes. */
  readonly flashback?: boolean;
}

/** The deployment is under protection from here on. Always the first event. */
export interface InstanceCreated {
  readonly type: 'InstanceCreated';
  readonly iid: string;
  /** The name its owner gave it. */
  readonly name: string;
  readonly atMs: number;
}

/** One capture of one node through one source; its log has its own place. */
export interface WriterRegistered {
  readonly type: 'WriterRegistered';
  readonly shard: string;
  readonly writer: string;
  readonly source: 'aof' | 'psync';
  readonly atMs: number;
}

/** The capture will not go on; its history stays. */
export interface WriterRetired {
  readonly type: 'WriterRetired';
  readonly writer: string;
  readonly atMs: number;
}

/** The backup policy from here on. */
export interface PolicySet {
  readonly type: 'PolicySet';
  readonly policy: BackupPolicy;
  /** Who set it; absent in logs of early releases. */
  readonly by?: string;
  readonly atMs: number;
}

/** Data keys of this instance may be wrapped by this key; said before the first one is. */
export interface KeyAdopted {
  readonly type: 'KeyAdopted';
  readonly provider: string;
  readonly keyId: string;
  readonly atMs: number;
}

/**
 * Somebody asked for TDE: its rules hold from here on and new data keys are wrapped with this key.
 * Until the latch falls it may be asked for anew with another key.
 */
export interface TdeRequested {
  readonly type: 'TdeRequested';
  readonly provider: string;
  readonly keyId: string;
  /** The key was made for this instance; else it is one of the owner's choice. */
  readonly auto: boolean;
  readonly atMs: number;
}

/** TDE is on. There is no event that switches it off. */
export interface TdeLatched {
  readonly type: 'TdeLatched';
  readonly provider: string;
  readonly keyId: string;
  readonly atMs: number;
}

/** A canary was sealed and opened, and a full backup stands that was sealed under the key. */
export interface TdeEnabled {
  readonly type: 'TdeEnabled';
  /** That backup. */
  readonly backup: string;
  readonly atMs: number;
}

/** New data keys of a TDE instance are wrapped with this key from here on. */
export interface TdeKeyChanged {
  readonly type: 'TdeKeyChanged';
  readonly provider: string;
  readonly keyId: string;
  readonly auto: boolean;
  readonly atMs: number;
}

/** Data keys were destroyed on purpose: what they sealed cannot be read any more. */
export interface KeyShredded {
  readonly type: 'KeyShredded';
  readonly scope: 'snapshot' | 'instance';
  /** 32 hex digits each; `null` = every data key the instance had (scope `instance`). */
  readonly dekIds: readonly string[] | null;
  readonly atMs: number;
}

/** What a store was found to do when it was tried. `null`: it could not be asked. */
export interface StoreFacts {
  /** Address of the store; no secret. */
  readonly url: string;
  readonly conditionalCreate: boolean;
  readonly multipartConditional: 'holds' | 'sequential' | 'none' | 'unused';
  readonly ranges: boolean;
  readonly listingOrdered: boolean;
  readonly objectLock: boolean | null;
  readonly versioning: boolean | null;
  /** Settings of the store that would lose or hide data. */
  readonly warnings: readonly string[];
}

/** The store of the archiver was tried, and does other things than before or is another one. */
export interface StoreProbed extends StoreFacts {
  readonly type: 'StoreProbed';
  readonly atMs: number;
}

/** Whether a TDE instance's keys may be restored into the original. */
export interface OriginalRestoreSet {
  readonly type: 'OriginalRestoreSet';
  readonly allowed: boolean;
  readonly atMs: number;
}

/** Somebody reads history from `fromSecond` on: retention keeps it until `untilMs`. */
export interface LeaseTaken {
  readonly type: 'LeaseTaken';
  readonly lease: string;
  readonly purpose: 'restore' | 'backup' | 'hold';
  readonly fromSecond: number;
  readonly untilMs: number;
  readonly atMs: number;
}

/** The reader of a lease is done. */
export interface LeaseReleased {
  readonly type: 'LeaseReleased';
  readonly lease: string;
  readonly atMs: number;
}

/** The reader of a lease goes on. */
export interface LeaseRenewed {
  readonly type: 'LeaseRenewed';
  readonly lease: string;
  readonly untilMs: number;
  readonly atMs: number;
}

/** The instance is given up; what it holds may be deleted after its retention. */
export interface InstanceRemoved {
  readonly type: 'InstanceRemoved';
  readonly atMs: number;
}

/** Every fact an instance log can hold. */
export type InstanceEvent =
  | InstanceCreated
  | WriterRegistered
  | WriterRetired
  | PolicySet
  | KeyAdopted
  | TdeRequested
  | TdeLatched
  | TdeEnabled
  | TdeKeyChanged
  | KeyShredded
  | StoreProbed
  | OriginalRestoreSet
  | LeaseTaken
  | LeaseReleased
  | LeaseRenewed
  | ExpiryEvent
  | JobLogEvent
  | RecycleEvent
  | BackupEvent
  | InstanceRemoved;

/** The name of an instance event. */
export type InstanceEventType = InstanceEvent['type'];
