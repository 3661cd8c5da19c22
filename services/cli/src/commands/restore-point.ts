import { UsageError } from '@tidemark/core';
import type { WantedPoint } from '@tidemark/restorer';
import { parseTime } from '../time.ts';

/** Flags that say what to go back to. */
export interface PointFlags {
  readonly at?: string;
  readonly exclusive?: boolean;
  readonly offset?: string;
  readonly before?: string;
  readonly timeline?: string;
  readonly backup?: string;
}

/**
 * The point that the flags name.
 * @param nowMs - Unix milliseconds that `-15m` counts from.
 * @throws UsageError `TM_USAGE` when they name none or do not belong together; `TM_TIME_SYNTAX`.
 */
export function pointOf(flags: PointFlags, nowMs: number): WantedPoint {
  const { at, exclusive = false, offset, before, timeline = null, backup } = flags;
  if (exclusive && at === undefined)
    throw new UsageError('TM_USAGE', '--exclusive belongs to --at');
  if (timeline !== null && at === undefined && offset === undefined && before === undefined) {
    throw new UsageError('TM_USAGE', '--timeline belongs to --at, --offset or --before');
  }
  if (at !== undefined) return secondOf(at, exclusive, timeline, nowMs);
  if (backup !== undefined) return { kind: 'backup', backup };
  if (before !== undefined) return { kind: 'before', offset: offsetOf(before), timeline };
  if (offset !== undefined) return { kind: 'offset', offset: offsetOf(offset), timeline };
  throw new UsageError(
    'TM_USAGE',
    'say what to go back to: --at TIME, --offset N, --before N or --backup BK',
    { hint: 'see what there is: tidemark windows ID, tidemark backup list ID' },
  );
}

function secondOf(
  at: string,
  exclusive: boolean,
  timeline: string | null,
  nowMs: number,
): WantedPoint {
  const wanted = parseTime(at, nowMs);
  if (wanted === 'latest') {
    if (!exclusive && timeline === null) return { kind: 'latest' };
    const flag = exclusive ? '--exclusive' : '--timeline';
    throw new UsageError('TM_USAGE', `${flag} needs a second, not latest`);
  }
  // The state before a second is that at the end of the one before.
  return { kind: 'second', second: exclusive ? wanted.second - 1 : wanted.second, timeline };
}

function offsetOf(text: string): bigint {
  if (/^\d{1,19}$/.test(text)) return BigInt(text);
  throw new UsageError('TM_USAGE', `${JSON.stringify(text)} is not an offset`);
}
