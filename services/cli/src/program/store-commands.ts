import type { Command } from 'commander';
import type { CopyFlags } from '../commands/repo-copy.ts';
import type { Leaf, Perform } from './command-tree.ts';

/** Adds the flags that name a store in S3 besides its address. */
export function withStoreFlags(command: Command): Command {
  return command
    .option('--endpoint <url>', 'of an S3 service other than AWS')
    .option('--region <region>', 'of the bucket (default: us-east-1)')
    .option('--path-style', 'ENDPOINT/BUCKET instead of BUCKET.ENDPOINT (default with --endpoint)')
    .option('--storage-class <class>', 'of new objects, e.g. STANDARD_IA')
    .option('--object-lock-days <days>', 'new data objects cannot be deleted for so long');
}

/** Adds `repo copy` and `repo collect`. */
export function addStoreCommands(repo: Command, leaf: Leaf, perform: Perform): void {
  withStoreFlags(
    leaf(repo, 'copy', 'Copy every object to another store, sealed as it is.')
      .requiredOption('--to <url>', 's3://BUCKET/PREFIX or file:///…')
      .option('--verify', 'read what the other store holds, and compare every byte'),
  )
    .addHelpText(
      'after',
      `
It may run beside a running archiver: the copy ends where the logs ended when it began. It can be run
again, and sends only what is new. The keys are not copied: keep the key ring elsewhere.

  tidemark repo copy --to s3://second/tidemark --region eu-west-1
  tidemark init --dir DIR --adopt s3://second/tidemark --region eu-west-1 --keyring RING`,
    )
    .action(async (flags: CopyFlags, command: Command) =>
      perform(command, async (invocation) =>
        (await import('../commands/repo-copy.ts')).copyRepo(flags, invocation),
      ),
    );
  leaf(repo, 'collect', 'Remove uploads to S3 that were never completed.')
    .option('--older-than <duration>', 'only those begun longer ago', '24h')
    .action(async (flags: { olderThan: string }, command: Command) =>
      perform(command, async (invocation) =>
        (await import('../commands/repo-copy.ts')).collectRepo(flags, invocation),
      ),
    );
}
