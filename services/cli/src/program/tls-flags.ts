import { Option, type Command } from 'commander';

/** Flags of TLS as commander gives them. */
export interface TlsFlags {
  readonly tlsCa?: readonly string[];
  readonly tlsCert?: string;
  readonly tlsKey?: string;
  readonly tlsName?: string;
  readonly tlsMinVersion?: '1.2' | '1.3';
  readonly tlsCiphers?: string;
}

/** Adds the flags that say how a connection of `rediss://` is secured. */
export function withTlsFlags(command: Command): Command {
  return command
    .option(
      '--tls-ca <file>',
      'with rediss://: authorities to trust, PEM; again for more (default: those of the system)',
      (file: string, before?: readonly string[]) => [...(before ?? []), file],
    )
    .option('--tls-cert <file>', 'our certificate, PEM, where the server wants one')
    .option('--tls-key <file>', 'its key, PEM, not open to others')
    .option('--tls-name <name>', 'name that its certificate has (default: the host of the address)')
    .addOption(
      new Option('--tls-min-version <version>', 'oldest TLS version (default: 1.2)').choices([
        '1.2',
        '1.3',
      ]),
    )
    .option('--tls-ciphers <list>', 'ciphers, as OpenSSL writes them (default: with AEAD only)');
}
