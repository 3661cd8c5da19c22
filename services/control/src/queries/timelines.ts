import type { CatalogTimeline } from '@tidemark/catalog';
import { formatSecond } from '@tidemark/workspace';

/** A timeline as `windows --timelines` shows it. Times RFC 3339 UTC, offsets decimal strings. */
export interface TimelineDocument {
  readonly timeline: string;
  /** First second that can be restored, and the latest that is proven since the last step back. */
  readonly from: string | null;
  readonly provenTo: string | null;
  readonly offsets: { readonly from: string; readonly to: string };
  readonly opened: { readonly at: string; readonly reason: string };
  readonly closed: {
    readonly at: string;
    readonly reason: string;
    readonly detail: string;
  } | null;
  /** Steps of the server's clock, between two offsets: from the one time, to the other. */
  readonly steps: readonly {
    readonly direction: 'back' | 'forward';
    readonly before: string;
    readonly offset: string;
    readonly from: string;
    readonly to: string;
  }[];
}

/** What there is to show of a timeline. */
export function timelineDocument(known: CatalogTimeline): TimelineDocument {
  const { timeline, fromOffset, end, openedMs, openedBecause, closed, steps } = known;
  return {
    timeline,
    from: known.from === null ? null : formatSecond(known.from),
    provenTo: known.provenTo === null ? null : formatSecond(known.provenTo),
    offsets: { from: (fromOffset ?? 0n).toString(), to: end.toString() },
    opened: { at: formatMs(openedMs), reason: openedBecause },
    closed:
      closed === null
        ? null
        : { at: formatMs(closed.atMs), reason: closed.reason, detail: closed.detail },
    steps: steps.map(({ direction, before, offset, fromMs, sinceMs }) => ({
      direction,
      before: before.toString(),
      offset: offset.toString(),
      from: formatMs(fromMs),
      to: formatMs(sinceMs),
    })),
  };
}

function formatMs(ms: number): string {
  return formatSecond(Math.floor(ms / 1000));
}
