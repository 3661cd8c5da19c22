import { UsageError } from '@tidemark/core';

/** How connections to a node are secured, as a configuration or flags say it. Holds no secret. */
export interface TlsSettings {
  /**
   * PEM files with the authorities that are trusted, several during a rotation. They take the place
   * of those of the system; none: those that Node.js brings (and NODE_EXTRA_CA_CERTS).
   */
  readonly caFiles?: readonly string[];
  /** PEM file with the certificate that we show, then those between it and its authority. */
  readonly certFile?: string;
  /** PEM file with its key; not open to others. */
  readonly keyFile?: string;
  /** Name that the certificate of the node must have, where it is not the host of the address. */
  readonly serverName?: string;
  /** Oldest version that is spoken. Default 1.2. */
  readonly minVersion?: TlsVersion;
  /** In the language of OpenSSL; default {@link DEFAULT_CIPHERS}. */
  readonly ciphers?: string;
}

/** Versions that may be asked for as the oldest one. */
export type TlsVersion = '1.2' | '1.3';

/** The error for a setting or file that cannot be used. Never with the content of a file. */
export function settingsError(
  message: string,
  hint: string,
  context: Readonly<Record<string, string | number>> = {},
): UsageError {
  return new UsageError('TM_TLS_SETTINGS', message, { hint, context });
}
