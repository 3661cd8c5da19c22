import { CommandDecoder } from '@tidemark/aof';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { VanishForecast } from '../../services/restorer/src/feed/vanish-forecast.ts';
import {
  newExpiry,
  ttlText,
  type TtlChoice,
  type TtlRule,
} from '../../services/restorer/src/plan/ttl-rule.ts';
import { ttlOf } from '../../services/cli/src/commands/ttl-flag.ts';
import { command, split } from '../support/command-log.ts';

const AT = 1_795_255_200_999;
const YEAR_MS = 365 * 86_400_000;

const near = fc.integer({ min: -YEAR_MS, max: YEAR_MS });
const instants = fc.record({
  atMs: near.map((ms) => AT + ms),
  nowMs: near.map((ms) => AT + ms),
});
const second = near.map((ms) => Math.floor((AT + ms) / 1000) * 1000 + 999);
const moving = fc.oneof<fc.Arbitrary<TtlChoice>[]>(
  fc.constant({ mode: 'remaining' as const }),
  second.map((toMs) => ({ mode: 'rebase' as const, toMs })),
  near.map((byMs) => ({ mode: 'shift' as const, byMs })),
);
const choices = fc.oneof<fc.Arbitrary<TtlChoice>[]>(
  moving,
  fc.constantFrom({ mode: 'absolute' as const }, { mode: 'persist' as const }),
);
const expiries = fc.integer({ min: 1, max: AT + 20 * YEAR_MS });

describe('a TTL rule', () => {
  it('leaves what had expired as it was, in every mode', () => {
    fc.assert(
      fc.property(choices, instants, expiries, (choice, at, expiryMs) => {
        const rule: TtlRule = { ...choice, ...at };
        if (expiryMs <= rule.atMs) expect(newExpiry(rule, expiryMs)).toBe(expiryMs);
      }),
    );
  });

  it('moves all that was alive by the same, or takes all of it away', () => {
    const later = fc.integer({ min: 1, max: 10 * YEAR_MS });
    fc.assert(
      fc.property(moving, instants, later, later, (choice, at, one, other) => {
        const rule: TtlRule = { ...choice, ...at };
        const moved = (ms: number): number => newExpiry(rule, rule.atMs + ms)! - ms;
        expect(moved(one)).toBe(moved(other));
        expect(newExpiry({ mode: 'persist', ...at }, rule.atMs + one)).toBeNull();
      }),
    );
  });

  it('is the same by another name where two modes mean the same', () => {
    fc.assert(
      fc.property(instants, expiries, (at, expiryMs) => {
        const by = (choice: TtlChoice): number | null => newExpiry({ ...choice, ...at }, expiryMs);
        expect(by({ mode: 'rebase', toMs: at.nowMs })).toBe(by({ mode: 'remaining' }));
        expect(by({ mode: 'rebase', toMs: at.atMs })).toBe(by({ mode: 'absolute' }));
        expect(by({ mode: 'shift', byMs: 0 })).toBe(by({ mode: 'absolute' }));
        const byMs = at.nowMs - at.atMs;
        expect(by({ mode: 'shift', byMs })).toBe(by({ mode: 'remaining' }));
      }),
    );
  });

  it('is written as it is read', () => {
    fc.assert(
      fc.property(choices, (choice) => {
        expect(ttlOf(ttlText(choice), false, AT)).toEqual(choice);
      }),
    );
  });
});

interface Entry {
  readonly expiryMs: number | null;
  readonly elements: number;
}
type Databases = Map<string, Entry>[];
type Command = readonly string[];

