import type { Catalog } from '@tidemark/catalog';
import { knownInstance } from '@tidemark/control';
import { UsageError } from '@tidemark/core';
import type { SearchTotals, SecondWindow, TimeBounds } from '@tidemark/restorer';
import { systemClock } from '@tidemark/system';
import { freshen, type Workspace } from '@tidemark/workspace';
import type { Invocation } from '../invocation.ts';
import { Columns } from '../output/columns.ts';
import { countOf, sizeOf } from '../output/count.ts';
import { LineWriter } from '../output/line-writer.ts';
import { formatBytes } from '../output/table.ts';
import { formatSecond, parseTime } from '../time.ts';

/** Holes that are named one by one. */
const HOLES_NAMED = 10;

/** Flags of a search in the log. */
export interface WindowFlags {
  readonly since?: string;
  readonly until?: string;
  readonly limit?: string;
}

/** What a search gives while it goes on. */
export interface Search<T> extends AsyncIterable<readonly T[]> {
  readonly totals: SearchTotals & { readonly snapshotBytes?: number };
}

/** How results are shown. */
export interface SearchView<T> {
  /** Column titles of the lines of text. */
  readonly head: readonly string[];
  /** Characters that its columns have at least. */
  readonly widths: readonly number[];
  readonly columns: (found: T) => readonly string[];
  readonly document: (found: T) => object;
}

/**
 * The window that `--since` and `--until` name.
 * @throws UsageError `TM_TIME_SYNTAX`, `TM_USAGE` when it is empty.
 */
export function windowOf(flags: WindowFlags): SecondWindow {
  const second = (text: string | undefined): number | null => {
    if (text === undefined) return null;
    const wanted = parseTime(text, systemClock.nowMs());
    return wanted === 'latest' ? null : wanted.second;
  };
  const [since, until] = [second(flags.since), second(flags.until)];
  if (since !== null && until !== null && since > until) {
    throw new UsageError('TM_USAGE', '--since is later than --until');
  }
  return { since, until };
}

/** @throws UsageError `TM_USAGE`. */
export function limitOf({ limit }: WindowFlags): number {
  if (limit === undefined) return Infinity;
  if (/^[1-9]\d{0,14}$/.test(limit)) return Number(limit);
  throw new UsageError('TM_USAGE', `--limit ${limit} is not a number from 1 on`);
}

/** Reads what is new in the log and says what of the window was not captured. */
export async function prepareSearch(
  id: string,
  window: SecondWindow,
  workspace: Workspace,
  { printer, signal }: Invocation,
): Promise<void> {
  await freshen(workspace, id, signal);
  const { catalog } = workspace;
  knownInstance(catalog, id);
  for (const warning of gapsOf(window, catalog, id)) printer.warn(warning);
}

/** What of a window was not captured, or is not known to be: sentences for warnings. */
export function gapsOf(
  { since, until }: SecondWindow,
  catalog: Pick<Catalog, 'writers' | 'windows'>,
  id: string,
): string[] {
  const shards = new Set(catalog.writers(id).map(({ shard }) => shard));
  const all = [...shards].map((shard) => catalog.windows(id, shard));
  const earliest = Math.min(...all.map((one) => one.earliest ?? Infinity));
  const latest = Math.max(...all.map((one) => one.latest ?? -Infinity));
  const holes = all
    .flatMap((one) => one.holes)
    .filter(({ from, to }) => (until === null || from <= until) && (since === null || to >= since))
    .sort((a, b) => a.from - b.from);
  const warnings = holes
    .slice(0, HOLES_NAMED)
    .map(
      ({ from, to, reason }) =>
        `between ${formatSecond(from)} and ${formatSecond(to)} nothing, or not all, was captured: ${reason}`,
    );
  if (holes.length > HOLES_NAMED) {
    warnings.push(`and ${String(holes.length - HOLES_NAMED)} more holes: tidemark windows ${id}`);
  }
  if (since !== null && since < earliest && earliest < Infinity) {
    warnings.push(`the archive begins at ${formatSecond(earliest)}`);
  }
  if ((until ?? since ?? -Infinity) > latest) {
    const end = latest > -Infinity ? ` after ${formatSecond(latest)}` : '';
    warnings.push(`what ran${end} may not be stored yet`);
  }
  return warnings;
}

/** Prints what a search finds while it finds it, then what it read. */
export async function printSearch<T>(
  search: Search<T>,
  view: SearchView<T>,
  limit: number,
  invocation: Invocation,
): Promise<void> {
  const { printer, signal } = invocation;
  const json = printer.format === 'json';
  const lines = new LineWriter();
  const columns = new Columns(view.head, view.widths);
  let shown = 0;
  let more = false;
  try {
    for await (const batch of search) {
      const some = batch.slice(0, limit - shown);
      const rows = json ? [] : some.map((found) => view.columns(found));
      if (shown === 0 && rows.length > 0) rows.unshift(view.head);
      const texts = json
        ? some.map((found) => JSON.stringify(view.document(found)))
        : columns.lines(rows);
      // Else what is found would follow the progress on its line of the terminal.
      if (texts.length > 0) printer.wipe();
      for (const text of texts) lines.line(text);
      shown += some.length;
      await lines.flush(signal);
      const { readBytes, segments } = search.totals;
      printer.progress(`${countOf(segments, 'segment')}, ${formatBytes(readBytes)} read`);
      more = shown >= limit;
      if (more || lines.closed) break;
    }
  } finally {
    // What was found before a fault is shown all the same.
    await lines.flush(signal);
  }
  const { totals } = search;
  const { readBytes, logBytes, snapshotBytes = 0 } = totals;
  const summary = { found: shown, limited: more, ...totals };
  printer.result({ summary }, () => [
    `${shown === 0 ? 'nothing found' : `${String(shown)} found${more ? ', there may be more' : ''}`}; ` +
      `read ${sizeOf(readBytes, logBytes)} of log` +
      (snapshotBytes > 0 ? ` and ${formatBytes(snapshotBytes)} of snapshots` : ''),
  ]);
}

/** When a command ran: a second, or what is known of it. */
export function timeText({ notBeforeMs, notAfterMs }: TimeBounds): string {
  const [from, to] = [notBeforeMs, notAfterMs].map((ms) =>
    ms === null ? null : formatSecond(Math.floor(ms / 1000)),
  );
  if (from === to) return from ?? 'unknown';
  if (from == null) return `until ${to ?? ''}`;
  return to == null ? `from ${from}` : `${from}..${to}`;
}
