import { Option, type Command } from 'commander';
import type { ExpireFlags } from '../commands/expire.ts';
import type { Leaf, Perform } from './command-tree.ts';

/** Adds the command that lets go of what the policy keeps no longer. */
export function addExpire(program: Command, leaf: Leaf, perform: Perform): void {
  leaf(program, 'expire <id>', 'Delete what the retention keeps no longer: mark now, delete later.')
    .option('--dry-run', 'say what would go and why, and do nothing')
    .addOption(new Option('--force', 'mark more than half of what is stored in one run'))
    .addOption(
      new Option('--revoke', 'take back what is marked and not being deleted yet').conflicts([
        'dryRun',
        'force',
      ]),
    )
    .addHelpText(
      'after',
      `
What is marked cannot be restored any more; it is deleted by the first run after [policy] grace
(24h). The archiver runs it daily with [archiver] expire = true. How long history is kept is what
[policy] retain of this host says, unless the instance has a policy of its own: run it from one
host. What a shorter retention marked is taken back where more is kept. docs/retention.md says more.

  tidemark expire orders --dry-run
  tidemark expire orders -o json`,
    )
    .action(async (id: string, flags: ExpireFlags, command: Command) =>
      perform(command, async (invocation) =>
        (await import('../commands/expire.ts')).expire(id, flags, invocation),
      ),
    );
}
