import { describe, expect, it } from 'vitest';
import {
  checkTtlChoice,
  newExpiry,
  ttlText,
  type TtlChoice,
  type TtlRule,
} from '../../../../services/restorer/src/plan/ttl-rule.ts';

const AT = 1_000_000;
const NOW = 9_000_000;
const HOUR = 3_600_000;
const rule = (choice: TtlChoice): TtlRule => ({ ...choice, atMs: AT, nowMs: NOW });
const ABSOLUTE: TtlChoice = { mode: 'absolute' };
const REMAINING: TtlChoice = { mode: 'remaining' };
const PERSIST: TtlChoice = { mode: 'persist' };
const REBASE: TtlChoice = { mode: 'rebase', toMs: 5_000_000 };
const LATER: TtlChoice = { mode: 'shift', byMs: HOUR };
const EARLIER: TtlChoice = { mode: 'shift', byMs: -500_000 };

describe('newExpiry()', () => {
  it.each([0, AT - 1, AT, AT + 1, NOW + 5])('keeps %i as it was: absolute', (expiryMs) => {
    expect(newExpiry(rule(ABSOLUTE), expiryMs)).toBe(expiryMs);
  });

  it.each<[TtlChoice, number, number]>([
    [REMAINING, AT + 1, NOW + 1],
    [REMAINING, AT + 500, NOW + 500],
    [REMAINING, NOW + AT, 2 * NOW],
    [REBASE, AT + 1, 5_000_001],
    [REBASE, AT + HOUR, 5_000_000 + HOUR],
    [LATER, AT + 1, AT + 1 + HOUR],
    [EARLIER, AT + 700_000, AT + 200_000],
    // Past the wanted second: expired all the same, but it was alive.
    [EARLIER, AT + 1, AT + 1 - 500_000],
  ])('%j gives a key that would live until %i the expiry %i', (choice, was, is) => {
    expect(newExpiry(rule(choice), was)).toBe(is);
  });

  it('takes the expiry off a key that was alive: persist', () => {
    expect(newExpiry(rule(PERSIST), AT + 1)).toBeNull();
    expect(newExpiry(rule(PERSIST), Number.MAX_SAFE_INTEGER)).toBeNull();
  });

  it.each([ABSOLUTE, REMAINING, PERSIST, REBASE, LATER, EARLIER])(
    'raises no dead: what had expired by the wanted second keeps its time: %j',
    (choice) => {
      for (const expiryMs of [-5, 0, 1, AT - 1, AT]) {
        expect(newExpiry(rule(choice), expiryMs)).toBe(expiryMs);
      }
    },
  );

  it.each<[TtlChoice, number]>([
    [{ mode: 'shift', byMs: -2_000_000 }, AT + 5],
    [{ mode: 'shift', byMs: -AT - 5 }, AT + 5],
    [LATER, Number.MAX_SAFE_INTEGER],
    [REMAINING, Number.MAX_SAFE_INTEGER],
    // No exact number, though the result would be in range.
    [EARLIER, Number.MAX_SAFE_INTEGER + 2],
  ])('%j refuses to move %i out of what can be held', (choice, expiryMs) => {
    const moved = (): unknown => newExpiry(rule(choice), expiryMs);
    expect(moved).toThrow(
      expect.objectContaining({
        code: 'TM_TTL_RANGE',
        context: expect.objectContaining({ expiryMs, ttl: ttlText(choice) }) as unknown,
      }),
    );
  });

  it('moves an expiry to the first millisecond that a server takes', () => {
    expect(newExpiry(rule({ mode: 'shift', byMs: -AT - 4 }), AT + 5)).toBe(1);
  });
});

describe('checkTtlChoice()', () => {
  it.each<TtlChoice>([
    { mode: 'rebase', toMs: -1 },
    { mode: 'rebase', toMs: 0.5 },
    { mode: 'rebase', toMs: 253_402_300_800_000 },
    { mode: 'rebase', toMs: Number.NaN },
    { mode: 'shift', byMs: 36_500 * 86_400_000 + 1 },
    { mode: 'shift', byMs: -36_500 * 86_400_000 - 1 },
    { mode: 'shift', byMs: 2 ** 60 },
    { mode: 'shift', byMs: Number.NaN },
  ])('refuses %j', (choice) => {
    expect(() => checkTtlChoice(choice)).toThrow(expect.objectContaining({ code: 'TM_USAGE' }));
  });

  it.each([ABSOLUTE, REMAINING, PERSIST, REBASE, LATER, EARLIER, { mode: 'shift', byMs: 0 }])(
    'takes %j',
    (choice) => {
      expect(() => checkTtlChoice(choice as TtlChoice)).not.toThrow();
    },
  );
});

describe('ttlText()', () => {
  it.each<[TtlChoice, string]>([
    [ABSOLUTE, 'absolute'],
    [REMAINING, 'remaining'],
    [PERSIST, 'persist'],
    [{ mode: 'rebase', toMs: 1_795_255_200_999 }, 'rebase:2026-11-21T10:00:00Z'],
    [{ mode: 'rebase', toMs: 1_795_255_200_500 }, 'rebase:2026-11-21T10:00:00.500Z'],
    [LATER, 'shift:+1h'],
    [{ mode: 'shift', byMs: -90 * 60_000 }, 'shift:-90m'],
    [{ mode: 'shift', byMs: 7 * 86_400_000 }, 'shift:+7d'],
    [{ mode: 'shift', byMs: 1_500 }, 'shift:+1500ms'],
    [{ mode: 'shift', byMs: 0 }, 'shift:+0ms'],
  ])('writes %j as %s', (choice, text) => {
    expect(ttlText(choice)).toBe(text);
  });
});
