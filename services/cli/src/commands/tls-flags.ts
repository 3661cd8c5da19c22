import type { TlsSettings } from '@tidemark/client';
import { tlsSettings, type TlsTable } from '@tidemark/workspace';
import type { TlsFlags } from '../program/tls-flags.ts';

/** The flags in the shape of the configuration, with absolute paths. */
export function tlsTableOf(flags: TlsFlags): TlsTable {
  const settings = tlsOfFlags(flags);
  const [ca, ...more] = settings.caFiles ?? [];
  return {
    ...(ca === undefined ? {} : { tls_ca_file: more.length === 0 ? ca : [ca, ...more] }),
    ...(settings.certFile === undefined ? {} : { tls_cert_file: settings.certFile }),
    ...(settings.keyFile === undefined ? {} : { tls_key_file: settings.keyFile }),
    ...(settings.serverName === undefined ? {} : { tls_server_name: settings.serverName }),
    ...(settings.minVersion === undefined ? {} : { tls_min_version: settings.minVersion }),
    ...(settings.ciphers === undefined ? {} : { tls_ciphers: settings.ciphers }),
  };
}

/** The flags as settings, with absolute paths. */
export function tlsOfFlags(flags: TlsFlags): TlsSettings {
  const { tlsCa, tlsCert, tlsKey, tlsName, tlsMinVersion, tlsCiphers } = flags;
  const table: TlsTable = {
    ...(tlsCa === undefined ? {} : { tls_ca_file: [...tlsCa] }),
    ...(tlsCert === undefined ? {} : { tls_cert_file: tlsCert }),
    ...(tlsKey === undefined ? {} : { tls_key_file: tlsKey }),
    ...(tlsName === undefined ? {} : { tls_server_name: tlsName }),
    ...(tlsMinVersion === undefined ? {} : { tls_min_version: tlsMinVersion }),
    ...(tlsCiphers === undefined ? {} : { tls_ciphers: tlsCiphers }),
  };
  return tlsSettings(table, process.cwd());
}
