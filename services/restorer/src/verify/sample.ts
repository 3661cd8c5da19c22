import { createHash } from 'node:crypto';
import { UsageError } from '@tidemark/core';

/** The largest number of runs that a sample may be spread over. */
const PARTS_MAX = 10_000;

/** One of several parts that objects are divided into by their names. */
export interface Sample {
  /** 0 to `parts` - 1. */
  readonly part: number;
  readonly parts: number;
}

/**
 * How many runs read everything, when each reads a share.
 * @param share - Above 0, at most 1.
 * @throws UsageError `TM_USAGE` when it is outside.
 */
export function partsOf(share: number): number {
  const parts = Math.ceil(1 / share);
  if (share > 0 && share <= 1 && parts <= PARTS_MAX) return parts;
  throw new UsageError('TM_USAGE', `a sample of ${share * 100} % cannot be taken`, {
    hint: 'between 0.01% and 100%',
  });
}

/**
 * Whether an object belongs to a part. An object stays in its part, so that whatever else comes and
 * goes, runs over all parts read each of them once.
 */
export function isInSample({ part, parts }: Sample, objectKey: string): boolean {
  return createHash('sha256').update(objectKey).digest().readUInt32BE(0) % parts === part;
}
