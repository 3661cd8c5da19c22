import { expect } from 'vitest';
import type { SecondResult } from '../../support/key-flashback/check-selections.ts';
import { describeSelections } from '../../support/key-flashback/selection-suite.ts';
import { chooseSeed } from '../../support/workload.ts';

const seed = chooseSeed('selected keys, long chains');

/** What share of the commands was replayed for the restores of few keys. */
function shareOfFew(results: readonly SecondResult[]): number[] {
  return results.flatMap(({ allCommands, reports, selected }) =>
    reports.filter((_, i) => (selected[i] ?? 0) <= 3).map(({ commands }) => commands / allCommands),
  );
}

describeSelections({
  name: 'selected keys at the end of long chains, no database being emptied',
  server: null,
  seed,
  seconds: 6,
  selectors: 12,
  workload: { globals: false },
  results(results) {
    const shares = shareOfFew(results);
    console.log(`share of commands for few keys: ${shares.map((n) => n.toFixed(2)).join(' ')}`);
    expect(shares.length).toBeGreaterThan(0);
    expect(Math.min(...shares)).toBeLessThan(0.5);
  },
});

describeSelections({
  name: 'selected keys of a history with SORT BY and GET, which may have read anything',
  server: null,
  seed: seed + 1,
  seconds: 3,
  selectors: 10,
  workload: { patterns: true, globals: false },
  results(results) {
    const reports = results.flatMap((one) => one.reports);
    const told = reports.filter(({ warnings }) => warnings.some((text) => /sort/i.test(text)));
    expect(told.length).toBeGreaterThan(0);
  },
});
