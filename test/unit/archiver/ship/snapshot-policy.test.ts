import { describe, expect, it } from 'vitest';
import {
  wantsSnapshot,
  neededRewrite,
} from '../../../../services/archiver/src/ship/snapshot-policy.ts';

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

describe('neededRewrite()', () => {
  const MIB = 1024n * 1024n;
  const timeline = (end: bigint, rdbBytes: number): Parameters<typeof neededRewrite>[0] => ({
    end,
    snapshot: { offset: 100n, rdbBytes, endedMs: 0 },
  });

  it('is there without a timeline and without a snapshot', () => {
    expect(neededRewrite(null, 0)).toBe('no-snapshot');
    expect(neededRewrite({ end: 0n, snapshot: null }, 0)).toBe('no-snapshot');
  });

  it('is there once the log outgrew the snapshot, and 64 MiB', () => {
    expect(neededRewrite(timeline(100n + 64n * MIB, 10), 0)).toBe('none');
    expect(neededRewrite(timeline(101n + 64n * MIB, 10), 0)).toBe('long-log');
    const large = Number(100n * MIB);
    expect(neededRewrite(timeline(100n + 100n * MIB, large), 0)).toBe('none');
    expect(neededRewrite(timeline(101n + 100n * MIB, large), 0)).toBe('long-log');
  });

  it('is there after a day in which something was written', () => {
    const day = 86_400_000;
    expect(neededRewrite(timeline(101n, 10), day - 1)).toBe('none');
    expect(neededRewrite(timeline(101n, 10), day)).toBe('long-log');
    expect(neededRewrite(timeline(100n, 10), 9 * day)).toBe('none');
  });
});
