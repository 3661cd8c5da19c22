import type { X509Certificate } from 'node:crypto';
import type { CertificateFacts } from './trust.ts';

const AGE_MS_MAX = 300_000;
const ENTRIES_MAX = 256;

/** A session that can be gone on with, and who vouched for the peer when it began. */
export interface CachedSession {
  readonly session: Buffer;
  /** What the peer showed then: a resumed session holds its own certificate alone. */
  readonly chain: readonly X509Certificate[];
  readonly verifiedBy: CertificateFacts | null;
  /** When the peer was verified; a session that goes on does not become younger. */
  readonly sinceMs: number;
}

/**
 * Sessions of peers that were verified, for 300 s. A resumed session verifies nothing anew, so that
 * the key holds everything the first verification went by, and any change of trust empties the cache:
 * otherwise a peer whose authority is trusted no longer would be taken.
 */
export class SessionCache {
  readonly #entries = new Map<string, CachedSession>();
  readonly #nowMs: () => number;

  /** @param nowMs - A clock that never steps, in milliseconds. */
  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
  }

  get size(): number {
    return this.#entries.size;
  }

  get(key: string): CachedSession | null {
    const entry = this.#entries.get(key);
    if (entry === undefined) return null;
    if (this.#nowMs() - entry.sinceMs <= AGE_MS_MAX) return entry;
    this.#entries.delete(key);
    return null;
  }

  put(key: string, entry: CachedSession): void {
    this.#entries.delete(key);
    this.#entries.set(key, entry);
    for (const oldest of this.#entries.keys()) {
      if (this.#entries.size <= ENTRIES_MAX) break;
      this.#entries.delete(oldest);
    }
  }

  delete(key: string): void {
    this.#entries.delete(key);
  }

  purge(): void {
    this.#entries.clear();
  }
}
