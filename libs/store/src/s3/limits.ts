/** Bounds of what an S3 store waits for; tests make them short. */
export interface S3Limits {
  /** Until a connection stands, in milliseconds. */
  readonly connectMs: number;
  /** Until a request without a body is answered. */
  readonly answerMs: number;
  /** How long 64 KiB of a body may take in either direction. */
  readonly stallMs: number;
  /** Tries of one request. */
  readonly attempts: number;
  /** Tries of one part of a large object: what is stored of it already is worth more patience. */
  readonly partAttempts: number;
  /** No new try is begun after this time. */
  readonly retryMs: number;
  /** Longest first pause between two tries; it doubles with each. */
  readonly pauseMs: number;
  /** Keys of one page of a listing. */
  readonly pageKeys: number;
}

/** Bounds as they are used. */
export const S3_LIMITS: S3Limits = {
  connectMs: 5_000,
  answerMs: 20_000,
  stallMs: 15_000,
  attempts: 4,
  partAttempts: 8,
  retryMs: 60_000,
  pauseMs: 200,
  pageKeys: 1_000,
};

/** Progress after which a slow body counts as moving, in bytes. */
export const PROGRESS_BYTES = 64 * 1024;
/** Longest pause between two tries. */
export const PAUSE_MS_MAX = 5_000;
/** Requests that are under way at the same time, as connections. */
export const SOCKETS_MAX = 64;
/** What S3 allows of one multipart upload. */
export const PARTS_MAX = 10_000;
/** Largest part this adapter makes. */
export const PART_BYTES_MAX = 512 * 1024 * 1024;
