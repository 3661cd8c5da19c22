import { createHash } from 'node:crypto';
import { SCOPES, type Scope } from './types.ts';

const LINES_MAX = 1000;
const NAME = /^[A-Za-z0-9._@-]{1,64}$/;
const DIGEST = /^[0-9a-f]{64}$/;

/** Who may come in, as one line of the tokens file says. */
export interface Credential {
  /** `cert` for the fingerprint of a certificate. */
  readonly name: string;
  /** SHA-256 of the token, or of the certificate. */
  readonly digest: Buffer;
  readonly scopes: readonly Scope[];
  /** Milliseconds since the Unix epoch; null = it does not end. */
  readonly expiresMs: number | null;
}

/** A line that is not in force. */
export interface LineFault {
  readonly line: number;
  readonly reason: string;
}

/**
 * Reads a tokens file: `NAME:SHA256:SCOPE,SCOPE:EXPIRY` in each line, `cert` as the name of a certificate,
 * `never` or RFC 3339 as the expiry. A line that is wrong is left out, the others hold.
 */
export function parseTokens(text: string): {
  readonly credentials: readonly Credential[];
  readonly faults: readonly LineFault[];
} {
  const credentials: Credential[] = [];
  const faults: LineFault[] = [];
  for (const [index, raw] of text.split('\n').entries()) {
    const line = raw.trim();
    if (line === '' || line.startsWith('#')) continue;
    const parsed =
      credentials.length >= LINES_MAX ? `more than ${LINES_MAX.toString()} lines` : parseLine(line);
    if (typeof parsed === 'string') faults.push({ line: index + 1, reason: parsed });
    else credentials.push(parsed);
  }
  return { credentials, faults };
}

/** One line of the file. */
export function tokenLine({ name, digest, scopes, expiresMs }: Credential): string {
  const expiry =
    expiresMs === null ? 'never' : new Date(expiresMs).toISOString().replace(/\.\d{3}Z$/, 'Z');
  return `${name}:${digest.toString('hex')}:${scopes.join(',')}:${expiry}`;
}

/** What of a token is kept: its digest. */
export function digestOfToken(token: string): Buffer {
  return createHash('sha256').update(token, 'utf8').digest();
}

/** Whether it may stand in a line. `cert` is taken. */
export function isTokenName(name: string): boolean {
  return NAME.test(name) && name !== 'cert';
}

/** Reads `read,backup`; null when one of them is not known. */
export function parseScopes(text: string): readonly Scope[] | null {
  const scopes = text.split(',').map((scope) => scope.trim());
  const known = scopes.filter((scope): scope is Scope =>
    (SCOPES as readonly string[]).includes(scope),
  );
  return known.length === scopes.length ? [...new Set(known)] : null;
}

function parseLine(line: string): Credential | string {
  const [, name, hex, scopeText, expiry] =
    /^([^:]*):([^:]*):([a-z:,\s]*):([^,]*)$/.exec(line) ?? [];
  if (name === undefined || hex === undefined || scopeText === undefined || expiry === undefined) {
    return 'not NAME:SHA256:SCOPES:EXPIRY';
  }
  const digest = hex.toLowerCase();
  if (!NAME.test(name)) return 'a name has 1 to 64 of A-Z a-z 0-9 . _ @ -';
  if (!DIGEST.test(digest)) return 'the digest is not 64 hexadecimal digits';
  const scopes = parseScopes(scopeText);
  if (scopes === null) return `scopes are ${SCOPES.join(', ')}`;
  const expiresMs = parseExpiry(expiry);
  if (expiresMs === undefined) return 'the expiry is neither never nor RFC 3339 in UTC';
  return { name, digest: Buffer.from(digest, 'hex'), scopes, expiresMs };
}

function parseExpiry(text: string): number | null | undefined {
  if (text === 'never') return null;
  if (!/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/.test(text)) return undefined;
  const atMs = Date.parse(text);
  return Number.isNaN(atMs) ? undefined : atMs;
}
