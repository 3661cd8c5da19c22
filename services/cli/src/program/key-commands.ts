import type { Command } from 'commander';
import type { DiffFlags } from '../commands/diff.ts';
import type { PreviewFlags } from '../commands/preview.ts';
import { selectorFlags } from '../commands/selector-flags.ts';
import { spareFlags } from '../commands/spare-flags.ts';
import type { UndoFlags } from '../commands/undo.ts';
import type { Leaf, Perform } from './command-tree.ts';
import { conflictFlag, missingFlags } from './conflict-flag.ts';
import { pointFlags } from './point-flags.ts';

/** Adds the commands that look at keys of a running instance, then and now. */
export function addKeyCommands(program: Command, leaf: Leaf, perform: Perform): void {
  addPreview(program, leaf, perform);
  addDiff(program, leaf, perform);
  addUndo(program, leaf, perform);
  addHash(program, leaf, perform);
}

function addHash(program: Command, leaf: Leaf, perform: Perform): void {
  const key = program
    .command('key')
    .description('Names of keys as the audit shows them.')
    .helpGroup('Keys, TLS and the store:');
  leaf(key, 'hash <id> <key>', 'Show what the audit of an instance calls a key.')
    .addHelpText(
      'after',
      `
Audit entries, and answers about an instance with TDE, hold no names of keys: a hash stands in their place
that nobody can try names against without the key ring. It is the same for a name at all times, and another
one for each instance. A key is written as for --key.

  tidemark key hash orders cart:17`,
    )
    .action(async (id: string, name: string, _flags: object, command: Command) =>
      perform(command, async (invocation) =>
        (await import('../commands/key-hash.ts')).showKeyHash({ id, key: name }, invocation),
      ),
    );
}

function addPreview(program: Command, leaf: Leaf, perform: Perform): void {
  const preview = leaf(
    program,
    'preview <id>',
    'Show what putting keys back into the running instance would do; nothing is written.',
  );
  const [keep, remove] = missingFlags();
  spareFlags(pointFlags(selectorFlags(preview)))
    .addOption(keep)
    .addOption(remove)
    .addHelpText(
      'after',
      `
The keys are restored into a scratch server here and compared with the server that the configuration
names for the instance. Values are compared by content: another encoding is no difference. Keys that
are changed or missing would be put, keys that were created since deleted (--keep-missing: left).

  tidemark preview orders --at 2026-11-20T10:05:00Z --regex 'cart:.*'
  tidemark preview orders --before 81726354 --keys-file keys.txt -o json`,
    )
    .action(async (id: string, flags: PreviewFlags, command: Command) =>
      perform(command, async (invocation) =>
        (await import('../commands/preview.ts')).previewKeys(id, flags, invocation),
      ),
    );
}

function addDiff(program: Command, leaf: Leaf, perform: Perform): void {
  const diff = leaf(
    program,
    'diff <id>',
    'Show which keys changed between two points, or between one and now.',
  );
  selectorFlags(diff)
    .requiredOption('--from <point>', 'a time, or an offset')
    .requiredOption('--to <point>', 'a time, an offset, or live = the running server')
    .option('--timeline <tl>', 'both points are on this timeline (windows --timelines)')
    .option('--values', 'show the beginning of the values: 200 bytes, or 5 elements')
    .option('--limit <n>', 'keys of each kind that are named, at most 10000', '20');
  spareFlags(diff)
    .addHelpText(
      'after',
      `
Two points in the past are compared as they were: what has expired since is shown too. In a table
NOW is the second point. Values are shown only with --values.

  tidemark diff orders --glob 'cart:*' --from 2026-11-20T10:05:00Z --to 2026-11-20T10:06:00Z
  tidemark diff orders --key user:17 --from -1h --to live --values`,
    )
    .action(async (id: string, flags: DiffFlags, command: Command) =>
      perform(command, async (invocation) =>
        (await import('../commands/diff.ts')).diffKeys(id, flags, invocation),
      ),
    );
}

function addUndo(program: Command, leaf: Leaf, perform: Perform): void {
  const undo = leaf(
    program,
    'undo [rid]',
    'Put back what keys held before a restore into the original wrote them.',
  );
  spareFlags(undo)
    .option('--list', 'list what can be undone, of the instance that is named or of all')
    .option('--dry-run', 'only tell what would be put back')
    .addOption(conflictFlag())
    .option('-y, --yes', 'do not ask')
    .addHelpText(
      'after',
      `
A key gets the value and the expiry that it had; one that was not there is deleted. A key that somebody
has changed since the restore is left, unless --on-conflict says otherwise. An undo can be undone too.

  tidemark undo --list orders
  tidemark undo rs-01kb2m3n4p5q6r7s8t9v0w1x2y --dry-run`,
    )
    .action(async (rid: string | undefined, flags: UndoFlags, command: Command) =>
      perform(command, async (invocation) =>
        (await import('../commands/undo.ts')).undoCommand(rid, flags, invocation),
      ),
    );
}
