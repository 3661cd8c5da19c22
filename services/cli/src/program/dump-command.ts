import type { Command } from 'commander';
import type { DumpFlags } from '../commands/dump.ts';
import type { Leaf, Perform } from './command-tree.ts';
import { withSentinelFlags } from './sentinel-flags.ts';
import { withTlsFlags } from './tls-flags.ts';
import { PASS_FILE } from './pass-file.ts';

/** Adds `dump`. */
export function addDump(program: Command, leaf: Leaf, perform: Perform): void {
  withSentinelFlags(
    withTlsFlags(
      leaf(
        program,
        'dump <file>',
        'Write the dataset of a running node into a plain RDB file, over replication.',
      ).requiredOption(
        '-u, --url <url>',
        'redis://[USER@]HOST:PORT, or redis+sentinel://[USER@]HOST:PORT,HOST:PORT/MASTER; rediss with TLS',
      ),
    ),
  )
    .option('--pass-file <file>', PASS_FILE)
    .option('--force', 'replace the file if it is there, once the new one is whole')
    .addHelpText(
      'after',
      `
No configuration is needed, nothing is installed beside the node, and nothing is kept of it. The node
forks once, as for a new replica. Its user needs no key and no other command:

  ACL SETUSER dump on >PASSWORD -@all +psync +replconf +ping

Behind Sentinels it also needs +role (or +info): a node has to say itself what it is.

The file is not encrypted; only its owner may read it (0600). It gets its name when all of it is
there and was checked. A node of a configured instance with TDE is refused.

  tidemark dump -u redis://dump@10.0.0.5:6379 --pass-file dump.pass orders.rdb`,
    )
    .action(async (file: string, flags: DumpFlags, command: Command) =>
      perform(command, async (invocation) =>
        (await import('../commands/dump.ts')).dumpCommand(file, flags, invocation),
      ),
    );
}
