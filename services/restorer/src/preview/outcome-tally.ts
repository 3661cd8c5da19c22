import type { KeyDifference, MissingKeys, Outcome } from '../write-back/key-difference.ts';

/** Every outcome, in the order in which they are told. */
export const OUTCOMES: readonly Outcome[] = ['same', 'changed', 'missing', 'created', 'expired'];

/** How many keys had each outcome. */
export type OutcomeCounts = Readonly<Record<Outcome, number>>;

/** Counts what a comparison finds and keeps a few of each outcome. */
export class OutcomeTally {
  readonly counts: Record<Outcome, number> = {
    same: 0,
    changed: 0,
    missing: 0,
    created: 0,
    expired: 0,
  };
  readonly #samples = new Map<Outcome, KeyDifference[]>();
  readonly #sampleMax: number;
  readonly #missingKeys: MissingKeys;
  /** What a write would put, how large that is, and what it would delete. */
  put = 0;
  putBytes = 0;
  deleted = 0;
  /** Created keys that a write would leave. */
  kept = 0;
  /** Changed keys of which the value is the same to the byte, and the expiry is not. */
  expiryOnly = 0;

  /**
   * @param sampleMax - Keys that are kept of each outcome.
   * @param missingKeys - What a write would do with keys that were not there then.
   */
  constructor(sampleMax: number, missingKeys: MissingKeys = 'delete') {
    this.#sampleMax = sampleMax;
    this.#missingKeys = missingKeys;
  }

  /** How many keys were compared. */
  get compared(): number {
    return OUTCOMES.reduce((sum, outcome) => sum + this.counts[outcome], 0);
  }

  /** Those that are kept, by outcome, in the order in which they came. */
  get sample(): readonly KeyDifference[] {
    return OUTCOMES.flatMap((outcome) => this.#samples.get(outcome) ?? []);
  }

  addSame(count: number): void {
    this.counts.same += count;
  }

  add(difference: KeyDifference): void {
    const { outcome, then, live } = difference;
    this.counts[outcome] += 1;
    if (outcome === 'changed' || outcome === 'missing') {
      this.put += 1;
      this.putBytes += then?.bytes ?? 0;
      if (live !== null && live.digest !== null && live.digest === then?.digest) {
        this.expiryOnly += 1;
      }
    } else if (outcome === 'created' && this.#missingKeys === 'keep') {
      this.kept += 1;
    } else if (live !== null) {
      this.deleted += 1;
    }
    const kept = this.#samples.get(outcome) ?? [];
    this.#samples.set(outcome, kept);
    if (kept.length < this.#sampleMax) kept.push(difference);
  }
}
