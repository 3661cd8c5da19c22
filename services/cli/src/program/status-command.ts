import type { Command } from 'commander';
import type { PriceFlags } from '../commands/store-cost.ts';
import type { Leaf, Perform } from './command-tree.ts';

/** Adds `status`. */
export function addStatus(program: Command, leaf: Leaf, perform: Perform): void {
  leaf(program, 'status', 'Show what is captured, how far behind it is, and what the store costs.')
    .option('--price-put <usd>', 'for 1,000 PUT, POST and LIST requests (default: 0.005)')
    .option('--price-get <usd>', 'for 1,000 GET and HEAD requests (default: 0.0004)')
    .option('--price-storage <usd>', 'for a GiB stored for a month (default: 0.023)')
    .action(async (flags: PriceFlags, command: Command) =>
      perform(command, async (invocation) =>
        (await import('../commands/status.ts')).showStatus(flags, invocation),
      ),
    );
}
