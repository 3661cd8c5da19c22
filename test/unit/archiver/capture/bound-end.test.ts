import { describe, expect, it } from 'vitest';
import { boundEnd } from '../../../../services/archiver/src/capture/bound-end.ts';
import { steppingClock } from '../../../support/stepping-clock.ts';

const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('boundEnd()', () => {
  it('aborts what goes on 30 s after the end was asked for, with an error to try again', async () => {
    const clock = steppingClock(0);
    const [asked, stop] = [new AbortController(), new AbortController()];
    boundEnd(asked.signal, stop, clock);
    await settle();
    expect([stop.signal.aborted, clock.pauses]).toEqual([false, []]);
    asked.abort();
    await settle();
    await settle();
    expect(clock.pauses).toEqual([30_000]);
    expect(stop.signal.reason).toMatchObject({ code: 'TM_STORE_IO', exitCode: 16 });
  });

  it('counts from now when the end was asked for already', async () => {
    const clock = steppingClock(0);
    const stop = new AbortController();
    boundEnd(AbortSignal.abort(), stop, clock);
    await settle();
    await settle();
    expect(stop.signal.aborted).toBe(true);
  });

  it('does nothing more once all is over', async () => {
    const clock = steppingClock(0);
    const [asked, stop] = [new AbortController(), new AbortController()];
    boundEnd(asked.signal, stop, clock);
    const over = new Error('over');
    stop.abort(over);
    asked.abort();
    await settle();
    expect([clock.pauses, stop.signal.reason]).toEqual([[], over]);
  });
});
