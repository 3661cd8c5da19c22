import { rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { TestCertificate } from './certificates.ts';

/** Where certificate, key and trusted authorities of one side lie. */
export interface CertificateFiles {
  readonly caFile: string;
  readonly certFile: string;
  readonly keyFile: string;
}

/** Writes a file as a careful operator swaps it: aside, then over the old one. */
export async function swapFile(path: string, text: string, mode = 0o600): Promise<void> {
  await writeFile(`${path}.new`, text, { mode });
  await rename(`${path}.new`, path);
}

/**
 * Writes `<name>-ca.pem`, `<name>.pem` and `<name>.key` (0600).
 * @param trusted - Certificates of the authorities that this side trusts.
 */
export async function writeCertificates(
  dir: string,
  name: string,
  trusted: readonly string[],
  { cert, key }: TestCertificate,
): Promise<CertificateFiles> {
  const files = {
    caFile: join(dir, `${name}-ca.pem`),
    certFile: join(dir, `${name}.pem`),
    keyFile: join(dir, `${name}.key`),
  };
  await swapFile(files.caFile, trusted.join('\n'));
  await swapFile(files.certFile, cert);
  await swapFile(files.keyFile, key);
  return files;
}
