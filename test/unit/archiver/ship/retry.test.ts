import { StoreError, TidemarkError, type ErrorCode } from '@tidemark/core';
import { describe, expect, it } from 'vitest';
import { retrying } from '../../../../services/archiver/src/ship/retry.ts';
import { steppingClock } from '../../../support/stepping-clock.ts';

function setUp() {
  const clock = steppingClock(0);
  const stop = new AbortController();
  const told: string[] = [];
  const options = {
    clock,
    signal: stop.signal,
    onRetry: ({ code }: TidemarkError): void => {
      told.push(code);
    },
    onRecovered: (): void => {
      told.push('recovered');
    },
  };
  return { clock, stop, told, options };
}

/** Fails as often as there are codes, then gives `done`. */
const failing = (...codes: readonly ErrorCode[]): (() => Promise<string>) => {
  const left = [...codes];
  return () => {
    const code = left.shift();
    return code === undefined
      ? Promise.resolve('done')
      : Promise.reject(new TidemarkError(code, 'failed'));
  };
};

describe('retrying()', () => {
  it('does the work once when it succeeds', async () => {
    const { options, clock, told } = setUp();
    expect(await retrying(options, failing())).toBe('done');
    expect([clock.pauses, told]).toEqual([[], []]);
  });

  it('waits for the store, and for room in it and in the spool, and says so', async () => {
    const { options, told } = setUp();
    const codes: ErrorCode[] = ['TM_STORE_IO', 'TM_SPOOL', 'TM_STORE_FULL', 'TM_NODE_UNREACHABLE'];
    expect(await retrying(options, failing(...codes))).toBe('done');
    expect(told).toEqual([...codes, 'recovered']);
  });

  it('pauses longer each time, 5 s at most', async () => {
    const { options, clock } = setUp();
    const codes = Array.from({ length: 11 }, (): ErrorCode => 'TM_STORE_IO');
    await retrying(options, failing(...codes));
    expect(clock.pauses).toEqual([
      ...[200, 400, 800, 1_600, 3_200, 5_000, 5_000, 5_000, 5_000, 5_000, 5_000],
    ]);
  });

  it('asks for a key that is refused again and again, but not often', async () => {
    const { options, clock, told } = setUp();
    const codes = Array.from({ length: 10 }, (_, at): ErrorCode =>
      at % 2 === 0 ? 'TM_KEY_DENIED' : 'TM_KEY_DISABLED',
    );
    await retrying(options, failing(...codes));
    expect(clock.pauses.slice(-2)).toEqual([30_000, 30_000]);
    expect(told).toEqual([...codes, 'recovered']);
  });

  it.each<ErrorCode>(['TM_LOG_OWNER', 'TM_LOG_STATE', 'TM_STORE_KEY', 'TM_KEY_RING'])(
    'does not repeat what time does not mend: %s',
    async (code) => {
      const { options, clock } = setUp();
      await expect(retrying(options, failing(code))).rejects.toMatchObject({ code });
      expect(clock.pauses).toEqual([]);
    },
  );

  it('does not repeat a fault of the program', async () => {
    const { options, clock } = setUp();
    const fault = new TypeError('x is not a function');
    await expect(retrying(options, () => Promise.reject(fault))).rejects.toBe(fault);
    expect(clock.pauses).toEqual([]);
  });

  it('ends with the signal: its reason from a pause, the error from the work', async () => {
    const { options, stop } = setUp();
    const reason = new Error('stopped');
    const error = new StoreError('TM_STORE_IO', 'away');
    let calls = 0;
    const work = (): Promise<never> => {
      calls += 1;
      if (calls === 3) stop.abort(reason);
      return Promise.reject(error);
    };
    await expect(retrying(options, work)).rejects.toBe(error);
    const other = setUp();
    other.options.onRetry = () => {
      other.stop.abort(reason);
    };
    await expect(retrying(other.options, () => Promise.reject(error))).rejects.toBe(reason);
  });
});
