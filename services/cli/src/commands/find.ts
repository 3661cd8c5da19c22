import { placeDocument } from '@tidemark/control';
import { UsageError } from '@tidemark/core';
import { findCommands, noteOnName, type FoundCommand } from '@tidemark/restorer';
import { compileSelector, shownKey } from '@tidemark/selector';
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
import { selectorOf, type SelectorFlags } from './selector-flags.ts';

/** Flags of `tidemark find`. */
export interface FindFlags extends SelectorFlags, WindowFlags {
  readonly command: string;
}

/** Finds commands by name, and shows the restore that leads to right before each. */
export async function findInLog(
  id: string,
  flags: FindFlags,
  invocation: Invocation,
): Promise<void> {
  const { printer, configPath } = invocation;
  const names = namesOf(flags.command);
  const window = windowOf(flags);
  const limit = limitOf(flags);
  const spec = await selectorOf(flags, invocation);
  const keys = spec === null ? null : compileSelector(spec);
  if (keys?.hasTypes === true) {
    throw new UsageError('TM_USAGE', 'a log does not say of which type a key is', {
      hint: 'leave out --type and --exclude-type',
    });
  }
  for (const warning of keys?.warnings ?? []) printer.warn(warning);
  for (const name of names) {
    const note = noteOnName(name);
    if (note !== null) printer.warn(note.text);
  }
  using workspace = await Workspace.open(invocation);
  await prepareSearch(id, window, workspace, invocation);
  // With the timeline in any case: the line is kept in tickets, and the newest one may be another by then.
  const restoreLine = ({ before, timeline }: FoundCommand): string =>
    `tidemark -c ${configPath} restore ${id} --before ${before.toString()} --timeline ${timeline} --to new`;
  const search = { instance: id, names: new Set(names), keys, window };
  const found = findCommands(search, restoreEnvironment(workspace, invocation));
  const lease = { instance: id, fromSecond: window.since, isLong: false };
  await withLease(lease, workspace, invocation.printer, () =>
    printSearch(found, viewOf(restoreLine), limit, invocation),
  );
}

/** @throws UsageError `TM_USAGE`. */
function namesOf(text: string): readonly string[] {
  const names = text.split(',').map((name) => name.trim().toLowerCase());
  if (names.every((name) => /^[!-~]{1,64}$/.test(name))) return [...new Set(names)];
  throw new UsageError('TM_USAGE', `--command ${JSON.stringify(text)} is no list of commands`, {
    hint: 'for instance --command FLUSHALL or --command DEL,UNLINK',
  });
}

function viewOf(restoreLine: (found: FoundCommand) => string): SearchView<FoundCommand> {
  return {
    head: ['TIME (UTC)', 'OFFSET', 'DB', 'COMMAND', 'BYTES', 'KEYS', 'THE STATE BEFORE IT'],
    widths: [20, 10, 2, 8, 5, 16],
    columns: (found) => [
      timeText(found),
      found.offset.toString(),
      found.db.toString(),
      found.command.toUpperCase(),
      String(found.bytes),
      keysText(found),
      restoreLine(found),
    ],
    document: (found) => ({
      ...placeDocument(found),
      db: found.db,
      keys: found.keys.map(({ db, key }) => ({ db, key: shownKey(key) })),
      keyCount: found.keyCount,
      restore: restoreLine(found),
    }),
  };
}

function keysText({ db, keys, keyCount }: FoundCommand): string {
  if (keyCount === 0) return '-';
  const named = keys.map((one) => {
    const where = one.db === db ? '' : ` in db ${one.db.toString()}`;
    return `${shownKey(one.key)}${where}`;
  });
  const rest = keyCount - keys.length;
  return `${named.join(', ')}${rest > 0 ? `, ... (${keyCount.toString()})` : ''}`;
}
