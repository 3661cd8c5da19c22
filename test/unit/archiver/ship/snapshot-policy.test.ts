import { describe, expect, it } from 'vitest';
import { wantsSnapshot } from '../../../../services/archiver/src/ship/snapshot-policy.ts';

const DAY_MS = 24 * 3_600_000;
const last = { offset: 1_000n, rdbBytes: 500, endedMs: 10_000 };
const offered = (offset: bigint, requested = false) => ({ offset, requested });

describe('wantsSnapshot()', () => {
  it('takes the first of a timeline and one that was asked for', () => {
    expect(wantsSnapshot(null, offered(0n), 0)).toBe(true);
    expect(wantsSnapshot(last, offered(1_000n, true), 10_000)).toBe(true);
  });

  it('takes one when the log since the last exceeds its size', () => {
    expect(wantsSnapshot(last, offered(1_500n), 10_000)).toBe(false);
    expect(wantsSnapshot(last, offered(1_501n), 10_000)).toBe(true);
  });

  it('takes one after 24 hours, if anything was written', () => {
    expect(wantsSnapshot(last, offered(1_001n), 10_000 + DAY_MS - 1)).toBe(false);
    expect(wantsSnapshot(last, offered(1_001n), 10_000 + DAY_MS)).toBe(true);
    expect(wantsSnapshot(last, offered(1_000n), 10_000 + 2 * DAY_MS)).toBe(false);
  });

  it('takes none that is older than the last', () => {
    expect(wantsSnapshot(last, offered(100n), 10_000 + 2 * DAY_MS)).toBe(false);
  });
});
