import { readBundle, readOwn } from './tls-material.ts';
import type { TlsSettings } from './tls-settings.ts';

/** A certificate with its key and authorities, as PEM: for another process, or for a server. */
export interface PemSet {
  readonly cert: string;
  readonly key: string;
  /** Null: those that Node.js brings. */
  readonly ca: readonly string[] | null;
  /** SHA-256 of the certificate, hexadecimal with colons. */
  readonly fingerprint: string;
  /** Whether it is good for a server: it says so, or does not say what it is for. */
  readonly isForServers: boolean;
}

const SERVER_AUTH = '1.3.6.1.5.5.7.3.1';

/**
 * Reads and checks the files of the settings: dates, order, that key and certificate are a pair.
 * @returns Null when they name no certificate.
 * @throws UsageError `TM_TLS_SETTINGS` that names file and fault.
 */
export async function readPemSet(settings: TlsSettings, nowMs: number): Promise<PemSet | null> {
  const { caFiles = [] } = settings;
  const bundles = await Promise.all(caFiles.map((path) => readBundle(path, nowMs)));
  const own = await readOwn(settings, nowMs);
  const leaf = own?.certificates[0];
  if (own === null || leaf === undefined) return null;
  // Undefined where the certificate does not say what it is for, whatever the type says.
  const uses = leaf.keyUsage as readonly string[] | undefined;
  return {
    cert: own.cert,
    key: own.key,
    ca: bundles.length === 0 ? null : bundles.map(({ text }) => text),
    fingerprint: leaf.fingerprint256,
    isForServers: uses === undefined || uses.includes(SERVER_AUTH),
  };
}
