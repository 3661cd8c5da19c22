import { systemClock, systemRandom } from '@tidemark/system';
import { describe, expect, it } from 'vitest';

describe('systemClock', () => {
  it('tells Unix milliseconds and a clock that does not go back', async () => {
    expect(Math.abs(systemClock.nowMs() - Date.now())).toBeLessThan(1_000);
    const before = systemClock.monotonicMs();
    await systemClock.sleep(20);
    expect(systemClock.monotonicMs() - before).toBeGreaterThanOrEqual(19);
  });

  it('rejects with the reason of the signal, at once and during the sleep', async () => {
    const reason = new Error('stopped');
    await expect(systemClock.sleep(60_000, AbortSignal.abort(reason))).rejects.toBe(reason);
    const abort = new AbortController();
    const sleep = systemClock.sleep(60_000, abort.signal);
    setTimeout(() => abort.abort(reason), 5);
    await expect(sleep).rejects.toBe(reason);
  });

  it('sleeps to its end when the signal is not aborted', async () => {
    await expect(systemClock.sleep(1, new AbortController().signal)).resolves.toBeUndefined();
    await expect(systemClock.sleep(0)).resolves.toBeUndefined();
  });
});

describe('systemRandom', () => {
  it('gives as many bytes as are asked for, others each time', () => {
    for (const count of [0, 1, 16, 4_096]) expect(systemRandom.bytes(count)).toHaveLength(count);
    expect(systemRandom.bytes(16)).not.toEqual(systemRandom.bytes(16));
  });
});
