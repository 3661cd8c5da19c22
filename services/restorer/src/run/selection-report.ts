import type { Selector } from '@tidemark/selector';
import type { RestorePlan } from '../plan/restore-plan.ts';

/** What was selected of an instance, and what that took. Sizes are sealed bytes. */
export interface SelectionReport {
  /** The selector in words. */
  readonly keys: string;
  /** Other keys that the selected ones were made from: replayed, and taken away again. */
  readonly followed: number;
  /** Why everything up to an offset had to be replayed; null: it had not. */
  readonly everything: {
    readonly upTo: string;
    readonly command: string;
    readonly reason: string;
  } | null;
  /** Of the log between snapshot and cut. */
  readonly logBytes: number;
  /** What was read of it: indexes, and frames with commands. */
  readonly indexBytes: number;
  readonly frameBytes: number;
  /** A FLUSHALL stands before all that matters: the snapshot was not read. */
  readonly snapshotRead: boolean;
}

/** What a plan selects; null when it is everything. */
export function selectionReport({ closure }: RestorePlan): SelectionReport | null {
  if (closure?.selector == null) return null;
  const { selector, members, everything, share, startsEmpty } = closure;
  return {
    keys: selector.describe(),
    followed: members.followed,
    everything: everything && {
      upTo: everything.offset.toString(),
      command: everything.command,
      reason: everything.reason,
    },
    logBytes: share.logBytes,
    indexBytes: share.indexBytes,
    frameBytes: share.frameBytes,
    snapshotRead: !startsEmpty,
  };
}

/** What a selection gives rise to be warned of. */
export function selectionWarnings(
  selector: Selector | null,
  report: SelectionReport | null,
): readonly string[] {
  if (selector === null || report === null) return [];
  const { everything } = report;
  return [
    ...selector.warnings,
    ...(everything === null
      ? []
      : [`everything up to offset ${everything.upTo} had to be replayed: ${everything.reason}`]),
  ];
}
