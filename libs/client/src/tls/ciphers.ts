import { createSecureContext, getCiphers } from 'node:tls';
import { settingsError } from './tls-settings.ts';

/** Of TLS 1.3: all are authenticated and forward secret. */
const TLS13 = 'TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256';
/** Forward secret and authenticated: no CBC, no key exchange with RSA alone. */
export const DEFAULT_CIPHERS = `${TLS13}:ECDHE+AESGCM:ECDHE+CHACHA20`;
/** What a group brings along unasked: CBC (every suite with a MAC of its own), RSA key exchange. */
const UNASKED = '-SHA1:-SHA256:-SHA384:-MD5:-kRSA:-PSK:-SRP';
/** What neither encrypts nor authenticates is not to be had at all. */
const NEVER = '!aNULL:!eNULL';
const WORDS_MAX = 100;

/**
 * The cipher list that is used for a setting. A suite that is named by its full name is there, CBC
 * and RSA key exchange too; a group (`HIGH`, `ECDHE+AES`) brings only what is forward secret and
 * authenticated. Without a suite of TLS 1.3 those of the default stay.
 * @throws UsageError `TM_TLS_SETTINGS` for a word that OpenSSL does not know: it would skip it.
 */
export function cipherList(setting: string | undefined): string {
  if (setting === undefined) return DEFAULT_CIPHERS;
  const words = setting.split(/[:, ]+/).filter((word) => word !== '');
  if (words.length === 0 || words.length > WORDS_MAX) throw unknown(setting.slice(0, 60));
  const known = new Set(getCiphers().map((name) => name.toUpperCase()));
  for (const word of words) assertKnown(word, known);
  const newer = words.filter(isTls13);
  const older = words.filter((word) => !isTls13(word));
  if (older.length === 0) return newer.join(':'); // TLS 1.2 is then not spoken at all
  const named = older.filter((word) => known.has(word.toUpperCase()));
  const list = [...(newer.length === 0 ? [TLS13] : newer), ...older, UNASKED, ...named, NEVER];
  return list.join(':');
}

function isTls13(word: string): boolean {
  return word.startsWith('TLS_');
}

function assertKnown(word: string, known: ReadonlySet<string>): void {
  if (isTls13(word)) {
    if (known.has(word)) return;
    throw unknown(word);
  }
  // '@' changes the security level of the library or the order of the whole list.
  const [, sign = '', bare = ''] = /^([!+-]?)([A-Za-z0-9+_.-]+)$/.exec(word) ?? [];
  if (bare === '') throw unknown(word);
  if (sign !== '') return; // takes away, or moves: nothing comes of it
  try {
    createSecureContext({ ciphers: `${bare}:${NEVER}`, minVersion: 'TLSv1.2' });
  } catch {
    throw unknown(word);
  }
}

function unknown(word: string): Error {
  return settingsError(
    `${JSON.stringify(word)} is no cipher that is known and encrypts`,
    'for example ECDHE+AESGCM:ECDHE+CHACHA20, or names that `openssl ciphers -v` prints',
  );
}
