import { resolve } from 'node:path';
import { openNodeTls, type NodeAddress, type TlsHooks, type TlsSettings } from '@tidemark/client';
import { UsageError } from '@tidemark/core';
import type { InstanceEntry } from './schema.ts';

/** The settings of TLS in an `[[instance]]`; flags of a command are written into the same shape. */
export type TlsTable = Pick<
  InstanceEntry,
  | 'tls_ca_file'
  | 'tls_cert_file'
  | 'tls_key_file'
  | 'tls_server_name'
  | 'tls_min_version'
  | 'tls_ciphers'
>;

/**
 * What a table says, with absolute paths.
 * @param base - Folder that a relative path is taken from.
 */
export function tlsSettings(table: TlsTable, base: string): TlsSettings {
  const { tls_ca_file: ca = [], tls_cert_file: cert, tls_key_file: key } = table;
  const caFiles = (typeof ca === 'string' ? [ca] : ca).map((path) => resolve(base, path));
  return {
    ...(caFiles.length === 0 ? {} : { caFiles }),
    ...(cert === undefined ? {} : { certFile: resolve(base, cert) }),
    ...(key === undefined ? {} : { keyFile: resolve(base, key) }),
    ...(table.tls_server_name === undefined ? {} : { serverName: table.tls_server_name }),
    ...(table.tls_min_version === undefined ? {} : { minVersion: table.tls_min_version }),
    ...(table.tls_ciphers === undefined ? {} : { ciphers: table.tls_ciphers }),
  };
}

/**
 * The address with what its connections are secured with, where it asks for TLS. Whoever keeps it for
 * long disposes of its `tls`; it keeps no process alive.
 * @throws UsageError `TM_TLS_SETTINGS` for files and settings that cannot be used, and for settings of
 *   an address that goes without TLS: whoever wrote them believes it to be secured.
 */
export async function securedAddress(
  address: NodeAddress,
  settings: TlsSettings,
  hooks: TlsHooks = {},
): Promise<NodeAddress> {
  if (address.secure === true) return { ...address, tls: await openNodeTls(settings, hooks) };
  if (Object.keys(settings).length === 0) return address;
  throw new UsageError('TM_TLS_SETTINGS', 'settings for TLS, and an address without it', {
    hint: 'write rediss://HOST:PORT for TLS, or leave the settings away',
  });
}
