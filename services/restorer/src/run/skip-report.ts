import { shownKey } from '@tidemark/selector';
import type { NodeClient } from '@tidemark/client';
import type { KeyList } from '../skip/key-notes.ts';
import type { TaintReport } from '../skip/tainted-keys.ts';
import { newFailures, parseTargetRecord, readFailures } from '../target/index.ts';
import type { RestoreRecord } from './restore-record.ts';

/** A key that leaving commands out concerns. */
export interface SkippedKey {
  readonly db: number;
  /** Bytes that are not printable ASCII as `\\xNN`. */
  readonly key: string;
  /** The command through which: the skipped one, or one that read what that had written. */
  readonly command: string;
  readonly offset: string;
  /** False: only perhaps, for nobody knows what the command read. */
  readonly sure: boolean;
}

/** What it means that commands were left out. */
export interface SkipReport {
  /** Commands that were read and left out; 0: they wrote nothing that was selected. */
  readonly commands: number;
  /** Selected keys that they had written: the first ones, and how many. */
  readonly wrote: readonly SkippedKey[];
  readonly wroteCount: number;
  /** Databases that they had emptied or swapped. */
  readonly wroteDatabases: readonly number[] | 'all';
  /** Selected keys that later commands made from what they had written: these may differ too. */
  readonly readers: readonly SkippedKey[];
  readonly readersCount: number;
  /** Later commands that may have read anything, with how often each came. */
  readonly unknown: Readonly<Record<string, number>>;
  /** Commands that the target refused, since what they need was not there: `rename 1`. */
  readonly refused: string;
  /** False: there were too many keys to follow. */
  readonly complete: boolean;
}

/** What leaving commands out meant, from the log and from what the target refused. */
export async function skipReport(
  taint: TaintReport,
  record: RestoreRecord,
  client: NodeClient,
): Promise<SkipReport> {
  const { failures } = parseTargetRecord(record.settings);
  return {
    commands: taint.skippedCommands,
    wrote: keysOf(taint.wrote),
    wroteCount: taint.wrote.count,
    wroteDatabases: taint.wroteDatabases,
    readers: keysOf(taint.readers),
    readersCount: taint.readers.count,
    unknown: Object.fromEntries(taint.unknown.map(({ command, count }) => [command, count])),
    refused: newFailures(failures, await readFailures(client)),
    complete: taint.complete,
  };
}

/** What of it is a warning. */
export function skipWarnings(report: SkipReport | null): readonly string[] {
  if (report === null) return [];
  const { refused, readersCount, complete } = report;
  return [
    ...(readersCount === 0
      ? []
      : [
          `${readersCount.toString()} keys were made from what was left out: they may never have been as they are now`,
        ]),
    ...(refused === '' ? [] : [`without what was left out the target refused: ${refused}`]),
    ...(complete ? [] : ['there were too many keys to tell all that this concerns']),
  ];
}

function keysOf({ keys }: KeyList): readonly SkippedKey[] {
  return keys.map(({ db, key, command, offset, sure }) => ({
    ...{ db, key: shownKey(key), command, offset: offset.toString(), sure },
  }));
}
