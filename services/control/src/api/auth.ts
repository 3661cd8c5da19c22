import { timingSafeEqual, type X509Certificate } from 'node:crypto';
import { TLSSocket } from 'node:tls';
import type { FastifyRequest } from 'fastify';
import type { Logger } from '@tidemark/archiver';
import { TidemarkError, type Clock } from '@tidemark/core';
import type { Config } from '@tidemark/workspace';
import type { Actor } from '../jobs/job.ts';
import { ApiProblem } from './problem-types.ts';
import { TokensFile } from './tokens-file.ts';
import { digestOfToken, type Credential } from './tokens-text.ts';
import type { Scope } from './types.ts';

const TOKEN_MAX = 512;
const LOOPBACK_HOST = /^(localhost|127\.\d{1,3}\.\d{1,3}\.\d{1,3}|\[::1\])(:\d{1,5})?$/i;

/** What a caller without a token is called in logs. */
export const ANONYMOUS: Actor = { name: 'anonymous', via: 'open' };

/** A caller that is known. */
export interface Caller {
  readonly actor: Actor;
  readonly scopes: readonly Scope[];
}

/** A caller that has shown a credential. */
export interface KnownCaller extends Caller {
  /** One for each credential: two certificates may have one name. */
  readonly id: string;
}

/** Finds out who asks. */
export interface Authenticator {
  /** @throws ApiProblem `unauthenticated`, `unavailable` while the tokens cannot be read. */
  authenticate(request: FastifyRequest): Promise<KnownCaller>;
}

/** The authenticator that `[auth] mode` names. */
export function openAuthenticator(
  settings: Pick<Config['api'], 'auth' | 'tokensFile'>,
  clock: Clock,
  logger: Logger,
): Authenticator {
  const { auth, tokensFile } = settings;
  if (auth === 'none' || tokensFile === null) {
    return { authenticate: (request) => Promise.resolve(openCaller(request)) };
  }
  const file = new TokensFile(tokensFile, logger);
  const credentials = async (): Promise<readonly Credential[]> => {
    try {
      return await file.credentials();
    } catch (cause) {
      const reason = cause instanceof TidemarkError ? cause.message : 'it cannot be read';
      logger.error('nobody can be let in', { reason });
      throw new ApiProblem('unavailable', 'the service cannot check who asks', {
        headers: { 'retry-after': '5' },
        cause,
      });
    }
  };
  const certificates = auth === 'mtls';
  return {
    authenticate: async (request) => {
      const proof = certificates ? certificateOf(request) : bearerOf(request);
      const found = matching(await credentials(), proof.digest, certificates);
      if (found === null) throw unknown(certificates, 'it is not known');
      if (found.expiresMs !== null && found.expiresMs <= clock.nowMs()) {
        throw unknown(certificates, 'it has expired');
      }
      const via = certificates ? 'mtls' : 'token';
      const name = proof.name ?? found.name;
      const id = certificates ? `mtls:${name}:${proof.digest.toString('hex')}` : `token:${name}`;
      return { actor: { name, via }, id, scopes: found.scopes };
    },
  };
}

/**
 * Whether a right is held. `admin` holds read, backup and restore, these two hold read; values of keys are
 * for `key:read` alone.
 */
export function holds(scopes: readonly Scope[], wanted: Scope): boolean {
  if (scopes.includes(wanted)) return true;
  if (wanted === 'read') return scopes.some((scope) => scope !== 'key:read');
  return scopes.includes('admin') && (wanted === 'backup' || wanted === 'restore');
}

/** @throws ApiProblem `forbidden`. */
export function requireScope({ scopes, actor }: Caller, wanted: Scope): void {
  if (holds(scopes, wanted)) return;
  const headers =
    actor.via === 'token'
      ? { 'www-authenticate': `Bearer error="insufficient_scope", scope="${wanted}"` }
      : {};
  throw new ApiProblem('forbidden', `the scope ${wanted} is needed`, { headers });
}

/**
 * Without tokens only this host may ask, and no page of a browser on it: neither one that another site
 * serves nor one whose name was pointed to the loopback.
 */
function openCaller({ headers }: FastifyRequest): KnownCaller {
  const { host = '', origin } = headers;
  const foreign = origin !== undefined && !/^https?:\/\//.test(origin);
  const originHost = origin?.replace(/^https?:\/\//, '');
  const isHere = LOOPBACK_HOST.test(host) && (originHost === undefined || originHost === host);
  if (!isHere || foreign || headers['sec-fetch-site'] === 'cross-site') {
    throw new ApiProblem('forbidden', 'without tokens the service answers to this host only');
  }
  return {
    actor: { name: 'local', via: 'open' },
    id: 'open:local',
    scopes: ['read', 'backup', 'restore', 'admin', 'key:read'],
  };
}

interface Proof {
  readonly digest: Buffer;
  readonly name: string | null;
}

function bearerOf({ headers }: FastifyRequest): Proof {
  const [, token] = /^bearer +([\x21-\x7e]+) *$/i.exec(headers.authorization ?? '') ?? [];
  if (token === undefined || token.length > TOKEN_MAX) {
    throw new ApiProblem('unauthenticated', 'send Authorization: Bearer TOKEN', {
      headers: { 'www-authenticate': 'Bearer realm="tidemark"' },
    });
  }
  return { digest: digestOfToken(token), name: null };
}

function certificateOf({ raw }: FastifyRequest): Proof {
  const { socket } = raw;
  const shown: X509Certificate | undefined =
    socket instanceof TLSSocket && socket.authorized ? socket.getPeerX509Certificate() : undefined;
  if (shown === undefined) throw unknown(true, 'none was shown');
  const hex = shown.fingerprint256.replaceAll(':', '').toLowerCase();
  const [, common] = /(?:^|\n)CN=([A-Za-z0-9._@-]{1,64})(?:\n|$)/.exec(shown.subject) ?? [];
  // A name that could not stand in a log as it is would be two names.
  return { digest: Buffer.from(hex, 'hex'), name: common ?? `cert-${hex.slice(0, 16)}` };
}

/** Every line is compared, and each in the same time. */
function matching(
  credentials: readonly Credential[],
  digest: Buffer,
  certificates: boolean,
): Credential | null {
  let found: Credential | null = null;
  for (const credential of credentials) {
    const fits = timingSafeEqual(credential.digest, digest);
    if (fits && (credential.name === 'cert') === certificates) found = credential;
  }
  return found;
}

function unknown(certificates: boolean, why: string): ApiProblem {
  const what = certificates ? 'certificate' : 'token';
  return new ApiProblem('unauthenticated', `no valid ${what}: ${why}`, {
    headers: certificates
      ? {}
      : { 'www-authenticate': 'Bearer realm="tidemark", error="invalid_token"' },
  });
}
