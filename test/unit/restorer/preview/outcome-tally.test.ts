import { describe, expect, it } from 'vitest';
import { sampleKey } from '../../../../services/restorer/src/preview/key-sample.ts';
import { OutcomeTally } from '../../../../services/restorer/src/preview/outcome-tally.ts';
import type {
  KeyDifference,
  KeyState,
  Outcome,
} from '../../../../services/restorer/src/write-back/key-difference.ts';

const state = (changes: Partial<KeyState> = {}): KeyState => ({
  ...{ type: 'string', expiryMs: null, bytes: 100, digest: 'a' },
  ...changes,
});
const difference = (
  outcome: Outcome,
  then: KeyState | null,
  live: KeyState | null,
  key = 'key',
): KeyDifference => ({ db: 3, key: Buffer.from(key), outcome, then, live });

describe('OutcomeTally', () => {
  it('counts what a write would put and delete', () => {
    const tally = new OutcomeTally(10);
    tally.addSame(5);
    tally.add(difference('changed', state(), state({ digest: 'b' })));
    tally.add(difference('changed', state(), state({ expiryMs: 7 })));
    // Large values have no digest: whether only the expiry differs is not known.
    tally.add(difference('changed', state({ digest: null }), state({ digest: null })));
    tally.add(difference('missing', state(), null));
    tally.add(difference('created', null, state()));
    tally.add(difference('expired', state({ type: 'none' }), state()));
    tally.add(difference('expired', state({ type: 'none' }), null));
    expect(tally.counts).toEqual({ same: 5, changed: 3, missing: 1, created: 1, expired: 2 });
    expect(tally).toMatchObject({ put: 4, putBytes: 400, deleted: 2, expiryOnly: 1, compared: 12 });
  });

  it('counts keys that were not there then as kept where they are to be left', () => {
    const tally = new OutcomeTally(10, 'keep');
    tally.add(difference('created', null, state()));
    tally.add(difference('expired', state({ type: 'none' }), state()));
    expect(tally).toMatchObject({ deleted: 1, kept: 1, counts: { created: 1, expired: 1 } });
  });

  it('keeps so many of each outcome and no more', () => {
    const tally = new OutcomeTally(2);
    for (const name of ['1', '2', '3']) {
      tally.add(difference('created', null, state(), `created ${name}`));
      tally.add(difference('missing', state(), null, `missing ${name}`));
    }
    const names = tally.sample.map(({ key }) => key.toString());
    expect(names).toEqual(['missing 1', 'missing 2', 'created 1', 'created 2']);
  });
});

describe('sampleKey() shows', () => {
  it('keys with escapes, times without the shift, no type of a hidden key', () => {
    const shift = 1_000;
    const then = state({ expiryMs: Date.UTC(2026, 0, 2) + shift });
    const shown = sampleKey(
      { ...difference('missing', then, null), key: Buffer.from([0x61, 0xff, 0x5c]) },
      undefined,
      shift,
    );
    expect(shown).toEqual({
      ...{ outcome: 'missing', db: 3, key: 'a\\xff\\\\', now: null },
      then: { type: 'string', bytes: 100, expiresAt: '2026-01-02T00:00:00.000Z', value: null },
    });
    const hidden = sampleKey(difference('expired', state({ type: 'none' }), null));
    expect(hidden.then).toMatchObject({ type: null, expiresAt: null });
    const far = sampleKey(difference('missing', state({ expiryMs: 1e15 }), null));
    expect(far.then?.expiresAt).toBe('@1000000000000');
  });
});
