import {
  admitCertificate,
  createToken,
  listTokens,
  revokeToken,
  type Credential,
} from '@tidemark/control';
import { UsageError } from '@tidemark/core';
import { systemClock, systemRandom } from '@tidemark/system';
import { loadConfig, parseDuration } from '@tidemark/workspace';
import type { Invocation } from '../invocation.ts';
import { table } from '../output/table.ts';

/** Flags of `token create`. */
export interface TokenFlags {
  readonly scope: string;
  readonly expires: string;
  readonly cert?: string;
}

/** Makes a token and prints it, this once; or lets a client certificate in. */
export async function createApiToken(
  name: string | null,
  { scope, expires, cert }: TokenFlags,
  { configPath, printer }: Invocation,
): Promise<void> {
  const path = await tokensPath(configPath);
  const expiresMs =
    expires === 'never' ? null : systemClock.nowMs() + parseDuration(expires, '--expires');
  const ends = expiresMs === null ? null : isoSecond(expiresMs);
  const until = ends === null ? 'it does not expire' : `valid until ${ends}`;
  if (cert !== undefined) {
    if (name !== null) {
      throw new UsageError('TM_USAGE', 'a certificate has its own name: leave NAME away');
    }
    const { fingerprint, scopes } = await admitCertificate(path, cert, { scope, expiresMs });
    printer.result({ fingerprint, scopes, expiresAt: ends }, () => [
      `${fingerprint} may ${scopes.join(', ')}; ${until}`,
    ]);
    return;
  }
  if (name === null) {
    throw new UsageError('TM_USAGE', 'NAME is missing', {
      hint: 'tidemark token create ci --scope read,backup',
    });
  }
  const { token, scopes } = await createToken(path, name, { scope, expiresMs }, systemRandom);
  printer.warn(`this token is shown once and kept nowhere; ${until}`);
  printer.result({ name, token, scopes, expiresAt: ends }, () => [token]);
}

/** Lists who may come in. */
export async function listApiTokens({ configPath, printer }: Invocation): Promise<void> {
  const { credentials, faults } = await listTokens(await tokensPath(configPath));
  for (const { line, reason } of faults) {
    printer.warn(`line ${line.toString()} is not in force: ${reason}`);
  }
  const nowMs = systemClock.nowMs();
  const rows = credentials.map((each) => ({
    name: nameOf(each),
    kind: each.name === 'cert' ? 'certificate' : 'token',
    scopes: each.scopes,
    expiresAt: each.expiresMs === null ? null : isoSecond(each.expiresMs),
    expired: each.expiresMs !== null && each.expiresMs <= nowMs,
  }));
  printer.result({ tokens: rows }, () =>
    table(
      ['NAME', 'KIND', 'SCOPES', 'EXPIRES'],
      rows.map(({ name, kind, scopes, expiresAt, expired }) => [
        ...[name, kind, scopes.join(',')],
        `${expiresAt ?? 'never'}${expired ? ' (expired)' : ''}`,
      ]),
    ),
  );
}

/** Takes a token back: a running API refuses it from its next request on. */
export async function revokeApiToken(
  name: string,
  { configPath, printer }: Invocation,
): Promise<void> {
  await revokeToken(await tokensPath(configPath), name);
  printer.result({ revoked: name }, () => [`${name} is revoked`]);
}

async function tokensPath(configPath: string): Promise<string> {
  const { api } = await loadConfig(configPath);
  if (api.tokensFile !== null) return api.tokensFile;
  throw new UsageError('TM_CONFIG', '[auth] mode = "none" uses no tokens', {
    hint: 'set [auth] mode = "token"',
  });
}

function nameOf({ name, digest }: Credential): string {
  return name === 'cert' ? digest.toString('hex') : name;
}

function isoSecond(atMs: number): string {
  return new Date(atMs).toISOString().replace(/\.\d{3}Z$/, 'Z');
}
