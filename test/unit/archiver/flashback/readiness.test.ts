import { describe, expect, it } from 'vitest';
import {
  failedStatus,
  restingStatus,
} from '../../../../services/archiver/src/capture/capture-status.ts';
import { StallWatch } from '../../../../services/archiver/src/metrics/readiness.ts';
import { steppingClock } from '../../../support/stepping-clock.ts';

describe('StallWatch', () => {
  it('waits for no second of an instance without flashback, and anew once it has it again', () => {
    const clock = steppingClock(0);
    const watch = new StallWatch(clock, 60_000);
    const resting = [restingStatus('shop')];
    for (let minute = 0; minute < 5; minute++) {
      expect(watch.readiness(resting).reasons).toEqual([]);
      clock.now += 60_000;
    }
    const begun = [{ ...failedStatus('shop', null), state: 'caught-up', provenTo: 7 } as const];
    expect(watch.readiness(begun).reasons).toEqual([]);
    clock.now += 60_000;
    expect(watch.readiness(begun).reasons).toMatchObject([{ code: 'stalled', instance: 'shop' }]);
  });
});
