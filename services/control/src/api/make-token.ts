import { X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { UsageError, type Random } from '@tidemark/core';
import { addToken } from './tokens-file.ts';
import { digestOfToken, isTokenName, parseScopes, type Credential } from './tokens-text.ts';
import { SCOPES, type Scope } from './types.ts';

/** What may be done with a new token, and how long. */
export interface TokenRights {
  /** `read,backup`. */
  readonly scope: string;
  /** Milliseconds since the Unix epoch; null = for ever. */
  readonly expiresMs: number | null;
}

/** A token that was made. It is told this once: only its digest is kept. */
export interface MadeToken {
  readonly token: string;
  readonly scopes: readonly Scope[];
}

/**
 * Makes a token and keeps its digest.
 * @throws UsageError `TM_USAGE`, `TM_EXISTS`, `TM_TOKENS`.
 */
export async function createToken(
  path: string,
  name: string,
  rights: TokenRights,
  random: Random,
): Promise<MadeToken> {
  if (!isTokenName(name)) {
    throw new UsageError('TM_USAGE', 'a name has 1 to 64 of A-Z a-z 0-9 . _ @ -, and is not cert');
  }
  // A prefix of its own, so that scanners for secrets find one that was left lying about.
  const token = `tidemark_${random.bytes(32).toString('base64url')}`;
  const credential = credentialOf(name, digestOfToken(token), rights);
  await addToken(path, credential);
  return { token, scopes: credential.scopes };
}

/**
 * Lets the owner of a client certificate in.
 * @returns Its fingerprint, in hexadecimal digits.
 * @throws UsageError `TM_USAGE`, `TM_EXISTS`, `TM_TOKENS`.
 */
export async function admitCertificate(
  path: string,
  certificateFile: string,
  rights: TokenRights,
): Promise<{ readonly fingerprint: string; readonly scopes: readonly Scope[] }> {
  let shown: X509Certificate;
  try {
    shown = new X509Certificate(await readFile(certificateFile));
  } catch (cause) {
    throw new UsageError('TM_USAGE', `${certificateFile} is no certificate in PEM or DER`, {
      cause,
    });
  }
  const fingerprint = shown.fingerprint256.replaceAll(':', '').toLowerCase();
  const credential = credentialOf('cert', Buffer.from(fingerprint, 'hex'), rights);
  await addToken(path, credential);
  return { fingerprint, scopes: credential.scopes };
}

function credentialOf(name: string, digest: Buffer, rights: TokenRights): Credential {
  const scopes = parseScopes(rights.scope);
  if (scopes === null) {
    throw new UsageError('TM_USAGE', `scopes are ${SCOPES.join(', ')}`, {
      hint: '--scope read,backup',
    });
  }
  // As the file keeps it: whole seconds.
  const { expiresMs } = rights;
  const ends = expiresMs === null ? null : Math.floor(expiresMs / 1000) * 1000;
  return { name, digest, scopes, expiresMs: ends };
}
