import type { ErrorCode } from '@tidemark/core';
import type { RequestRate } from '../ship/request-meter.ts';

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
  readonly state: 'starting' | 'capturing' | 'caught-up' | 'stopped' | 'failed';
  readonly pinClass: string | null;
  readonly timeline: string | null;
  readonly durableOffset: string;
  readonly provenTo: number | null;
  /** Bytes the server has logged and the store does not hold; null before the first sample. */
  readonly lagBytes: number | null;
  /** Seconds between now and the latest proven second. */
  readonly lagSeconds: number | null;
  readonly linkError: string | null;
  readonly storeError: string | null;
  /** Only in the state `failed`: the capture is tried again, unless another archiver owns its log. */
  readonly failure: CaptureFailure | null;
  /** Since this archiver started. */
  readonly segments: number;
  /** What is asked of the store for this capture; null in its first minute. */
  readonly requests: RequestRate | null;
  readonly snapshots: number;
}

/** The status of an instance that no capture runs for: before its first try, or between two. */
export function failedStatus(instance: string, failure: CaptureFailure | null): CaptureStatus {
  return {
    instance,
    writer: null,
    state: failure === null ? 'starting' : 'failed',
    pinClass: null,
    timeline: null,
    durableOffset: '0',
    provenTo: null,
    lagBytes: null,
    lagSeconds: null,
    linkError: null,
    storeError: null,
    failure,
    segments: 0,
    requests: null,
    snapshots: 0,
  };
}
