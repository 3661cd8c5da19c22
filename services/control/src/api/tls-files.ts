import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import type { Server } from 'node:http';
import { createSecureContext, Server as TlsServer } from 'node:tls';
import type { Logger } from '@tidemark/archiver';
import { UsageError } from '@tidemark/core';
import type { Config } from '@tidemark/workspace';
import type { ServerTls } from './server.ts';

type TlsFiles = NonNullable<Config['api']['tls']>;

/** The certificate of the listener, as it lies on disk. */
export interface ReadTls extends ServerTls {
  /** Of all files together. */
  readonly digest: string;
}

/**
 * Reads certificate, key and authority, and holds them against each other.
 * @throws UsageError `TM_TLS_SETTINGS` that names the files.
 */
export async function readServerTls(files: TlsFiles): Promise<ReadTls> {
  const { certFile, keyFile, clientCaFile } = files;
  const [cert, key, ca] = await Promise.all([
    bytesOf(certFile),
    bytesOf(keyFile),
    clientCaFile === null ? null : bytesOf(clientCaFile),
  ]);
  const context = { cert, key, ...(ca === null ? {} : { ca }) };
  try {
    createSecureContext(context);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : 'unknown';
    throw new UsageError('TM_TLS_SETTINGS', `the certificate of the API is not used: ${reason}`, {
      cause,
      hint: `do ${certFile} and ${keyFile} belong together?`,
    });
  }
  const hash = createHash('sha256');
  for (const part of [cert, key, ca ?? Buffer.alloc(0)]) {
    hash.update(createHash('sha256').update(part).digest());
  }
  return { context, asksForCertificate: ca !== null, digest: hash.digest('hex') };
}

/**
 * Takes up a certificate that was renewed on disk: connections that stand go on with the old one.
 * @param everyMs - How often the files are looked at.
 */
export async function followTlsFiles(
  server: Server,
  files: TlsFiles,
  first: ReadTls,
  options: { readonly everyMs: number; readonly signal: AbortSignal; readonly logger: Logger },
): Promise<void> {
  const { everyMs, signal, logger } = options;
  let { digest } = first;
  let told = '';
  while (await hasPassed(everyMs, signal)) {
    try {
      const read = await readServerTls(files);
      if (read.digest === digest) continue;
      const listener: unknown = server;
      if (!(listener instanceof TlsServer)) return;
      listener.setSecureContext({ ...read.context, minVersion: 'TLSv1.2' });
      ({ digest } = read);
      told = '';
      logger.info('the certificate of the API was read again');
    } catch (error) {
      const reason = error instanceof Error ? error.message : 'unknown';
      if (reason !== told) logger.error('the certificate on disk is not used', { reason });
      told = reason;
    }
  }
}

function hasPassed(ms: number, signal: AbortSignal): Promise<boolean> {
  if (signal.aborted) return Promise.resolve(false);
  return new Promise((resolve) => {
    const stop = (): void => {
      clearTimeout(timer);
      resolve(false);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener('abort', stop);
      resolve(true);
    }, ms);
    signal.addEventListener('abort', stop, { once: true });
  });
}

async function bytesOf(path: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (cause) {
    throw new UsageError('TM_TLS_SETTINGS', `cannot read ${path}`, { cause });
  }
}
