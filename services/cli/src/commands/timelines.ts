import type { TimelineDocument } from '@tidemark/control';
import { table } from '../output/table.ts';

/** Timelines for people: a table, then the steps of the clock. */
export function timelineLines(timelines: readonly TimelineDocument[]): string[] {
  const rows = timelines.map(({ timeline, from, provenTo, offsets, opened, closed }) => [
    timeline,
    from ?? '-',
    provenTo ?? '-',
    `${offsets.from}..${offsets.to}`,
    `${opened.at} ${opened.reason}`,
    closed === null ? 'open' : `${closed.at} ${closed.reason}`,
  ]);
  const head = ['TIMELINE', 'FROM (UTC)', 'PROVEN TO', 'OFFSETS', 'OPENED', 'CLOSED'];
  return [
    ...table(head, rows),
    ...timelines.flatMap(({ timeline, steps }) =>
      steps.map(
        ({ direction, offset, from, to }) =>
          `clock stepped ${direction} on ${timeline} at offset ${offset}: ${from} -> ${to}`,
      ),
    ),
  ];
}
