import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { StreamLedger } from '../../libs/replication/src/feed/ledger.ts';

const step = fc.oneof(
  fc.record({ kind: fc.constant('commands'), bytes: fc.integer({ min: 1, max: 50 }) }),
  fc.record({ kind: fc.constant('insert'), bytes: fc.integer({ min: 1, max: 50 }) }),
  fc.record({ kind: fc.constant('rewind'), bytes: fc.integer({ min: 0, max: 120 }) }),
);

describe('StreamLedger', () => {
  it('maps offsets as a list of every byte that was sent does', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const ledger = new StreamLedger(7n);
        let sent: boolean[] = []; // true: a byte of the command stream
        const commands = (bytes: boolean[]): bigint => BigInt(bytes.filter(Boolean).length);
        for (const { kind, bytes } of steps) {
          if (kind === 'commands') ledger.addCommands(bytes);
          if (kind === 'insert') ledger.insert(bytes);
          if (kind === 'rewind') {
            sent = sent.slice(0, Math.max(0, sent.length - bytes));
            expect(ledger.rewind(7n + BigInt(sent.length))).toBe(commands(sent));
          } else {
            sent.push(...Array.from({ length: bytes }, () => kind === 'commands'));
          }
          expect(ledger.sent).toBe(7n + BigInt(sent.length));
          expect(ledger.commandBytes).toBe(commands(sent));
        }
      }),
      { numRuns: 300 },
    );
  });
});
