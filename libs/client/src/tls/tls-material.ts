import { createHash, createPrivateKey, type KeyObject, type X509Certificate } from 'node:crypto';
import { createSecureContext, type SecureContext } from 'node:tls';
import { cipherList } from './ciphers.ts';
import { parseCertificates, readPemFile } from './pem-files.ts';
import { settingsError, type TlsSettings } from './tls-settings.ts';
import { isIssuedBy } from './trust.ts';

/** Everything that a connection is secured with, read at one time. */
export interface TlsMaterial {
  readonly context: SecureContext;
  /** Changes with every file and setting that has to do with trust. */
  readonly fingerprint: string;
  /** The authorities; null: those that Node.js brings. */
  readonly bundle: readonly X509Certificate[] | null;
  /** Our own certificate and those between; empty without one. */
  readonly own: readonly X509Certificate[];
}

/**
 * Reads and checks all files of the settings.
 * @throws UsageError `TM_TLS_SETTINGS` that names file and fault.
 */
export async function loadMaterial(settings: TlsSettings, nowMs: number): Promise<TlsMaterial> {
  const { caFiles = [], minVersion = '1.2' } = settings;
  if (!['1.2', '1.3'].includes(minVersion)) {
    throw settingsError('the oldest TLS version is 1.2 or 1.3', 'older ones are not spoken');
  }
  const ciphers = cipherList(settings.ciphers);
  const bundles = await Promise.all(caFiles.map((path) => readBundle(path, nowMs)));
  const own = await readOwn(settings, nowMs);
  const ca = bundles.map(({ text }) => text);
  const version = minVersion === '1.3' ? 'TLSv1.3' : 'TLSv1.2';
  const digest = createHash('sha256');
  for (const part of [version, ciphers, ...ca, own?.cert ?? '', own?.key ?? '']) {
    digest.update(`${part.length.toString()}:`).update(part);
  }
  return {
    context: contextOf({
      ...{ minVersion: version, maxVersion: 'TLSv1.3', ciphers },
      ...(ca.length === 0 ? {} : { ca }),
      ...(own === null ? {} : { cert: own.cert, key: own.key }),
    }),
    fingerprint: digest.digest('hex'),
    bundle: ca.length === 0 ? null : bundles.flatMap(({ certificates }) => certificates),
    own: own?.certificates ?? [],
  };
}

function contextOf(options: Parameters<typeof createSecureContext>[0]): SecureContext {
  try {
    return createSecureContext(options);
  } catch (cause) {
    const code = cause instanceof Error && 'code' in cause ? String(cause.code) : 'unknown';
    throw settingsError(
      `the TLS library refuses these certificates or ciphers: ${code}`,
      'a key that is too short, or a signature with MD5 or SHA-1, is not taken',
    );
  }
}

interface Pem {
  /** The certificates written anew: nothing else of the file reaches the TLS library. */
  readonly text: string;
  readonly certificates: readonly X509Certificate[];
}

/** Authorities of a file, each of them checked. */
export async function readBundle(path: string, nowMs: number): Promise<Pem> {
  const certificates = parseCertificates(await readPemFile(path), path);
  const other = certificates.findIndex((one) => !one.ca && !isIssuedBy(one, one));
  if (other >= 0) {
    throw settingsError(
      `certificate ${other + 1} of ${path} is neither an authority nor self-signed`,
      'name the certificate of the authority that signed it',
      { certificate: other + 1 },
    );
  }
  if (certificates.every(({ validTo }) => Date.parse(validTo) <= nowMs)) {
    throw settingsError(
      `every authority in ${path} has expired`,
      'add the certificate of the one that signs now',
    );
  }
  return { text: pemOf(certificates), certificates };
}

function pemOf(certificates: readonly X509Certificate[]): string {
  return certificates.map((one) => one.toString()).join('');
}

interface Own {
  readonly certificates: readonly X509Certificate[];
  /** As `text` of {@link Pem}. */
  readonly cert: string;
  readonly key: string;
}

/** A certificate with its key, both checked; null when none is named. */
export async function readOwn(
  { certFile, keyFile }: TlsSettings,
  nowMs: number,
): Promise<Own | null> {
  if (certFile === undefined && keyFile === undefined) return null;
  if (certFile === undefined || keyFile === undefined) {
    throw settingsError(
      `a ${certFile === undefined ? 'key without its certificate' : 'certificate without its key'}`,
      'tls_cert_file and tls_key_file (--tls-cert, --tls-key) belong together',
    );
  }
  const certificates = parseCertificates(await readPemFile(certFile), certFile, true);
  const key = await readPemFile(keyFile, true);
  const [leaf] = certificates;
  if (leaf?.checkPrivateKey(parseKey(key, keyFile)) !== true) {
    throw settingsError(
      `the key ${keyFile} does not belong to the certificate ${certFile}`,
      'the certificate of this key stands first in its file',
    );
  }
  checkDates(leaf, certFile, nowMs);
  for (const [at, one] of certificates.entries()) {
    const next = certificates[at + 1];
    if (next === undefined || isIssuedBy(one, next)) continue;
    throw settingsError(
      `certificate ${at + 2} of ${certFile} did not sign the one before it`,
      'the order is: own certificate, the one that signed it, and so on',
      { certificate: at + 2 },
    );
  }
  return { certificates, cert: pemOf(certificates), key };
}

function parseKey(text: string, path: string): KeyObject {
  try {
    return createPrivateKey(text);
  } catch {
    const sealed = /ENCRYPTED/.test(text);
    throw settingsError(
      `${path} ${sealed ? 'is locked by a passphrase' : 'holds no private key'}`,
      sealed
        ? 'store it without one, mode 0600: openssl pkey -in KEY -out PLAIN'
        : 'it is to hold a PEM block: -----BEGIN PRIVATE KEY-----',
    );
  }
}

function checkDates(leaf: X509Certificate, path: string, nowMs: number): void {
  if (Date.parse(leaf.validTo) <= nowMs) {
    throw settingsError(`the certificate ${path} expired on ${leaf.validTo}`, 'have it renewed');
  }
  if (Date.parse(leaf.validFrom) > nowMs) {
    throw settingsError(
      `the certificate ${path} is valid only from ${leaf.validFrom} on`,
      'check the clock of this machine',
    );
  }
}
