import type { OutcomeCounts } from '../preview/outcome-tally.ts';
import type { RestoreReport } from '../run/restore-report.ts';
import type { WriteCounts } from './write/write-tally.ts';

/**
 * How a write into the original ended: all done; done but for keys that were left (`partial`); nothing
 * was to be done; ended before its end.
 */
export type WriteState = 'succeeded' | 'partial' | 'nothing' | 'interrupted';

/** What a write into the original ends with. */
export interface WriteBackReport extends WriteCounts {
  readonly id: string;
  readonly state: WriteState;
  readonly instance: string;
  readonly at: string | null;
  readonly cut: RestoreReport['cut'];
  readonly ttl: string;
  /** The selector in words. */
  readonly selected: string;
  /** What the comparison found. */
  readonly outcomes: OutcomeCounts;
  /** Selected keys that were not there then and were left, as was asked for. */
  readonly kept: number;
  /** The pack that `undo` puts back; null when nothing was overwritten. */
  readonly undo: { readonly id: string; readonly expiresMs: number } | null;
  readonly elapsedSeconds: number;
  readonly phases: Readonly<Record<string, number>>;
  readonly warnings: readonly string[];
}

/** A report, and the error that ended the work before its end. */
export interface WriteBackOutcome {
  readonly report: WriteBackReport;
  readonly failure: Error | null;
}

/** The state that counts and an error make. */
export function stateOf(counts: WriteCounts, failure: Error | null): WriteState {
  if (failure !== null) return 'interrupted';
  if (counts.conflicts + counts.refused > 0) return 'partial';
  return counts.restored + counts.deleted > 0 ? 'succeeded' : 'nothing';
}
