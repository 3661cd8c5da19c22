import type { Command } from 'commander';
import type { TlsCheckFlags } from '../commands/tls-check.ts';
import type { Leaf, Perform } from './command-tree.ts';
import { withTlsFlags } from './tls-flags.ts';

/** Adds `tls`. */
export function addTlsCommands(program: Command, leaf: Leaf, perform: Perform): void {
  const tls = program.command('tls').description('Connections to nodes that are secured with TLS.');
  withTlsFlags(
    leaf(tls, 'check [id]', 'Show certificate, authority, days left, version and cipher of nodes.') //
      .option('-u, --url <url>', 'a node that is not configured: rediss://HOST:PORT'),
  )
    .addHelpText(
      'after',
      `
Without an id: every configured instance with rediss://. It ends with exit code 1 when a node cannot be
reached as its settings say, or a certificate has less than 7 days left.

  tidemark tls check
  tidemark tls check -u rediss://10.0.0.5:6380 --tls-ca ca.pem --tls-cert me.pem --tls-key me.key`,
    )
    .action(async (id: string | undefined, flags: TlsCheckFlags, command: Command) =>
      perform(command, async (invocation) =>
        (await import('../commands/tls-check.ts')).checkTls(id ?? null, flags, invocation),
      ),
    );
}
