import type { Command } from 'commander';
import type { DeleteFlags } from '../commands/backup-change.ts';
import type { Leaf, Perform } from './command-tree.ts';

/** Adds what is done to a backup that is there: `show`, `label`, `hold`, `release`, `delete`, `undelete`. */
export function addBackupChanges(backup: Command, leaf: Leaf, perform: Perform): void {
  leaf(backup, 'show <backup>', 'Show one backup, also one that was deleted.').action(
    async (name: string, _: unknown, command: Command) =>
      perform(command, async (invocation) =>
        (await import('../commands/backup-change.ts')).showBackup(name, invocation),
      ),
  );
  leaf(backup, 'label <backup> <labels...>', 'Put labels to a backup, or take them away.')
    .addHelpText(
      'after',
      `
key=value sets a label, key- takes it away, others stay; at most 16. They stand in the log of the
instance in clear text: never a secret. Find backups by them: backup list ID --label key=value

  tidemark backup label bk_01kb2m3n4p5q6r7s8t9v0w1x2y team=data ticket=OPS-12
  tidemark backup label bk_01kb2m3n4p5q6r7s8t9v0w1x2y ticket-`,
    )
    .action(async (name: string, words: string[], _: unknown, command: Command) =>
      perform(command, async (invocation) =>
        (await import('../commands/backup-change.ts')).changeLabels(name, words, invocation),
      ),
    );
  addHold(backup, leaf, perform);
  addDelete(backup, leaf, perform);
  addUndelete(backup, leaf, perform);
}

function addHold(backup: Command, leaf: Leaf, perform: Perform): void {
  const change = (hold: boolean) => async (name: string, _: unknown, command: Command) =>
    perform(command, async (invocation) =>
      (await import('../commands/backup-change.ts')).changeHold(name, hold, invocation),
    );
  leaf(
    backup,
    'hold <backup>',
    'Hold a backup: retention keeps it and what follows it, and nobody can delete it.',
  ).action(change(true));
  leaf(backup, 'release <backup>', 'Release a backup that is held.').action(change(false));
}

function addDelete(backup: Command, leaf: Leaf, perform: Perform): void {
  leaf(backup, 'delete <backup>', 'Give a backup up: listed no more, deleted by retention.')
    .option('--dry-run', 'say what that would free and what stays restorable, and do nothing')
    .option('--last', 'also the last good backup of a shard')
    .option('--confirm <backup>', 'the id of the backup once more')
    .addHelpText(
      'after',
      `
Nothing new is made from it: no restore, clone or download by its id. Times stay restorable: where a
second that is kept can be had from it alone, it stays in the store, unseen, until that second is older
than the retention. Else the next run of retention (tidemark expire ID, or the archiver's daily one)
marks it, and a run after the grace deletes its objects; until that begins: tidemark backup undelete.
A backup that is held is refused, and so is the last good one of a shard without --last.
docs/retention.md says more.

  tidemark backup delete bk_01kb2m3n4p5q6r7s8t9v0w1x2y --dry-run
  tidemark backup delete bk_01kb2m3n4p5q6r7s8t9v0w1x2y --confirm bk_01kb2m3n4p5q6r7s8t9v0w1x2y
  tidemark backup list orders --state deleted`,
    )
    .action(async (name: string, flags: DeleteFlags, command: Command) =>
      perform(command, async (invocation) =>
        (await import('../commands/backup-change.ts')).deleteCommand(name, flags, invocation),
      ),
    );
}

function addUndelete(backup: Command, leaf: Leaf, perform: Perform): void {
  leaf(backup, 'undelete <backup>', 'Take the deletion of a backup back.')
    .addHelpText(
      'after',
      `
Until retention has begun to delete its objects: after the next run of it (tidemark expire ID, or the
archiver's daily one) and the grace. Where it is marked already the mark is taken back, whole. One that is
older than the retention is marked again by the next run: hold it. See which there are by
backup list ID --state deleted; those that are marked are not listed any more.

  tidemark backup undelete bk_01kb2m3n4p5q6r7s8t9v0w1x2y`,
    )
    .action(async (name: string, _: unknown, command: Command) =>
      perform(command, async (invocation) =>
        (await import('../commands/backup-change.ts')).undeleteCommand(name, invocation),
      ),
    );
}
