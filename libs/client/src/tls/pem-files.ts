import { X509Certificate } from 'node:crypto';
import { open, stat } from 'node:fs/promises';
import { settingsError } from './tls-settings.ts';

const FILE_BYTES_MAX = 1 << 20;
const CERTIFICATES_MAX = 1000;
const BLOCK = /-----BEGIN ([A-Z0-9 ]+)-----[\s\S]*?-----END \1-----/g;
const KEY_BLOCK = /^([A-Z0-9]+ )*(PRIVATE KEY|EC PARAMETERS)$/;
/** A last line in which a block had just been begun. */
const BEGUN = /(^|\n)(-{1,4}|-----(B(E(GI?)?)?)?)$/;

/**
 * Reads a file of certificates or a key.
 * @param isKey - Refuse one that others can read, or that a group can write.
 * @throws UsageError `TM_TLS_SETTINGS`.
 */
export async function readPemFile(path: string, isKey = false): Promise<string> {
  let file;
  try {
    // A pipe would be waited for without end.
    if (!(await stat(path)).isFile()) throw Object.assign(new Error(), { code: 'no file' });
    file = await open(path, 'r');
  } catch (cause) {
    const errno = cause instanceof Error && 'code' in cause ? String(cause.code) : 'unknown';
    throw settingsError(
      `cannot read ${path}: ${errno}`,
      'name a PEM file that the user of this process may read',
    );
  }
  try {
    const { size, mode } = await file.stat();
    if (size > FILE_BYTES_MAX) {
      throw settingsError(`${path} is too large for a PEM file`, 'at most 1 MiB', {
        bytes: size,
        bytesMax: FILE_BYTES_MAX,
      });
    }
    if (isKey && (mode & 0o027) !== 0) {
      throw settingsError(
        `the key ${path} is open to others (mode ${(mode & 0o777).toString(8).padStart(4, '0')})`,
        'chmod 600, or 640 with a group of its own; Kubernetes: defaultMode: 0400 of the secret',
      );
    }
    const buffer = Buffer.alloc(FILE_BYTES_MAX);
    const { bytesRead } = await file.read(buffer, 0, buffer.length, 0);
    return buffer.toString('utf8', 0, bytesRead);
  } finally {
    await file.close();
  }
}

/**
 * All certificates of a PEM text, in order.
 * @param mayHoldKey - A file of a certificate of our own may hold its key too.
 * @throws UsageError `TM_TLS_SETTINGS` when there is none, one that is not well formed, a block that
 *   is not whole (a file that is being written is not taken for a shorter one), or one of another
 *   kind: OpenSSL trusts some of those.
 */
export function parseCertificates(
  text: string,
  path: string,
  mayHoldKey = false,
): readonly X509Certificate[] {
  const whole = [...text.matchAll(BLOCK)];
  if (!isWhole(text, whole.length)) {
    throw settingsError(
      `${path} holds a PEM block that is not whole`,
      'it may be half written: write a new file beside it, then rename that over it',
    );
  }
  if (!mayHoldKey && whole.some(([, kind]) => KEY_BLOCK.test(kind ?? ''))) {
    throw settingsError(
      `${path} holds a private key`,
      'a file of trusted authorities holds certificates only: the key stays with the authority',
    );
  }
  const blocks = whole.filter(([, kind]) => kind === 'CERTIFICATE');
  const other = whole.find(([, kind]) => kind !== 'CERTIFICATE' && !KEY_BLOCK.test(kind ?? ''));
  if (other !== undefined) {
    throw settingsError(
      `${path} holds a PEM block of another kind: ${other[1]?.slice(0, 40) ?? ''}`,
      'certificates are blocks of the kind CERTIFICATE: openssl x509 -in FILE -out NEW makes one',
    );
  }
  if (blocks.length === 0 || blocks.length > CERTIFICATES_MAX) {
    throw settingsError(
      `${path} holds ${blocks.length === 0 ? 'no certificate' : 'too many certificates'}`,
      'it is to hold PEM blocks: -----BEGIN CERTIFICATE-----',
    );
  }
  return blocks.map(([block], at) => {
    try {
      return new X509Certificate(block);
    } catch {
      throw settingsError(
        `certificate ${at + 1} of ${path} is not well formed`,
        `check it: openssl crl2pkcs7 -nocrl -certfile ${path} | openssl pkcs7 -print_certs -noout`,
        { certificate: at + 1 },
      );
    }
  });
}

/** Whether every block that is begun is among those found, each with an end of its own. */
function isWhole(text: string, blocks: number): boolean {
  const count = (mark: string): number => text.split(mark).length - 1;
  return count('-----BEGIN') === blocks && count('-----END') === blocks && !BEGUN.test(text);
}
