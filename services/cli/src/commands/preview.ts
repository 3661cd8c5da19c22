import { UsageError } from '@tidemark/core';
import {
  preview,
  type MissingKeys,
  type PreviewReport,
  type RestoreProgress,
} from '@tidemark/restorer';
import type { SelectorSpec } from '@tidemark/selector';
import { systemClock } from '@tidemark/system';
import { freshen, readFrom, withLease, Workspace } from '@tidemark/workspace';
import type { Invocation } from '../invocation.ts';
import { countOf, sizeOf } from '../output/count.ts';
import { formatBytes } from '../output/table.ts';
import { countsText, sampleText } from './outcome-text.ts';
import { restoreEnvironment } from './restore-environment.ts';
import { pointOf, type PointFlags } from './restore-point.ts';
import { selectorOf, type SelectorFlags } from './selector-flags.ts';
import { writeLine, type WriteFlags } from './shown-command.ts';
import { skipOf } from './skip-flag.ts';
import type { SpareFlags } from './spare-flags.ts';
import { sparedOriginal } from './spared-original.ts';
import { ttlLine, ttlOf } from './ttl-flag.ts';

/** Flags of `tidemark preview` as commander gives them. */
export interface PreviewFlags extends PointFlags, SelectorFlags, SpareFlags {
  readonly ttl?: string;
  readonly skip?: string;
  readonly keepMissing?: boolean;
}

/** Shows what a write of selected keys into the running original would do. */
export async function previewKeys(
  id: string,
  flags: PreviewFlags,
  invocation: Invocation,
): Promise<void> {
  const { printer, signal, configPath } = invocation;
  const selector = await wantedSelector(flags, invocation);
  const nowMs = systemClock.nowMs();
  const point = pointOf(flags, nowMs);
  const ttl = ttlOf(flags.ttl, true, nowMs);
  const skip = skipOf(flags.skip);
  const missingKeys = missingOf(flags);
  using workspace = await Workspace.open(invocation);
  const live = await sparedOriginal(id, flags, workspace.config);
  await freshen(workspace, id, signal);
  const fromSecond = readFrom(workspace.catalog, id, point);
  const lease = { instance: id, fromSecond, isLong: false };
  const report = await withLease(lease, workspace, invocation.printer, () =>
    preview(
      { instance: id, point, ttl, selector, skip, live, missingKeys },
      restoreEnvironment(workspace, invocation, comparisonProgress),
    ),
  );
  for (const warning of report.warnings) printer.warn(warning);
  printer.result(report, () => previewText(report, flags, configPath));
}

/** What `--keep-missing` and `--delete-missing` say. */
export function missingOf(flags: Pick<PreviewFlags, 'keepMissing'>): MissingKeys {
  return flags.keepMissing === true ? 'keep' : 'delete';
}

/** @throws UsageError `TM_SELECTOR_EMPTY` when no key is named. */
export async function wantedSelector(
  flags: SelectorFlags,
  invocation: Invocation,
): Promise<SelectorSpec> {
  const selector = await selectorOf(flags, invocation);
  if (selector !== null) return selector;
  throw new UsageError('TM_SELECTOR_EMPTY', 'the selection is empty: say which keys', {
    hint: "--key KEY, --regex 'cart:.*', --glob 'cart:*', --keys-file FILE, --db N or --type TYPE",
  });
}

/** How far a restore into a scratch server, and the comparison after it, are. */
export function comparisonProgress({ phase, bytes, bytesTotal }: RestoreProgress): string {
  if (phase === 'compare') return `compare: ${countOf(bytes, 'key')}`;
  const percent = bytesTotal > 0 ? Math.min(100, Math.floor((bytes / bytesTotal) * 100)) : 0;
  return `${phase}: ${formatBytes(bytes)} (${percent.toString()} %)`;
}

/** A preview for people. */
export function previewText(
  report: PreviewReport,
  flags: WriteFlags,
  configPath: string,
): string[] {
  const { instance, at, cut, counts, expiryOnly, write, read, ttl, selected, elapsedSeconds } =
    report;
  const where = at ?? `offset ${cut.offset}`;
  const log =
    read.selection === null
      ? ''
      : `, ${sizeOf(read.selection.indexBytes + read.selection.frameBytes, read.selection.logBytes)} of the log`;
  return [
    `preview: ${instance} at ${where}, timeline ${cut.timeline}, offset ${cut.offset}; target: the original`,
    `selected: ${selected}`,
    `keys: ${countsText(counts, expiryOnly)}`,
    `write: ${writeText(write)}`,
    ttlLine(ttl),
    `read: ${formatBytes(read.bytes)}, ${countOf(read.commands, 'command')}${log}, in ${elapsedSeconds.toFixed(1)} s`,
    ...sampleText(report.sample, counts),
    write.put + write.deleted === 0
      ? 'nothing to do; nothing was written'
      : `nothing was written; to write: ${writeLine(instance, flags, { at, configPath })}`,
  ];
}

function writeText({ put, putBytes, deleted, kept, seconds }: PreviewReport['write']): string {
  const left = kept === 0 ? '' : `; ${kept.toString()} to leave (not there then)`;
  if (put + deleted === 0) return `nothing${left}`;
  return (
    `${countOf(put, 'key')} to put (${formatBytes(putBytes)}), ${deleted.toString()} to delete` +
    ` (not there then)${left}; about ${Math.max(1, Math.round(seconds)).toString()} s`
  );
}
