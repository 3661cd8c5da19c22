import type { WriterState } from '@tidemark/catalog';
import type { Clock, ErrorCode } from '@tidemark/core';
import type { Outlet } from '../ship/outlet.ts';
import type { RequestRate } from '../ship/request-meter.ts';
import type { SourceKind } from './capture-source.ts';
import type { LinkStatus } from './link-status.ts';
import { openTimelineOf } from './open-timeline.ts';

/** Why an instance is not captured now. */
export interface CaptureFailure {
  readonly code: ErrorCode;
  readonly message: string;
  readonly hint: string | null;
  /** When it failed last, Unix milliseconds. */
  readonly sinceMs: number;
}

/** What `status` says about a capture. Offsets are decimal strings, times whole Unix seconds. */
export interface CaptureStatus {
  readonly instance: string;
  /** Null before it is known. */
  readonly writer: string | null;
  /** `snapshots-only`: the policy has flashback off. `waiting`: another archiver owns the log; it is taken over when that one shows no life. */
  readonly state:
    'starting' | 'waiting' | 'snapshots-only' | 'capturing' | 'caught-up' | 'stopped' | 'failed';
  /** Null before it is known. */
  readonly source: SourceKind | null;
  readonly pinClass: string | null;
  /** The replication link; null where the source is none. */
  readonly link: LinkStatus | null;
  readonly timeline: string | null;
  readonly durableOffset: string;
  readonly provenTo: number | null;
  /** Bytes the server has logged and the store does not hold; null before the first sample. */
  readonly lagBytes: number | null;
  /** Seconds between now and the latest proven second. */
  readonly lagSeconds: number | null;
  readonly linkError: string | null;
  readonly storeError: string | null;
  /** Sealed bytes in the spool that wait for the store, and the age of the oldest in seconds. */
  readonly backlogBytes: number;
  readonly backlogSeconds: number | null;
  /** Only in the state `failed`: the capture is tried again, unless another archiver owns its log. */
  readonly failure: CaptureFailure | null;
  /** Since this archiver started. */
  readonly segments: number;
  /** What is asked of the store for this capture; null in its first minute. */
  readonly requests: RequestRate | null;
  readonly snapshots: number;
  /** Number of its claim of the log; null while it has none. */
  readonly generation: number | null;
  /** When its last entry was made, Unix milliseconds; null while it has none. */
  readonly lastEntryMs: number | null;
  /** Whether another host could go on with the open timeline: it has a snapshot and a place. */
  readonly isResumable: boolean;
  /**
   * Whether a backup is under way that was asked for, or that an earlier run left; null: not known yet, or
   * no capture runs.
   */
  readonly isBackingUp: boolean | null;
}

/** The status of an instance that no capture runs for: before its first try, or between two. */
export function failedStatus(instance: string, failure: CaptureFailure | null): CaptureStatus {
  return {
    instance,
    writer: null,
    state: failure === null ? 'starting' : 'failed',
    source: null,
    pinClass: null,
    link: null,
    timeline: null,
    durableOffset: '0',
    provenTo: null,
    lagBytes: null,
    lagSeconds: null,
    linkError: null,
    storeError: null,
    backlogBytes: 0,
    backlogSeconds: null,
    failure,
    segments: 0,
    requests: null,
    snapshots: 0,
    generation: null,
    lastEntryMs: null,
    isResumable: false,
    isBackingUp: null,
  };
}

/** The status of an instance whose log another archiver owns. */
export function waitingStatus(instance: string): CaptureStatus {
  return { ...failedStatus(instance, null), state: 'waiting' };
}

/** The status of an instance whose policy has flashback off: only backups are made. */
export function restingStatus(instance: string, isBackingUp = false): CaptureStatus {
  return { ...failedStatus(instance, null), state: 'snapshots-only', isBackingUp };
}

/** What the status of a capture that runs is made of. */
export interface StatusParts extends Pick<
  CaptureStatus,
  | 'instance'
  | 'writer'
  | 'state'
  | 'source'
  | 'pinClass'
  | 'link'
  | 'linkError'
  | 'segments'
  | 'requests'
  | 'snapshots'
  | 'isBackingUp'
> {
  readonly log: { readonly state: WriterState; readonly generation: number | null };
  readonly clock: Clock;
  readonly outlet: Pick<Outlet, 'backlog' | 'health'>;
  /** Bytes of the log that were read and are in memory only. */
  readonly unsealedBytes: number;
  /** What the server had written beyond that at the latest sample; null before the first one. */
  readonly unreadBytes: number | null;
}

/** The status of a capture that runs. */
export function statusOf(parts: StatusParts): CaptureStatus {
  const { instance, writer, state, linkError, segments, requests, snapshots } = parts;
  const { source, pinClass, link, isBackingUp } = parts;
  const { unreadBytes, unsealedBytes, clock, outlet } = parts;
  const timeline = openTimelineOf(parts.log.state);
  const provenTo = timeline?.provenTo ?? null;
  const nowMs = clock.nowMs();
  const { bytes, logBytes, oldestMs } = outlet.backlog.size;
  return {
    ...{ instance, writer, state, source, pinClass, link, linkError },
    ...{ segments, requests, snapshots, isBackingUp },
    timeline: timeline?.timeline ?? null,
    durableOffset: (timeline?.end ?? 0n).toString(),
    provenTo,
    lagBytes: unreadBytes === null ? null : logBytes + unsealedBytes + unreadBytes,
    lagSeconds: provenTo === null ? null : Math.max(0, Math.floor(nowMs / 1000) - provenTo - 1),
    storeError: outlet.health.error,
    backlogBytes: bytes,
    backlogSeconds: oldestMs === null ? null : Math.max(0, Math.floor((nowMs - oldestMs) / 1000)),
    failure: null,
    generation: parts.log.generation,
    lastEntryMs: parts.log.generation === null ? null : parts.log.state.lastEntryMs,
    isResumable: timeline?.snapshot != null && timeline.cursor !== null,
  };
}
