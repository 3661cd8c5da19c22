import { TidemarkError } from '@tidemark/core';
import type { UndoReport, WriteBackReport } from '@tidemark/restorer';
import type { Invocation } from '../invocation.ts';
import { countOf } from '../output/count.ts';
import { formatBytes } from '../output/table.ts';
import { countsText } from './outcome-text.ts';
import { ttlLine } from './ttl-flag.ts';

/** Keys that are named to people; `-o json` has more. */
const NAMED_MAX = 10;

type Counts = Pick<
  WriteBackReport,
  | 'restored'
  | 'deleted'
  | 'vanished'
  | 'vanishedSample'
  | 'settled'
  | 'uncertain'
  | 'bytes'
  | 'writtenSample'
  | 'conflicts'
  | 'refused'
  | 'left'
>;

/**
 * Ends a command that wrote: an error that stopped the work is thrown, and keys that were left make
 * exit code 3.
 * @throws The failure; TidemarkError `TM_WRITE_PARTIAL`.
 */
export function endWriting({ conflicts, refused }: Counts, failure: Error | null): void {
  if (failure !== null) throw failure;
  const left = conflicts + refused;
  if (left === 0) return;
  throw new TidemarkError(
    'TM_WRITE_PARTIAL',
    left === 1 ? '1 key was left as it is' : `${left.toString()} keys were left as they are`,
    {
      context: { conflicts, refused },
      ...(conflicts > 0 ? { hint: 'write them all the same with --on-conflict overwrite' } : {}),
    },
  );
}

/** A write-back for people. */
export function writeBackText(report: WriteBackReport, { configPath }: Invocation): string[] {
  const { id, instance, at, cut, state, outcomes, elapsedSeconds, undo } = report;
  const where = at ?? `offset ${cut.offset}`;
  const command = `tidemark -c ${configPath}`;
  if (state === 'nothing') {
    return [
      `keys: ${countsText(outcomes)}`,
      ...keptText(report),
      'nothing to do; nothing was written',
    ];
  }
  return [
    `${instance} at ${where}, timeline ${cut.timeline}, offset ${cut.offset}; into the original`,
    `selected: ${report.selected}`,
    `keys: ${countsText(outcomes)}`,
    ttlLine(report.ttl),
    `written: ${writtenText(report, elapsedSeconds)}`,
    ...keptText(report),
    ...restText(report),
    ...(state === 'interrupted' ? namesText(report) : []),
    ...(undo === null ? [] : [undoLine(command, undo)]),
    ...(state === 'interrupted'
      ? [`not done. Go on: ${command} restore ${instance} --resume ${id}`]
      : []),
  ];
}

function keptText({ kept }: Pick<WriteBackReport, 'kept'>): string[] {
  return kept === 0 ? [] : [`left: ${countOf(kept, 'key')} that were not there then`];
}

/** An undo for people. */
export function undoText(report: UndoReport, { configPath }: Invocation): string[] {
  const { state, instance, restore, elapsedSeconds, undo } = report;
  const command = `tidemark -c ${configPath}`;
  const planned = state === 'planned';
  return [
    `undo of ${restore}, instance ${instance}`,
    planned
      ? `would be put back: ${plannedText(report)}${settledText(report)}`
      : `put back: ${writtenText(report, elapsedSeconds)}${settledText(report)}`,
    ...restText(report),
    ...(planned ? [`nothing was written; to write: ${command} undo ${restore}`] : []),
    ...(state === 'nothing' ? ['nothing was to be done'] : []),
    ...(state === 'interrupted' ? namesText(report) : []),
    ...(undo === null ? [] : [undoLine(command, undo)]),
    ...(state === 'interrupted' ? [`not done. Go on: ${command} undo ${restore}`] : []),
  ];
}

function writtenText({ restored, deleted, bytes }: Counts, seconds: number): string {
  return (
    `${countOf(restored, 'key')} (${formatBytes(bytes)}), ${deleted.toString()} deleted,` +
    ` in ${seconds.toFixed(1)} s`
  );
}

function plannedText({ restored, deleted, bytes }: Counts): string {
  return `${countOf(restored, 'key')} (${formatBytes(bytes)}), ${deleted.toString()} to delete`;
}

function settledText({ settled }: Counts): string {
  if (settled === 0) return '';
  return settled === 1 ? '; 1 is as it was' : `; ${settled.toString()} are as they were`;
}

/** Some of the keys that were written before the end; the undo pack has them all. */
function namesText({ restored, deleted, writtenSample }: Counts): string[] {
  if (writtenSample.length === 0) return [];
  const names = writtenSample.slice(0, NAMED_MAX).map(({ key }) => key);
  const more = restored + deleted > names.length ? ', …' : '';
  return [`written so far: ${names.join(', ')}${more}`];
}

function restText(counts: Counts): string[] {
  const { vanished, vanishedSample, uncertain, left, conflicts, refused } = counts;
  const names = vanishedSample.slice(0, 3).map(({ key }) => key);
  return [
    ...(vanished > 0
      ? [
          `expired: ${vanished === 1 ? '1 key has an expiry that has passed and was' : `${vanished.toString()} keys have an expiry that has passed and were`} not put back` +
            ` (${names.join(', ')}${vanished > names.length ? ', …' : ''}); keep such keys with --ttl remaining`,
        ]
      : []),
    ...(uncertain > 0
      ? [`unknown: ${countOf(uncertain, 'key')} may have been written when the connection was lost`]
      : []),
    ...left
      .slice(0, NAMED_MAX)
      .map(({ db, key, why }) => `left: db ${db.toString()} ${key}: ${why}`),
    ...(conflicts + refused > NAMED_MAX
      ? [`left: … and ${(conflicts + refused - NAMED_MAX).toString()} more`]
      : []),
  ];
}

function undoLine(
  command: string,
  { id, expiresMs }: { readonly id: string; readonly expiresMs: number },
): string {
  const until = new Date(expiresMs).toISOString().replace(/\.\d{3}Z$/, 'Z');
  return `undo, until ${until}: ${command} undo ${id}`;
}
