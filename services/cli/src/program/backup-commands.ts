import { Option, type Command } from 'commander';
import type { CreateFlags, ListFlags } from '../commands/backup.ts';
import type { DownloadFlags } from '../commands/backup-download.ts';
import type { VerifyFlags } from '../commands/backup-verify.ts';
import type { ShredFlags } from '../commands/shred.ts';
import { addBackupChanges } from './backup-change-commands.ts';
import type { Leaf, Perform } from './command-tree.ts';

/** Adds `backup`. */
export function addBackupCommands(program: Command, leaf: Leaf, perform: Perform): void {
  const backup = program
    .command('backup')
    .description('Make, list, label, download, verify and delete backups (full snapshots).');
  leaf(backup, 'create <id>', 'Make a backup now: the node rewrites its log, the base is shipped.')
    .option('--wait', 'return when the backup is stored')
    .option('--label <key=value>', 'put a label to it; may be given again; waits', gather, [])
    .option('--hold', 'hold it: retention keeps it, and what follows it; waits')
    .action(async (id: string, options: CreateFlags, command: Command) =>
      perform(command, async (invocation) =>
        (await import('../commands/backup.ts')).createBackup(id, options, invocation),
      ),
    );
  leaf(backup, 'list <id>', 'List the backups of an instance.')
    .option('--label <key=value>', 'only those with this label; may be given again', gather, [])
    .addOption(
      new Option('--state <state>', 'only those in this state').choices([
        ...['complete', 'shredded', 'deleted'],
      ]),
    )
    .action(async (id: string, options: ListFlags, command: Command) =>
      perform(command, async (invocation) =>
        (await import('../commands/backup.ts')).listBackups(id, options, invocation),
      ),
    );
  addBackupChanges(backup, leaf, perform);
  addDownload(backup, leaf, perform);
  addVerify(backup, leaf, perform);
}

/** Words of a flag that may be given again. */
function gather(word: string, words: readonly string[]): readonly string[] {
  return [...words, word];
}

function addVerify(backup: Command, leaf: Leaf, perform: Perform): void {
  leaf(
    backup,
    'verify <name>',
    'Read every byte of an instance or a backup and verify it, without a restore.',
  )
    .option(
      '--sample <share>',
      'only so much of it, another part at each run: 5% reads all in 20 runs',
    )
    .addHelpText(
      'after',
      `
Logs, digests, seals and wrapped keys are verified; RDB files are read to their checksum, command streams
from the first command to the last. Damage ends with exit code 14 and names the objects.

  tidemark backup verify orders
  tidemark backup verify orders --sample 5%
  tidemark backup verify bk_01kb2m3n4p5q6r7s8t9v0w1x2y`,
    )
    .action(async (name: string, flags: VerifyFlags, command: Command) =>
      perform(command, async (invocation) =>
        (await import('../commands/backup-verify.ts')).verifyCommand(name, flags, invocation),
      ),
    );
}

function addDownload(backup: Command, leaf: Leaf, perform: Perform): void {
  leaf(
    backup,
    'download <id> <backup>',
    'Write a backup into a file, or make a link to it; of an instance with TDE as ciphertext.',
    { ownO: true },
  )
    .option('-o <path>', 'file to write, or a folder: a file for each shard in it')
    .option('--out <path>', 'the same; -o is the output format then, as everywhere')
    .option('--sealed', 'the sealed backup as it lies in the store, also without TDE')
    .option('--url', 'print links to the sealed backup instead (S3 stores)')
    .option('--ttl <duration>', 'with --url: how long they are good for, at most 7d (default: 1h)')
    .addHelpText(
      'after',
      `
Without TDE the file is a plain RDB, verified to its last byte, that any server of that version loads.
With TDE it is the sealed backup, whatever is asked for: it opens only where it is restored.

  tidemark backup download orders bk_01kb2m3n4p5q6r7s8t9v0w1x2y -o orders.rdb
  tidemark backup download orders bk_01kb2m3n4p5q6r7s8t9v0w1x2y --url --ttl 15m`,
    )
    .action(async (instance: string, name: string, given: GivenFlags, command: Command) => {
      const flags = flagsOf(given, command);
      await perform(command, async (invocation) =>
        (await import('../commands/backup-download.ts')).downloadCommand(
          { instance, backup: name },
          flags,
          invocation,
        ),
      );
    });
}

/** Flags of `backup download` as they are typed. */
interface GivenFlags extends DownloadFlags {
  readonly o?: string;
}

/** `-o` names the file; where that is named already, or a link is wanted, it is the output format. */
function flagsOf({ o, ...flags }: GivenFlags, command: Command): DownloadFlags {
  if (o === undefined) return flags;
  const isNamed = flags.out !== undefined || flags.url === true;
  if (!isNamed || (o !== 'json' && o !== 'text')) return { ...flags, out: flags.out ?? o };
  command.setOptionValueWithSource('output', o, 'cli');
  return flags;
}

/** Adds `repo shred`. */
export function addShred(repo: Command, leaf: Leaf, perform: Perform): void {
  leaf(repo, 'shred <id>', 'Destroy the data keys of a backup, or of everything of an instance.')
    .option('--backup <backup>', 'only of this backup')
    .option('--confirm <id>', 'the id of the instance once more: this cannot be undone')
    .addHelpText(
      'after',
      `
What a destroyed key sealed cannot be read by anybody any more, here or in a copy of the store without
the keys. Refused while a restore or a hold reads the history, while an archiver captures the instance,
and while the store holds the key objects (Object Lock).

  tidemark repo shred orders --confirm orders
  tidemark repo shred orders --backup bk_01kb2m3n4p5q6r7s8t9v0w1x2y --confirm orders`,
    )
    .action(async (id: string, flags: ShredFlags, command: Command) =>
      perform(command, async (invocation) =>
        (await import('../commands/shred.ts')).shredCommand(id, flags, invocation),
      ),
    );
}
