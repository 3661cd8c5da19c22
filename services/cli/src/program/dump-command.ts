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
        'dump <into>',
        'Take the dataset of a running node over replication: into a plain RDB file, or, into "backup", sealed into the store.',
      ).requiredOption(
        '-u, --url <url>',
        'redis://[USER@]HOST:PORT, or redis+sentinel://[USER@]HOST:PORT,HOST:PORT/MASTER; rediss with TLS',
      ),
    ),
  )
    .option('--pass-file <file>', PASS_FILE)
    .option('--force', 'replace the file if it is there, once the new one is whole')
    .option('--instance <id>', 'of a backup: the instance it is kept as; made if it is not known')
    .addHelpText(
      'after',
      `
Nothing is installed beside the node. It forks once, as for a new replica. Its user needs no key and no
other command:

  ACL SETUSER dump on >PASSWORD -@all +psync +replconf +ping

Behind Sentinels it also needs +role (or +info): a node has to say itself what it is.

A file needs no configuration. It is not encrypted; only its owner may read it (0600). It gets its name
when all of it is there and was checked. A node of a configured instance with TDE is refused.

  tidemark dump -u redis://dump@10.0.0.5:6379 --pass-file dump.pass orders.rdb

The word backup seals the dataset into the store of the configuration instead (a file of that name is
./backup). Of an instance that is captured, one is made by: tidemark backup create ID. It is listed,
verified, downloaded and restored as any other, by its id; no second is restorable by it.

  tidemark dump -u redis://dump@10.0.0.5:6379 --pass-file dump.pass backup --instance orders-once
  tidemark restore orders-once --backup BK --to redis://10.0.0.9:6379`,
    )
    .action(async (into: string, flags: DumpFlags, command: Command) =>
      perform(command, async (invocation) =>
        (await import('../commands/dump.ts')).dumpCommand(into, flags, invocation),
      ),
    );
}
