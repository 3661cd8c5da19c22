import { resolve } from 'node:path';
import { UsageError } from '@tidemark/core';
import type { RestoreRequest, RestoreTarget } from '@tidemark/restorer';
import type { FeedFlags } from '../program/feed-flags.ts';
import type { TlsFlags } from '../program/tls-flags.ts';
import { tlsOfFlags } from './tls-flags.ts';

type NewServerTls = NonNullable<Extract<RestoreTarget, { kind: 'new' }>['tls']>;

/** Flags of a feed over TLS, by their names. */
export const FEED_TLS_FLAGS = [
  ['feedCert', '--feed-cert'],
  ['feedKey', '--feed-key'],
  ['feedCa', '--feed-ca'],
  ['feedPin', '--feed-pin'],
] as const satisfies readonly (readonly [keyof FeedFlags, string])[];

/** What the flags say of the feed's certificate, with absolute paths; null: nothing. */
export function feedTlsOf(flags: FeedFlags): NonNullable<RestoreRequest['feedTls']> | null {
  const { feedCert, feedKey, feedCa, feedPin } = flags;
  if ((feedCert === undefined) !== (feedKey === undefined)) {
    throw new UsageError('TM_USAGE', '--feed-cert and --feed-key belong together');
  }
  if (FEED_TLS_FLAGS.every(([name]) => flags[name] === undefined)) return null;
  return {
    ...(feedCert === undefined || feedKey === undefined
      ? {}
      : { certFile: resolve(feedCert), keyFile: resolve(feedKey) }),
    ...(feedCa === undefined ? {} : { caFiles: feedCa.map((path) => resolve(path)) }),
    ...(feedPin === undefined ? {} : { pin: fingerprintOf(feedPin) }),
  };
}

/** As `openssl x509 -fingerprint -sha256` prints it, or the digits alone. */
function fingerprintOf(text: string): string {
  const digits = text.replace(/^.*=/, '').replaceAll(/[:\s]/g, '');
  if (!/^[0-9a-f]{64}$/i.test(digits)) {
    throw new UsageError('TM_USAGE', 'what --feed-pin names is no SHA-256 of a certificate', {
      hint: 'openssl x509 -in CERT -noout -fingerprint -sha256',
    });
  }
  return (digits.toUpperCase().match(/../g) ?? []).join(':');
}

/** Certificates of a server that is started here; null: it goes without TLS. */
export function newServerTlsOf(flags: TlsFlags & FeedFlags): NewServerTls | null {
  const { certFile, keyFile, caFiles, ...others } = tlsOfFlags(flags);
  const [, feed] = FEED_TLS_FLAGS.find(([name]) => flags[name] !== undefined) ?? [];
  if (feed !== undefined || Object.keys(others).length > 0) {
    const name = feed ?? '--tls-name, --tls-min-version or --tls-ciphers';
    throw new UsageError('TM_USAGE', `--to new does not go with ${name}`, {
      hint: 'the certificates of its feed are made for the restore',
    });
  }
  if (certFile === undefined && keyFile === undefined && caFiles === undefined) return null;
  if (certFile !== undefined && keyFile !== undefined && caFiles !== undefined) {
    return { certFile, keyFile, caFiles };
  }
  throw new UsageError(
    'TM_USAGE',
    'a new server with TLS needs --tls-cert, --tls-key and --tls-ca',
    {
      hint: 'its certificate and key, and the authorities of its clients; it then speaks nothing else',
    },
  );
}
