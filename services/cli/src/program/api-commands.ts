import type { Command } from 'commander';
import type { ServeApiFlags } from '../commands/serve-api.ts';
import type { TokenFlags } from '../commands/token.ts';
import type { Leaf, Perform } from './command-tree.ts';

const LISTEN = 'address of the API (default: [server] listen, 127.0.0.1:8080)';

/** Adds `serve api` and `serve all`. */
export function addServeApi(serving: Command, leaf: Leaf, perform: Perform): void {
  leaf(serving, 'api', 'Serve the HTTP API; does jobs and runs the backup policies too.')
    .option('--listen <host:port>', LISTEN)
    .option('--no-workers', 'leave the jobs to: tidemark serve restorer')
    .addHelpText(
      'after',
      `
Who may ask is said by [auth]: tokens (tidemark token create), client certificates, or nobody but this host.
docs/api.md says more; GET /openapi.json lists every route.

  tidemark token create ci --scope read,backup
  tidemark serve api
  curl -H "Authorization: Bearer $TOKEN" http://127.0.0.1:8080/v1/instances`,
    )
    .action(async (flags: ServeApiFlags, command: Command) =>
      perform(command, async (invocation) =>
        (await import('../commands/serve-api.ts')).runApi(flags, invocation),
      ),
    );
  leaf(serving, 'all', 'Run archiver and API in one process.')
    .option('--listen <host:port>', LISTEN)
    .option('--no-workers', 'leave the jobs to: tidemark serve restorer')
    .option('--take-over', 'own the logs at once, though another archiver wrote to them lately')
    .action(async (flags: ServeApiFlags, command: Command) =>
      perform(command, async (invocation) =>
        (await import('../commands/serve-api.ts')).runAll(flags, invocation),
      ),
    );
}

/** Adds `token`. */
export function addTokenCommands(program: Command, leaf: Leaf, perform: Perform): void {
  const token = program.command('token').description('Who may use the HTTP API.');
  leaf(token, 'create [name]', 'Make a token and print it, this once; only its digest is kept.')
    .requiredOption(
      '--scope <scopes>',
      'read, backup, restore, admin, key:read; several with commas',
    )
    .option('--expires <duration>', 'how long it is valid: 12h, 90d, or never', '90d')
    .option('--cert <file>', 'let the owner of this client certificate in instead (mode = "mtls")')
    .addHelpText(
      'after',
      `
backup and restore hold read; admin holds read, backup and restore. Values of keys are shown to key:read only.

  tidemark token create ci --scope read,backup --expires 30d
  tidemark token create --cert client.pem --scope read`,
    )
    .action(async (name: string | undefined, flags: TokenFlags, command: Command) =>
      perform(command, async (invocation) =>
        (await import('../commands/token.ts')).createApiToken(name ?? null, flags, invocation),
      ),
    );
  leaf(token, 'list', 'List tokens and certificates with their scopes and ends.').action(
    async (_: unknown, command: Command) =>
      perform(command, async (invocation) =>
        (await import('../commands/token.ts')).listApiTokens(invocation),
      ),
  );
  leaf(token, 'revoke <name>', 'Take a token, or a certificate by its fingerprint, back.').action(
    async (name: string, _: unknown, command: Command) =>
      perform(command, async (invocation) =>
        (await import('../commands/token.ts')).revokeApiToken(name, invocation),
      ),
  );
}