const UNTIL = 5_000;
const key = fc.constantFrom('a', 'b', 'c');
const db = fc.constantFrom('0', '1');
const ms = fc.integer({ min: 1, max: 10_000 }).map(String);
const step = fc.oneof<fc.Arbitrary<Command>[]>(
  fc.tuple(fc.constant('SELECT'), db),
  fc.tuple(fc.constant('SET'), key, fc.constant('v')),
  fc.tuple(fc.constant('SET'), key, fc.constant('v'), fc.constant('PXAT'), ms),
  fc.tuple(fc.constant('SET'), key, fc.constant('v'), fc.constant('KEEPTTL')),
  fc.tuple(fc.constantFrom('PEXPIREAT'), key, ms),
  fc.tuple(fc.constantFrom('GETEX'), key, fc.constant('PXAT'), ms),
  fc.tuple(fc.constantFrom('PERSIST', 'DEL', 'RPUSH', 'LPOP'), key),
  fc.tuple(fc.constantFrom('RENAME', 'COPY'), key, key),
  fc.tuple(fc.constant('MOVE'), key, db),
  fc.tuple(fc.constant('SWAPDB'), db, db),
  fc.constant(['FLUSHDB']),
);

/** Runs a command as a server whose expiry is frozen; false when it has no effect, and no log. */
function run(all: Databases, at: number, [name, k = '', ...rest]: Command): boolean {
  const keys = all[at]!;
  const old = keys.get(k);
  const put = (entry: Entry): boolean => keys.set(k, entry).has(k);
  const other = rest[0] ?? '';
  switch (name) {
    case 'SET':
      if (rest[1] === 'PXAT') return put({ expiryMs: Number(rest[2]), elements: 0 });
      return put({ expiryMs: rest[1] === 'KEEPTTL' ? (old?.expiryMs ?? null) : null, elements: 0 });
    case 'PEXPIREAT':
    case 'GETEX':
      return old !== undefined && put({ ...old, expiryMs: Number(rest.at(-1)) });
    case 'PERSIST':
      return old?.expiryMs != null && put({ ...old, expiryMs: null });
    case 'DEL':
      return keys.delete(k);
    case 'RPUSH':
      if (old?.elements === 0) return false; // a string
      return put({ expiryMs: old?.expiryMs ?? null, elements: (old?.elements ?? 0) + 1 });
    case 'LPOP':
      if (old === undefined || old.elements === 0) return false;
      if (old.elements === 1) return keys.delete(k);
      return put({ ...old, elements: old.elements - 1 });
    case 'RENAME':
      if (old === undefined || other === k) return false;
      keys.delete(k);
      return keys.set(other, old).has(other);
    case 'COPY':
      if (old === undefined || other === k || keys.has(other)) return false;
      return keys.set(other, old).has(other);
    case 'MOVE': {
      const to = all[Number(other)]!;
      if (old === undefined || to === keys || to.has(k)) return false;
      keys.delete(k);
      return to.set(k, old).has(k);
    }
    case 'SWAPDB':
      [all[Number(k)], all[Number(other)]] = [all[Number(other)]!, all[Number(k)]!];
      return true;
    default:
      keys.clear();
      return true;
  }
}

describe('VanishForecast', () => {
  it('tells what a server would hold that has expired: exactly, or as many at most', () => {
    const sizes = fc.array(fc.integer({ min: 1, max: 200 }), { minLength: 1, maxLength: 5 });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), sizes, (steps, cuts) => {
        const all: Databases = [new Map<string, Entry>(), new Map<string, Entry>()];
        const log: Buffer[] = [];
        let at = 0;
        for (const one of steps) {
          if (one[0] === 'SELECT') at = Number(one[1]);
          else if (!run(all, at, one)) continue;
          log.push(command(...(one[0] === 'RPUSH' ? [...one, 'x'] : one)));
        }
        const rule: TtlRule = { mode: 'absolute', atMs: 0, nowMs: UNTIL };
        const forecast = new VanishForecast(rule, UNTIL);
        const decoder = new CommandDecoder();
        for (const chunk of split(Buffer.concat(log), ...cuts)) {
          for (const batch of decoder.push(chunk)) forecast.noteCommands(batch);
        }
        const held = all.flatMap((keys) =>
          [...keys.values()].filter(({ expiryMs }) => expiryMs !== null && expiryMs <= UNTIL),
        );
        const { count, bound } = forecast.result();
        if (bound === 'exact') expect(count).toBe(held.length);
        else expect([bound, count >= held.length]).toEqual(['atMost', true]);
        // Only what was taken from a list is uncertain.
        if (!steps.some(([name]) => name === 'LPOP')) expect(bound).toBe('exact');
      }),
      { numRuns: 400 },
    );
  });
});
