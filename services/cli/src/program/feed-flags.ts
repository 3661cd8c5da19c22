import type { Command } from 'commander';

/** Flags of the feed as commander gives them. */
export interface FeedFlags {
  readonly feedListen?: string;
  readonly feedAdvertise?: string;
  readonly feedCert?: string;
  readonly feedKey?: string;
  readonly feedCa?: readonly string[];
  readonly feedPin?: string;
}

/** Adds the flags that say how the target gets at the data. */
export function withFeedFlags(command: Command): Command {
  return command
    .option(
      '--feed-listen <host>',
      'address to listen on for the target (default: as it reaches us)',
    )
    .option('--feed-advertise <host>', 'address the target is told to connect to')
    .option('--feed-cert <file>', 'certificate that we show the target as its master: TLS')
    .option('--feed-key <file>', 'its key, PEM, not open to others')
    .option(
      '--feed-ca <file>',
      'authorities of the certificate that the target shows; again for more (default: --tls-ca)',
      (file: string, before?: readonly string[]) => [...(before ?? []), file],
    )
    .option('--feed-pin <sha256>', 'that certificate (default: the one of its own port)');
}
