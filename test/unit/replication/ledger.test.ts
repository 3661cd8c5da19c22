import { describe, expect, it } from 'vitest';
import { StreamLedger } from '../../../libs/replication/src/feed/ledger.ts';

/** Commands 0-100, 14 bytes of ours, commands 100-150, 14 + 37 of ours at the end; base 1000. */
function sample(): StreamLedger {
  const ledger = new StreamLedger(1000n);
  ledger.addCommands(100);
  ledger.insert(14);
  ledger.addCommands(50);
  ledger.insert(14);
  ledger.insert(37);
  return ledger;
}

describe('StreamLedger', () => {
  it('counts inserted bytes in the offset and not in the command position', () => {
    const ledger = sample();
    expect(ledger.sent).toBe(1215n);
    expect(ledger.commandBytes).toBe(150n);
  });

  it.each([
    [1215n, 150n],
    [1178n, 150n],
    [1164n, 150n],
    [1163n, 149n],
    [1114n, 100n],
    [1107n, 100n],
    [1100n, 100n],
    [1099n, 99n],
    [1000n, 0n],
  ])('maps offset %s to command position %s and goes on from there', (offset, position) => {
    const ledger = sample();
    expect(ledger.rewind(offset)).toBe(position);
    expect(ledger.sent).toBe(offset);
    expect(ledger.commandBytes).toBe(position);
    ledger.addCommands(7);
    expect(ledger.sent).toBe(offset + 7n);
    expect(ledger.rewind(offset)).toBe(position);
  });

  it('refuses offsets before the base and after the last byte, and changes nothing', () => {
    const ledger = sample();
    expect(ledger.rewind(999n)).toBeNull();
    expect(ledger.rewind(1216n)).toBeNull();
    expect(ledger.sent).toBe(1215n);
  });

  it('gives up the oldest offsets when there are very many insertions, and stays exact', () => {
    const ledger = new StreamLedger(0n);
    for (let i = 0; i < 5000; i++) {
      ledger.addCommands(10);
      ledger.insert(14);
    }
    expect(ledger.sent).toBe(120_000n);
    expect(ledger.covers(0n)).toBe(false);
    expect(ledger.rewind(24n * 4900n)).toBe(49_000n);
    expect(ledger.rewind(24n * 4100n)).toBe(41_000n);
    expect(ledger.rewind(24n * 100n)).toBeNull();
  });

  it('merges insertions at one position, so that idling does not fill the list', () => {
    const ledger = new StreamLedger(0n);
    ledger.addCommands(10);
    for (let i = 0; i < 5000; i++) ledger.insert(14);
    expect(ledger.rewind(5n)).toBe(5n);
  });
});
