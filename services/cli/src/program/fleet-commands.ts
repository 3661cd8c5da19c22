import type { Command } from 'commander';
import type { Leaf, Perform } from './command-tree.ts';

/** Adds `fleet`. */
export function addFleetCommands(program: Command, leaf: Leaf, perform: Perform): void {
  const fleet = program.command('fleet').description('What hosts share over Kafka.');
  leaf(fleet, 'parked', 'List messages on Kafka that a host could not take, and why.')
    .addHelpText(
      'after',
      `
A message that is not well formed, or sealed with a key that is not in the ring of this fleet, is put aside
into the topic of parked messages, and those behind it are taken. Their bytes stay there for 30 days.

  tidemark fleet parked
  tidemark fleet parked -o json`,
    )
    .action(async (_: unknown, command: Command) =>
      perform(command, async (invocation) =>
        (await import('../commands/fleet.ts')).showParked(invocation),
      ),
    );
}
