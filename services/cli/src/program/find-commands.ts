import { Option, type Command } from 'commander';
import type { FindFlags } from '../commands/find.ts';
import type { HistoryFlags } from '../commands/history.ts';
import { selectorFlags } from '../commands/selector-flags.ts';
import type { Leaf, Perform } from './command-tree.ts';

/** Adds the commands that find the second of an accident. */
export function addFindCommands(program: Command, leaf: Leaf, perform: Perform): void {
  const history = leaf(
    program,
    'history <id> <key>',
    'Show what was done to a key, and when: writes, deletions, expiries.',
  );
  history
    .option('--db <n>', 'in this database (default: in all)')
    .option('--snapshots', 'look into the snapshots too: each is read whole');
  windowFlags(history)
    .addHelpText(
      'after',
      `
A key is written as for --key: bytes as \\xHH, \\n, \\r, \\t, a backslash as \\\\.

  tidemark history orders cart:17
  tidemark history orders cart:17 --db 0 --since -2h -o json

An expired key stands in the log as DEL or UNLINK. docs/finding-the-second.md says more.`,
    )
    .action(async (id: string, key: string, flags: HistoryFlags, command: Command) =>
      perform(command, async (invocation) =>
        (await import('../commands/history.ts')).showHistory({ id, key }, flags, invocation),
      ),
    );
  const find = leaf(
    program,
    'find <id>',
    'Find when commands ran, with the restore that leads to right before each.',
  ).addOption(
    new Option(
      '--command <names>',
      'names of commands, with commas between them',
    ).makeOptionMandatory(),
  );
  selectorFlags(find);
  // A log does not say of which type a key is.
  for (const option of find.options) if (option.attributeName().endsWith('ype')) option.hideHelp();
  windowFlags(find)
    .addHelpText(
      'after',
      `
  tidemark find orders --command FLUSHALL,FLUSHDB
  tidemark find orders --command DEL,UNLINK --glob 'cart:*' --since 2026-11-19T11:00:00Z
  tidemark find orders --command HSET --key user:1 --since -15m -o json

Commands stand in the log as the server rewrote them: docs/finding-the-second.md has the list.`,
    )
    .action(async (id: string, flags: FindFlags, command: Command) =>
      perform(command, async (invocation) =>
        (await import('../commands/find.ts')).findInLog(id, flags, invocation),
      ),
    );
}

function windowFlags(command: Command): Command {
  return command
    .option('--since <time>', 'from this second on')
    .option('--until <time>', 'up to the end of this second')
    .option('--limit <n>', 'stop after so many');
}
