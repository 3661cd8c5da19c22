/** What `status` says about a capture. Offsets are decimal strings, times whole Unix seconds. */
export interface CaptureStatus {
  readonly instance: string;
  readonly writer: string;
  readonly state: 'starting' | 'capturing' | 'caught-up' | 'stopped';
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
  /** Since this archiver started. */
  readonly segments: number;
  readonly snapshots: number;
}
