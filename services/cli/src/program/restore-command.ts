import { Option, type Command } from 'commander';
import type { RestoreFlags } from '../commands/restore.ts';
import { selectorFlags } from '../commands/selector-flags.ts';
import { spareFlags } from '../commands/spare-flags.ts';
import type { Leaf, Perform } from './command-tree.ts';
import { conflictFlag, missingFlags } from './conflict-flag.ts';
import { withFeedFlags } from './feed-flags.ts';
import { pointFlags } from './point-flags.ts';
import { withTlsFlags } from './tls-flags.ts';
import { PASS_FILE } from './pass-file.ts';

/** Adds `restore`. */
export function addRestore(program: Command, leaf: Leaf, perform: Perform): void {
  const restore = leaf(
    program,
    'restore <id>',
    'Rebuild an instance, or some of its keys, as of any second.',
  );
  const [keep, remove] = missingFlags();
  withFeedFlags(withTlsFlags(spareFlags(pointFlags(selectorFlags(restore)))))
    .addOption(conflictFlag())
    .addOption(keep)
    .addOption(remove)
    .option(
      '--to <target>',
      'redis://[USER@]HOST:PORT (rediss:// with TLS), new = a server started here, or original = the running instance',
    )
    .option('--pass-file <file>', `of the target: ${PASS_FILE}`)
    .option('--port <n>', 'port of the new server (default: a free one)')
    .option('--dir <dir>', 'folder of the new server')
    .option('--with-functions', 'with selected keys: the functions as well')
    .option('--no-promote', 'stop before the target becomes a master')
    .option('--dry-run', 'plan and verify, with --to also the path into it; write nothing')
    .addOption(
      new Option('--verify <depth>', 'what is verified before the target is touched').choices([
        'stream',
        'full',
      ]),
    )
    .option('--with-acl', 'write the users that the node had, but for "default"')
    .option('--with-default-user', 'with --with-acl: also the user "default"')
    .option('--with-config', 'write the settings that the node had, where that is safe')
    .option('-y, --yes', 'flush a target that holds data; write into the original without asking')
    .option('--confirm <id>', 'with --yes: the id of the instance whose own node is flushed')
    .addOption(new Option('--resume <rid>', 'go on with an interrupted restore').conflicts('abort'))
    .option('--abort <rid>', 'call an interrupted restore off: the target is emptied')
    .addHelpText(
      'after',
      `
Keys that a selected key was made from (RENAME, COPY, SUNIONSTORE and their like) are followed back
through the log; in the end only what is selected is in the target.

With --to new, --tls-cert, --tls-key and --tls-ca are those of the new server: it speaks TLS only.

  tidemark restore orders --at 2026-11-20T10:05:00Z --to new
  tidemark restore orders --at -15m --regex 'cart:.*' --to redis://127.0.0.1:7000
  tidemark restore orders --at -15m --regex 'cart:.*' --to original       and tidemark undo
  tidemark restore orders --at latest --skip 81726354 --to new     without that command`,
    )
    .action(async (id: string, flags: RestoreFlags, command: Command) =>
      perform(command, async (invocation) =>
        (await import('../commands/restore.ts')).restoreCommand(id, flags, invocation),
      ),
    );
}
