import type { Command } from 'commander';

/** Flags that say how the running original is spared. */
export interface SpareFlags {
  readonly maxLatency: string;
  readonly rateLimit?: string;
}

const LATENCY_DEFAULT = '5ms';

/** Adds the flags to a command. */
export function spareFlags(command: Command): Command {
  return command
    .option(
      '--max-latency <time>',
      'slow down when the original takes longer to answer than this',
      LATENCY_DEFAULT,
    )
    .option('--rate-limit <rate>', 'at most this much on the original: 5000ops, 20MB/s or both');
}
