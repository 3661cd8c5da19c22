import { TidemarkError } from '@tidemark/core';
import type { UndoReport, WriteBackReport } from '@tidemark/restorer';
import type { Invocation } from '../context.ts';
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
    `${left.toString()} ${left === 1 ? 'key was' : 'keys were'} left as they are`,
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
    return [`keys: ${countsText(outcomes)}`, 'nothing to do; nothing was written'];
  }
  return [
    `${instance} at ${where}, timeline ${cut.timeline}, offset ${cut.offset}; into the original`,
    `selected: ${report.selected}`,
    `keys: ${countsText(outcomes)}`,
    ttlLine(report.ttl),
    `written: ${writtenText(report, elapsedSeconds)}`,
    ...restText(report),
    ...(undo === null ? [] : [undoLine(command, undo)]),
    ...(state === 'interrupted'
      ? [`not done. Go on: ${command} restore ${instance} --resume ${id}`]
      : []),
  ];
}

/** An undo for people. */
export function undoText(report: UndoReport, { configPath }: Invocation): string[] {
  const { state, instance, restore, elapsedSeconds, settled, undo } = report;
  const command = `tidemark -c ${configPath}`;
  const what = state === 'planned' ? 'would be put back' : 'put back';
  return [
    `undo of ${restore}, instance ${instance}`,
    `${what}: ${writtenText(report, elapsedSeconds)}; ${settled.toString()} are as they were`,
    ...restText(report),
    ...(state === 'planned' ? ['nothing was written'] : []),
    ...(undo === null ? [] : [undoLine(command, undo)]),
    ...(state === 'interrupted' ? [`not done. Go on: ${command} undo ${restore}`] : []),
  ];
}

function writtenText({ restored, deleted, bytes }: Counts, seconds: number): string {
  return (
    `${restored.toString()} keys (${formatBytes(bytes)}), ${deleted.toString()} deleted,` +
    ` in ${seconds.toFixed(1)} s`
  );
}

function restText(counts: Counts): string[] {
  const { vanished, vanishedSample, uncertain, left, conflicts, refused } = counts;
  const names = vanishedSample.slice(0, 3).map(({ key }) => key);
  return [
    ...(vanished > 0
      ? [
          `expired: ${vanished.toString()} keys have an expiry that has passed and were not put back` +
            ` (${names.join(', ')}${vanished > names.length ? ', …' : ''}); keep such keys with --ttl remaining`,
        ]
      : []),
    ...(uncertain > 0
      ? [`unknown: ${uncertain.toString()} keys may have been written when the connection was lost`]
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
