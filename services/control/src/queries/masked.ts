import type { SampleKey } from '@tidemark/restorer';
import { keyOfText } from '@tidemark/selector';

/** A key and what became of it, of an instance with TDE: neither its name nor its value. */
export type MaskedKey = Omit<SampleKey, 'key' | 'then' | 'now'> & {
  /** Of its name: see `keyNameHasher`. */
  readonly keyHash: string;
  readonly then: Omit<NonNullable<SampleKey['then']>, 'value'> | null;
  readonly now: Omit<NonNullable<SampleKey['now']>, 'value'> | null;
};

/**
 * Sampled keys without names and values. Of names above 1,024 bytes the beginning is hashed.
 * @param keyHash - Of the instance: `keyNameHasher`.
 */
export function maskedKeys(
  sample: readonly SampleKey[],
  keyHash: (name: Buffer) => string,
): readonly MaskedKey[] {
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
