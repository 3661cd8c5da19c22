import { describe, expect, it } from 'vitest';
import { newExpiry, type TtlMode } from '../../../../services/restorer/src/plan/ttl-rule.ts';

const AT = 1_000_000;
const NOW = 9_000_000;
const rule = (mode: TtlMode) => ({ mode, atMs: AT, nowMs: NOW });

describe('newExpiry()', () => {
  it.each([0, AT - 1, AT, AT + 1, NOW + 5])('keeps %i as it was: absolute', (expiryMs) => {
    expect(newExpiry(rule('absolute'), expiryMs)).toBe(expiryMs);
  });

  it.each([
    [AT + 1, NOW + 1],
    [AT + 500, NOW + 500],
    [NOW + AT, 2 * NOW],
  ])('gives a key that would live until %i the same time from now on: remaining', (was, is) => {
    expect(newExpiry(rule('remaining'), was)).toBe(is);
  });

  it('takes the expiry off a key that was alive: persist', () => {
    expect(newExpiry(rule('persist'), AT + 1)).toBeNull();
    expect(newExpiry(rule('persist'), Number.MAX_SAFE_INTEGER)).toBeNull();
  });

  it.each<TtlMode>(['absolute', 'remaining', 'persist'])(
    'raises no dead: what had expired by the wanted second keeps its time in mode %s',
    (mode) => {
      for (const expiryMs of [-5, 0, 1, AT - 1, AT]) {
        expect(newExpiry(rule(mode), expiryMs)).toBe(expiryMs);
      }
    },
  );
});
