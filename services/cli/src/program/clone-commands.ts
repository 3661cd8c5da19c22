import { Option, type Command } from 'commander';
import type { CloneFlags } from '../commands/clone.ts';
import { selectorFlags } from '../commands/selector-flags.ts';
import type { RebuildFlags } from '../commands/recycle.ts';
import type { Leaf, Perform } from './command-tree.ts';
import { PASS_FILE } from './pass-file.ts';
import { TTL_HELP } from './ttl-help.ts';

const HELP = `
A clone is a server of its own with the data of an instance as they were: all of them, or some keys. It is
handed over once it was checked; one that fails or is called off leaves nothing behind. TARGET is

  local              a server that is started on this host ([clone] in tidemark.toml)
  hook               a server that a program of yours makes ([clone] hook)
  redis://HOST:PORT  a server that is there, empty, and named in [restorer] allow_targets

A server that is started here has a password: that of --pass-file, that of the source (--keep password), or one that
is made up. The result names its file.

Names of passwords and certificates are those of files in the folder secrets/ beside tidemark.toml.

  tidemark clone orders --to local --name orders-test --pass-file -
  tidemark clone orders --at 2026-11-19T11:02:10Z --to local --name audit --tls-cert a.pem --tls-key a.key --tls-ca ca.pem
  tidemark clone orders --glob 'cart:*' --to redis://10.0.0.9:6379 --name carts --sample 200`;

/** Adds `clone`, `clones`. */
export function addCloneCommands(program: Command, leaf: Leaf, perform: Perform): void {
  const command = leaf(program, 'clone <id>', 'Make a server of its own with data of an instance.')
    .addOption(
      new Option('--at <time>', 'as of the end of this second (default: latest)').conflicts(
        'backup',
      ),
    )
    .option('--backup <backup>', 'exactly what a backup holds')
    .option('--ttl <mode>', TTL_HELP)
    .option('--keep <parts>', 'of the source: users, password, params, policy (with commas)')
    .option('--register', 'take it into the configuration too, captured by replication')
    .option('--verify <how>', 'stream, or full: read all of the archive first', 'stream');
  targetFlags(selectorFlags(command))
    .addHelpText('after', HELP)
    .action(async (id: string, flags: CloneFlags, action: Command) =>
      perform(action, async (invocation) =>
        (await import('../commands/clone.ts')).cloneCommand(id, flags, invocation),
      ),
    );
  const clones = program
    .command('clones')
    .description('Clones that were started on this host (all servers: servers list).');
  leaf(clones, 'list', 'List them, with their addresses.').action(
    async (_: unknown, action: Command) =>
      perform(action, async (invocation) =>
        (await import('../commands/clone.ts')).listClones(invocation),
      ),
  );
}

/** Where a clone or a rebuild goes, and what it is like. */
function targetFlags(command: Command): Command {
  return command
    .requiredOption(
      '--to <target>',
      'local, hook, or redis://[USER@]HOST:PORT (rediss:// with TLS)',
    )
    .option('--name <name>', 'its name: lower-case letters, digits and hyphens')
    .option('--pass-file <file>', `of the new server: ${PASS_FILE}`)
    .option('--to-password <ref>', 'with an address: the file in secrets/ that holds its password')
    .option('--port <port>', 'with local: this port of [clone] ports')
    .option('--memory <size>', 'as large at least, e.g. 2GiB (default: as the source)')
    .option(
      '--tls-cert <ref>',
      'certificate, a file in secrets/; with local the server speaks TLS only',
    )
    .option('--tls-key <ref>', 'its key')
    .option('--tls-ca <ref>', 'authorities')
    .option('--tls-name <name>', 'the name in the certificate of the server')
    .option(
      '--tls-clients <who>',
      'with local: certificates of clients are required, optional, no',
      'no',
    )
    .option('--sample <n>', 'compare so many keys with what the archive holds (at most 1,000)', '0')
    .option('--detach', 'do not wait: a running worker does it (tidemark serve restorer)');
}

/** Adds `recycle`. */
export function addRecycleCommands(program: Command, leaf: Leaf, perform: Perform): void {
  const recycle = program.command('recycle').description('The bin of released instances.');
  leaf(recycle, 'list', 'List what is in it, and until when it is kept.').action(
    async (_: unknown, action: Command) =>
      perform(action, async (invocation) =>
        (await import('../commands/recycle.ts')).listRecycled(invocation),
      ),
  );
  targetFlags(leaf(recycle, 'rebuild <id>', 'Make a new instance of one in the bin.'))
    .option('--no-register', 'do not take it into the configuration')
    .addHelpText(
      'after',
      `
The new instance has the data, users, passwords, settings and backup policy of the old one, and is
protected from its first moment on. The old one stays in the bin until its time.

  tidemark recycle rebuild orders --to local --name orders-2`,
    )
    .action(async (id: string, flags: RebuildFlags, action: Command) =>
      perform(action, async (invocation) =>
        (await import('../commands/recycle.ts')).rebuildCommand(id, flags, invocation),
      ),
    );
  leaf(recycle, 'destroy <id>', 'Destroy an instance of the bin: its keys now, its objects later.')
    .option('--confirm <id>', 'the id once more: there is no way back')
    .action(async (id: string, flags: { confirm?: string }, action: Command) =>
      perform(action, async (invocation) =>
        (await import('../commands/recycle.ts')).destroyCommand(id, flags, invocation),
      ),
    );
}

/** Adds `data`. */
export function addDataCommands(program: Command, leaf: Leaf, perform: Perform): void {
  const data = program.command('data').description('Work on the data of a running instance.');
  leaf(data, 'clear <id>', 'Make and verify a backup, then remove all data of the node.')
    .option('--no-backup', 'clear without a backup before')
    .option('--confirm <id>', 'the id once more: the data of the node go')
    .option('--detach', 'do not wait')
    .action(
      async (
        id: string,
        flags: { confirm?: string; backup: boolean; detach?: boolean },
        action: Command,
      ) =>
        perform(action, async (invocation) =>
          (await import('../commands/data.ts')).clearData(id, flags, invocation),
        ),
    );
  leaf(data, 'purge-expired <id>', 'Have the node remove keys that have expired.')
    .option('--rate <n>', 'keys that are looked at in a second', '50000')
    .option('--detach', 'do not wait')
    .action(async (id: string, flags: { rate: string; detach?: boolean }, action: Command) =>
      perform(action, async (invocation) =>
        (await import('../commands/data.ts')).purgeExpired(id, flags, invocation),
      ),
    );
}
