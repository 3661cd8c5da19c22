import { readPemSet } from '@tidemark/client';
import { UsageError, type Clock, type Random } from '@tidemark/core';
import type { FeedTls } from '@tidemark/replication';
import type { FeedTlsPlan } from './feed-tls-plan.ts';
import { writeFeedFiles } from './new-server-tls.ts';

/** What a feed's certificates are made or read for. */
export interface FeedTlsPlace {
  /** Name of the restore. */
  readonly id: string;
  /** Where the target reaches the feed. */
  readonly addresses: readonly string[];
  /** Whether the target can show a certificate that is for the feed alone (6.2 and later). */
  readonly showsMinted: boolean;
  readonly clock: Clock;
  readonly random: Random;
}

/**
 * Certificates and keys of a feed. Minted ones are new each time, and their files in the folder of
 * the target are written anew: it reads them when its settings change.
 * @throws UsageError `TM_TLS_SETTINGS`.
 */
export async function openFeedTls(plan: FeedTlsPlan, place: FeedTlsPlace): Promise<FeedTls> {
  const nowMs = place.clock.nowMs();
  if (plan.kind === 'files') {
    const { certFile, keyFile, caFiles, pin } = plan;
    const set = await readPemSet({ certFile, keyFile, caFiles }, nowMs);
    if (set === null) throw new UsageError('TM_TLS_SETTINGS', 'the feed has no certificate');
    return { cert: set.cert, key: set.key, ca: set.ca, peerFingerprint: pin };
  }
  // A library that no other command needs.
  const { mintCertificates } = await import('./mint-certificates.ts');
  const minted = await mintCertificates({ ...place, nowMs });
  await writeFeedFiles(plan.dir, minted);
  const own = await readPemSet(plan.server, nowMs);
  const { X509Certificate } = await import('node:crypto');
  const peer = place.showsMinted
    ? { ca: [minted.ca], peerFingerprint: new X509Certificate(minted.target.cert).fingerprint256 }
    : { ca: own?.ca ?? null, peerFingerprint: own?.fingerprint ?? '' };
  return { ...minted.feed, ...peer };
}
