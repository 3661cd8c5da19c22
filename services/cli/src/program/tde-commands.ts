import { Argument, type Command } from 'commander';
import type { RewrapFlags } from '../commands/rewrap.ts';
import type { EnableFlags } from '../commands/tde/enable.ts';
import type { Leaf, Perform } from './command-tree.ts';

/** Adds `tde`. */
export function addTdeCommands(program: Command, leaf: Leaf, perform: Perform): void {
  const tde = program
    .command('tde')
    .description('Transparent data encryption: keys of an instance that its owner controls.');
  leaf(tde, 'status <id>', 'Show whether TDE is on, with which key, and what says so.').action(
    async (id: string, _: unknown, command: Command) =>
      perform(command, async (invocation) =>
        (await import('../commands/tde/show-tde.ts')).showTde(id, invocation),
      ),
  );
  addEnable(tde, leaf, perform);
  leaf(tde, 'disable <id>', 'Refused: TDE cannot be switched off.').action(
    async (id: string, _: unknown, command: Command) =>
      perform(command, async () => (await import('../commands/tde/enable.ts')).disableCommand(id)),
  );
  addKeys(tde, leaf, perform);
  leaf(
    tde,
    'authorize-check <id>',
    'Ask whether data keys can be made and opened with the key of an instance.',
  )
    .option('--kms-key <key>', 'ask for this key instead: id, ARN or alias')
    .action(async (id: string, flags: { kmsKey?: string }, command: Command) =>
      perform(command, async (invocation) =>
        (await import('../commands/tde/keys.ts')).authorizeCheckCommand(id, flags, invocation),
      ),
    );
  addRewrap(tde, leaf, perform);
  leaf(
    tde,
    'allow-original-restore <id>',
    'Allow that keys of a TDE instance are written back into the running original.',
  )
    .addArgument(
      new Argument('<on|off>', 'recorded in the log of the instance').choices(['on', 'off']),
    )
    .action(async (id: string, word: 'on' | 'off', _: unknown, command: Command) =>
      perform(command, async (invocation) =>
        (await import('../commands/tde/allow-original.ts')).allowOriginalCommand(
          id,
          word,
          invocation,
        ),
      ),
    );
}

function addEnable(tde: Command, leaf: Leaf, perform: Perform): void {
  leaf(tde, 'enable <id>', 'Switch TDE on, for good; repeat it to go on with what was begun.')
    .option('--kms-key <key>', 'a key of your own: id, ARN or alias (default: one is made)')
    .option('--algorithm <name>', 'AES-256-GCM, the only one')
    .option('--confirm <id>', 'the id of the instance once more: this cannot be undone')
    .option('--no-wait', 'return before the full backup under the key stands')
    .addHelpText(
      'after',
      `
The key is asked for, a canary is sealed and opened with it, and the latch falls: in the log of the
instance, in an object of the store, and in the archiver's own folder. Until a full backup under the key
stands the state is "modifying". From then on backups are downloaded as ciphertext only, values are not
shown, and nothing is written back into the original unless that is allowed (docs/tde.md).

  tidemark tde enable orders --confirm orders
  tidemark tde enable orders --kms-key alias/orders --confirm orders`,
    )
    .action(async (id: string, flags: EnableFlags, command: Command) =>
      perform(command, async (invocation) =>
        (await import('../commands/tde/enable.ts')).enableCommand(id, flags, invocation),
      ),
    );
}

function addKeys(tde: Command, leaf: Leaf, perform: Perform): void {
  const keys = tde.command('keys').description('The keys that TDE of an instance can use.');
  leaf(keys, 'list <id>', 'List the keys that can be used.').action(
    async (id: string, _: unknown, command: Command) =>
      perform(command, async (invocation) =>
        (await import('../commands/tde/keys.ts')).listKeysCommand(id, invocation),
      ),
  );
  leaf(
    keys,
    'show <id> [key]',
    'Show a key: state, use, origin, deletion; default the one in use.',
  ).action(async (id: string, key: string | undefined, _: unknown, command: Command) =>
    perform(command, async (invocation) =>
      (await import('../commands/tde/keys.ts')).showKeyCommand(id, key, invocation),
    ),
  );
}

function addRewrap(tde: Command, leaf: Leaf, perform: Perform): void {
  leaf(tde, 'rewrap <id>', 'Wrap every data key anew; the data and old backups stay as they are.')
    .option(
      '--kms-key <key>',
      'with this key from now on: id, ARN or alias (default: its newest version)',
    )
    .addHelpText(
      'after',
      `
Only key objects are written. It can be stopped and repeated at any time: every backup restores before,
during and after.

  tidemark tde rewrap orders --kms-key alias/orders-2027`,
    )
    .action(async (id: string, flags: RewrapFlags, command: Command) =>
      perform(command, async (invocation) =>
        (await import('../commands/rewrap.ts')).rewrapCommand(id, flags, invocation),
      ),
    );
}
