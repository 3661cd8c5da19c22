import { readPemSet, type NodeClient, type TlsSettings } from '@tidemark/client';
import { UsageError } from '@tidemark/core';
import type { RestoreTarget } from '../run/environment.ts';
import type { NewServerTls } from './new-server-tls.ts';

/** The certificate of the feed for a target that runs already, and whom it expects. */
export interface FeedFiles {
  /** Our certificate and key, signed by an authority of the target's `tls-ca-cert-file`. */
  readonly certFile: string;
  readonly keyFile: string;
  /** Authorities of the certificate that the target shows; empty: those of Node.js. */
  readonly caFiles: readonly string[];
}

/** What a user says of the feed's certificate. */
export interface FeedTlsWish extends Partial<FeedFiles> {
  /** SHA-256 of the certificate that the target shows. */
  readonly pin?: string;
}

/** How a feed is secured: names of files, and no secret. It is kept in the record of the restore. */
export type FeedTlsPlan =
  /** Certificates are minted; the target is a server that was started for this restore. */
  | { readonly kind: 'minted'; readonly dir: string; readonly server: NewServerTls }
  | ({ readonly kind: 'files'; readonly pin: string } & FeedFiles);

/**
 * The certificate to show a target that runs already: the one that the user names for this, or else
 * the one for the control connection where it is good for a server too.
 * @returns Null when there is none.
 * @throws UsageError `TM_TLS_SETTINGS`, also when something was said of it and there is none.
 */
export async function feedFilesOf(
  target: RestoreTarget,
  wish: FeedTlsWish | null,
  nowMs: number,
): Promise<FeedFiles | null> {
  if (target.kind === 'new') return null;
  const control: TlsSettings = target.tls ?? {};
  const { certFile = control.certFile, keyFile = control.keyFile } = wish ?? {};
  const caFiles = wish?.caFiles ?? control.caFiles ?? [];
  if (certFile !== undefined && keyFile !== undefined) {
    const set = await readPemSet({ certFile, keyFile, caFiles }, nowMs);
    if (set?.isForServers === true) return { certFile, keyFile, caFiles };
  }
  // Whoever says something of it means TLS.
  if (wish === null) return null;
  const what =
    certFile === undefined ? 'there is no certificate' : `${certFile} is not for servers`;
  throw new UsageError('TM_TLS_SETTINGS', `for the feed ${what}`, {
    hint: 'the target takes the feed for a server: --feed-cert with serverAuth, and --feed-key',
  });
}

/**
 * Which certificate a target will show the feed: a server shows its own one, unless it has another
 * for where it is a client (`tls-client-cert-file`, 6.2 and later), which nobody has seen here.
 * @throws UsageError `TM_TLS_SETTINGS` when it cannot be told.
 */
export async function pinOf(client: NodeClient, wish: FeedTlsWish | null): Promise<string> {
  if (wish?.pin !== undefined) return wish.pin;
  const { address } = client;
  const peer = address.tls?.peers.find(
    ({ host, port }) => host === address.host && port === address.port,
  );
  const name = 'tls-client-cert-file';
  const other = (await client.configGet(name))[name] ?? '';
  if (peer !== undefined && other === '') return peer.certificate.fingerprint;
  const why =
    other === '' ? 'its own one was not seen: the connection is plain' : `it has a ${name}`;
  throw new UsageError(
    'TM_TLS_SETTINGS',
    `which certificate the target shows the feed is not known (${why})`,
    {
      hint: 'name its SHA-256 with --feed-pin: openssl x509 -in CERT -noout -fingerprint -sha256',
    },
  );
}
