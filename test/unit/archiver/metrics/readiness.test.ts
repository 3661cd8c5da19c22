import { describe, expect, it } from 'vitest';
import {
  failedStatus,
  type CaptureStatus,
} from '../../../../services/archiver/src/capture/capture-status.ts';
import { captureSamples } from '../../../../services/archiver/src/metrics/capture-samples.ts';
import { stallMsOf, StallWatch } from '../../../../services/archiver/src/metrics/readiness.ts';

const STALL_MS = 60_000;

function capture(more: Partial<CaptureStatus> = {}): CaptureStatus {
  const base = failedStatus('orders', null);
  return { ...base, state: 'caught-up', source: 'aof', provenTo: 1_000, lagSeconds: 0, ...more };
}

function watch(): { readonly stalls: StallWatch; readonly pass: (ms: number) => void } {
  let nowMs = 0;
  const stalls = new StallWatch({ monotonicMs: () => nowMs }, STALL_MS);
  return { stalls, pass: (ms) => void (nowMs += ms) };
}

const codes = (stalls: StallWatch, ...captures: readonly CaptureStatus[]): readonly string[] =>
  stalls.readiness(captures).reasons.map(({ code }) => code);

describe('readiness of an archiver', () => {
  it('ends when a proven second stands still for the limit, and not before', () => {
    const { stalls, pass } = watch();
    expect(codes(stalls, capture())).toEqual([]);
    pass(STALL_MS - 1);
    expect(codes(stalls, capture())).toEqual([]);
    pass(1);
    expect(codes(stalls, capture())).toEqual(['stalled']);
    expect(stalls.readiness([capture()]).reasons[0]).toMatchObject({ instance: 'orders' });
    expect(codes(stalls, capture({ provenTo: 1_001 }))).toEqual([]);
  });

  it('counts any other second as progress: a clock may be set back', () => {
    const { stalls, pass } = watch();
    stalls.note([capture()]);
    pass(STALL_MS);
    expect(codes(stalls, capture({ provenTo: 900 }))).toEqual([]);
  });

  it('knows a capture that stood still before it was looked at, by its lag', () => {
    const { stalls } = watch();
    expect(codes(stalls, capture({ lagSeconds: 61 }))).toEqual(['stalled']);
  });

  it('no second yet is a start, then a stall; a failed capture that proves nothing stalls too', () => {
    const { stalls, pass } = watch();
    const starting = capture({ state: 'starting', provenTo: null });
    expect(codes(stalls, starting)).toEqual(['starting']);
    pass(STALL_MS);
    expect(codes(stalls, starting)).toEqual(['stalled']);
    const failure = {
      code: 'TM_NODE_UNREACHABLE',
      message: 'secret-host',
      hint: null,
      sinceMs: 0,
    } as const;
    const failed = capture({ state: 'failed', provenTo: null, failure });
    expect(codes(stalls, failed)).toEqual(['stalled', 'capture-failed']);
    expect(JSON.stringify(stalls.readiness([failed]))).not.toContain('secret-host');
  });

  it('names a store that is away at once, and each instance by itself', () => {
    const { stalls } = watch();
    const away = capture({ instance: 'carts', storeError: 'bucket-name is away' });
    const { reasons, notes } = stalls.readiness([capture(), away]);
    expect(reasons).toEqual([
      { code: 'store-away', instance: 'carts', detail: 'store, keys or spool take nothing now' },
    ]);
    expect(notes).toEqual([]);
  });

  it('asks nothing of an instance that its policy or another archiver keeps it from', () => {
    const { stalls, pass } = watch();
    for (const state of ['waiting', 'snapshots-only'] as const) {
      const resting = capture({ state, provenTo: null, lagSeconds: null });
      expect(codes(stalls, resting)).toEqual([]);
      pass(STALL_MS);
      expect(codes(stalls, resting)).toEqual([]);
      expect(captureSamples([resting], { shard: '0', spoolBytesMax: 1 })).toEqual([]);
    }
    expect(codes(stalls, capture())).toEqual([]); // it begins anew when it is to move again
  });

  it('forgets an instance that is captured no more', () => {
    const { stalls, pass } = watch();
    stalls.note([capture()]);
    stalls.note([]);
    pass(STALL_MS);
    expect(codes(stalls, capture())).toEqual([]);
  });

  it('waits for three rolls or signs of life where a minute is shorter', () => {
    expect(stallMsOf({ rollMaxAgeMs: 1_000, heartbeatMs: 20_000 })).toBe(60_000);
    expect(stallMsOf({ rollMaxAgeMs: 30_000, heartbeatMs: 20_000 })).toBe(90_000);
    expect(stallMsOf({ rollMaxAgeMs: 1_000, heartbeatMs: 60_000 })).toBe(180_000);
  });
});
