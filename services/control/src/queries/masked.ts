import { createHash } from 'node:crypto';
import type { SampleKey } from '@tidemark/restorer';
import { keyOfText } from '@tidemark/selector';

const HASH_DIGITS = 32;

/** A key and what became of it, of an instance with TDE: neither its name nor its value. */
export type MaskedKey = Omit<SampleKey, 'key' | 'then' | 'now'> & {
  /** `sha256:` and the first 128 bits, in hex, of the hash of its name. */
  readonly keyHash: string;
  readonly then: Omit<NonNullable<SampleKey['then']>, 'value'> | null;
  readonly now: Omit<NonNullable<SampleKey['now']>, 'value'> | null;
};

/**
 * The name of a key as whoever knows it can tell it again, and others cannot read it. Short names can
 * be guessed: it hides them from a screen and a log, not from an attacker with a list of names.
 */
export function keyHash(key: Buffer): string {
  const digest = createHash('sha256').update(key).digest('hex');
  return `sha256:${digest.slice(0, HASH_DIGITS)}`;
}

/** Sampled keys without names and values. Of names above 1,024 bytes the beginning is hashed. */
export function maskedKeys(sample: readonly SampleKey[]): readonly MaskedKey[] {
  return sample.map(({ key, then, now, ...rest }) => ({
    ...rest,
    keyHash: keyHash(keyOfText(key)),
    then: then && withoutValue(then),
    now: now && withoutValue(now),
  }));
}

function withoutValue({
  value: _,
  ...state
}: NonNullable<SampleKey['then']>): Omit<NonNullable<SampleKey['then']>, 'value'> {
  return state;
}
