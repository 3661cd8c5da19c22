import type { CertificateFacts } from './trust.ts';

const DAY_MS = 24 * 3_600_000;
/** Days before the end at which it is told of. */
const LEVELS = [7, 30, 90] as const;
const TOLD_MAX = 4096;

/** A certificate that ends soon. */
export interface TlsExpiry {
  /** Ours, one of a node, or one of an authority that is trusted. */
  readonly what: 'own' | 'peer' | 'authority';
  /** Where it was met: the node, for one of a peer. */
  readonly node: string | null;
  readonly certificate: CertificateFacts;
  /** Whole days left; negative when it is over. */
  readonly daysLeft: number;
  /** 90, 30 or 7. */
  readonly level: number;
}

/** Whole days until a certificate ends, rounded down. */
export function daysLeft({ toMs }: CertificateFacts, nowMs: number): number {
  return Math.floor((toMs - nowMs) / DAY_MS);
}

/**
 * The level that a certificate has fallen below; null while it has long to live. Certificates of a
 * short life are renewed late by design: a level over half of the life does not count.
 */
function expiryLevel(certificate: CertificateFacts, nowMs: number): number | null {
  const life = (certificate.toMs - certificate.fromMs) / DAY_MS;
  const left = (certificate.toMs - nowMs) / DAY_MS;
  if (left <= 0) return LEVELS[0];
  return LEVELS.find((level) => left <= level && level <= life / 2) ?? null;
}

/** Tells of each certificate once for each level that it falls below. */
export class ExpiryTeller {
  readonly #told = new Set<string>();
  readonly #tell: (expiry: TlsExpiry) => void;

  constructor(tell: (expiry: TlsExpiry) => void) {
    this.#tell = tell;
  }

  /** @param node - Where it was met, for one of a peer. */
  look(what: TlsExpiry['what'], certificate: CertificateFacts, node: string | null = null): void {
    const nowMs = Date.now();
    const level = expiryLevel(certificate, nowMs);
    const key = `${what} ${certificate.fingerprint} ${level ?? ''}`;
    if (level === null || this.#told.has(key) || this.#told.size >= TOLD_MAX) return;
    this.#told.add(key);
    this.#tell({ what, node, certificate, level, daysLeft: daysLeft(certificate, nowMs) });
  }
}
