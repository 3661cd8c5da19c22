import { AofLogCheck, type AofLogFacts } from '@tidemark/aof';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { log } from '../support/command-log.ts';
import { damaged } from '../support/hostile/damage.ts';
import { Seeded } from '../support/hostile/seeded.ts';

const element: fc.Arbitrary<Buffer> = fc.oneof(
  fc
    .constantFrom('SET a b', 'SELECT 3', 'PING', `SET long ${'x'.repeat(200)}`)
    .map((line) => log(line)),
  fc.constant(log('MULTI', 'INCR n', 'EXEC')),
  fc.integer({ min: 1, max: 2_000_000_000 }).map((second) => Buffer.from(`#TS:${second}\r\n`)),
  fc.constantFrom(Buffer.from('#XX:1\r\n'), Buffer.from('#\n')),
);
const file = fc.array(element, { maxLength: 12 }).map((parts) => Buffer.concat(parts));

function facts(bytes: Buffer, sizes: readonly number[], origin = 0): AofLogFacts {
  const check = new AofLogCheck(origin);
  for (let at = 0, turn = 0; at < bytes.length; turn += 1) {
    const size = sizes[turn % sizes.length] ?? 1;
    check.push(bytes.subarray(at, at + size));
    at += size;
  }
  return check.end();
}

describe('AofLogCheck', () => {
  it('finds the same in a log however it is cut, sound or damaged', () => {
    const cut = fc.array(fc.integer({ min: 1, max: 60 }), { minLength: 1, maxLength: 5 });
    fc.assert(
      fc.property(file, fc.nat(), fc.boolean(), cut, (whole, seed, harm, sizes) => {
        const bytes = harm
          ? damaged(whole.length === 0 ? log('PING') : whole, new Seeded(seed))
          : whole;
        const expected = facts(bytes, [1 << 20]);
        expect(facts(bytes, sizes)).toEqual(expected);
        expect(facts(bytes, [1])).toEqual(expected);
      }),
      { numRuns: 500 },
    );
  });

  it('keeps a torn log up to a place from which on it is whole', () => {
    fc.assert(
      fc.property(file, fc.nat(), (whole, at) => {
        const end = at % (whole.length + 1);
        const { wholeTo, fault, commandBytes } = facts(whole.subarray(0, end), [1 << 20]);
        expect(wholeTo).toBeLessThanOrEqual(end);
        if (fault === null) expect(wholeTo).toBe(end);
        else expect(fault.code).toBe('TM_AOF_TRUNCATED');
        const kept = facts(whole.subarray(0, wholeTo), [1 << 20]);
        expect(kept.fault).toBe(null);
        expect(kept.commandBytes).toBeLessThanOrEqual(commandBytes);
        expect(facts(whole, [7], 1000).wholeTo).toBe(1000 + whole.length);
      }),
      { numRuns: 300 },
    );
  });
});
