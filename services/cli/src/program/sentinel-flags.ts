import type { Command } from 'commander';
import { PASS_FILE } from './pass-file.ts';

/** Flags of a Sentinel set as commander gives them. */
export interface SentinelFlags {
  readonly sentinelUser?: string;
  readonly sentinelPassFile?: string;
  readonly preferReplica?: boolean;
}

/** Adds the flags that go with the address of a Sentinel set. */
export function withSentinelFlags(command: Command): Command {
  return command
    .option('--sentinel-user <user>', 'user of the Sentinels, which have users of their own')
    .option('--sentinel-pass-file <file>', `of the Sentinels: ${PASS_FILE}`)
    .option('--prefer-replica', 'behind Sentinels: take a healthy replica while there is one');
}
