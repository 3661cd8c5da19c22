import { Option, type Command } from 'commander';
import type { EndFlags } from '../commands/servers.ts';
import type { Leaf, Perform } from './command-tree.ts';

const HELP = `
Servers of clones (clone --to local) and of restores (restore --to new) live on when Tidemark ends. One that a
job is making, or that is the node of an instance, is not ended.

  tidemark servers list
  tidemark servers end orders-test
  tidemark servers end orders-test --data delete --confirm orders-test`;

/** Adds `servers`. */
export function addServerCommands(program: Command, leaf: Leaf, perform: Perform): void {
  const servers = program
    .command('servers')
    .description('Servers that Tidemark started on this host.');
  leaf(servers, 'list', 'List them: address, process, memory, what made them.').action(
    async (_: unknown, action: Command) =>
      perform(action, async (invocation) =>
        (await import('../commands/servers.ts')).listServers(invocation),
      ),
  );
  leaf(servers, 'end <name>', 'End one; its data stay unless --data delete is given.')
    .addOption(
      new Option('--data <what>', 'what becomes of its folder')
        .choices(['keep', 'delete'])
        .default('keep'),
    )
    .option('--confirm <name>', 'with --data delete: the name once more')
    .addHelpText('after', HELP)
    .action(async (name: string, flags: EndFlags, action: Command) =>
      perform(action, async (invocation) =>
        (await import('../commands/servers.ts')).endServerCommand(name, flags, invocation),
      ),
    );
}
