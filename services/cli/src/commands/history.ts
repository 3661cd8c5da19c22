import { keyEventDocument } from '@tidemark/control';
import { UsageError } from '@tidemark/core';
import { keyHistory, type KeyEvent } from '@tidemark/restorer';
import { keyOfText, shownKey } from '@tidemark/selector';
import { withLease, Workspace } from '@tidemark/workspace';
import type { Invocation } from '../invocation.ts';
import { restoreEnvironment } from './restore-environment.ts';
import {
  limitOf,
  prepareSearch,
  printSearch,
  timeText,
  windowOf,
  type SearchView,
  type WindowFlags,
} from './search-run.ts';

/** Flags of `tidemark history`. */
export interface HistoryFlags extends WindowFlags {
  readonly db?: string;
  readonly snapshots?: boolean;
}

/** Shows what the log says was done to a key. */
export async function showHistory(
  { id, key }: { readonly id: string; readonly key: string },
  flags: HistoryFlags,
  invocation: Invocation,
): Promise<void> {
  const wanted = keyOfText(key);
  const db = databaseOf(flags.db);
  const window = windowOf(flags);
  const limit = limitOf(flags);
  using workspace = await Workspace.open(invocation);
  await prepareSearch(id, window, workspace, invocation);
  const snapshots = flags.snapshots === true;
  const search = { instance: id, key: wanted, db, window, snapshots };
  const events = keyHistory(search, restoreEnvironment(workspace, invocation));
  const lease = { instance: id, fromSecond: window.since, isLong: false };
  await withLease(lease, workspace, invocation.printer, () =>
    printSearch(events, VIEW, limit, invocation),
  );
}

/** @throws UsageError `TM_USAGE`. */
function databaseOf(text: string | undefined): number | null {
  if (text === undefined) return null;
  if (/^\d{1,9}$/.test(text)) return Number(text);
  throw new UsageError('TM_USAGE', `--db ${text} is not a database`);
}

const VIEW: SearchView<KeyEvent> = {
  head: ['TIME (UTC)', 'OFFSET', 'DB', 'WHAT', 'COMMAND', 'ARGUMENTS', 'BYTES', 'TIMELINE'],
  widths: [20, 10, 2, 24, 8],
  columns: (event) => [
    timeText(event),
    event.offset.toString(),
    event.db.toString(),
    whatText(event),
    `${event.command.toUpperCase()}${event.count > 1 ? ` x ${event.count.toString()}` : ''}`,
    String(event.argumentCount ?? '-'),
    String(event.bytes ?? '-'),
    event.timeline,
  ],
  document: (event) => keyEventDocument(event),
};

function whatText(event: KeyEvent): string {
  const { did, db, other, expiryMs, expired, snapshot } = event;
  const parts: string[] = [did];
  if (snapshot !== null) parts.push(snapshot.backup);
  if (snapshot?.type != null) parts.push(`${snapshot.type} of ${String(snapshot.bytes)} bytes`);
  if (other?.key != null) parts.push(shownKey(other.key));
  if (other !== null && (other.db !== db || other.key === null)) {
    parts.push(`${other.key === null ? 'with ' : 'in '}db ${other.db.toString()}`);
  }
  if (expiryMs !== null) parts.push(`(expires ${expiryText(expiryMs)})`);
  if (expired) parts.push('(its expiry had passed)');
  return parts.join(' ');
}

/** A time of the calendar, or the number where a calendar has none. */
function expiryText(expiryMs: number): string {
  return Math.abs(expiryMs) <= 8.64e15 ? new Date(expiryMs).toISOString() : expiryMs.toString();
}
