import { NodeError } from '@tidemark/core';
import { describe, expect, it } from 'vitest';
import { LinkPace } from '../../../../../services/archiver/src/capture/psync/link-pace.ts';

const HOUR = 3_600_000;
const passing = new NodeError('TM_REPLICATION', 'it broke');
const lasting = new NodeError('TM_NODE_RIGHTS', 'not allowed');
/** Draws the same share of the whole each time. */
const drawing = (share: number, pastSyncs: readonly number[] = []): LinkPace => {
  const random = {
    bytes(count: number) {
      const bytes = Buffer.alloc(count);
      bytes.writeUInt32BE(Math.floor(share * 0xffff_ffff));
      return bytes;
    },
  };
  return new LinkPace(random, pastSyncs);
};

describe('LinkPace.afterFault()', () => {
  it('doubles with each fault that passes, up to half a minute, anywhere below', () => {
    const [most, least] = [drawing(1), drawing(0)];
    const pauses = Array.from({ length: 9 }, () => most.afterFault(passing));
    expect(pauses).toEqual([250, 500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]);
    expect(least.afterFault(passing)).toBe(0);
  });

  it('is long for what somebody has to mend', () => {
    const [most, least] = [drawing(1), drawing(0)];
    const pauses = Array.from({ length: 8 }, () => most.afterFault(lasting));
    expect(pauses).toEqual([5_000, 10_000, 20_000, 40_000, 80_000, 160_000, 300_000, 300_000]);
    expect(least.afterFault(lasting)).toBe(2_500);
  });

  it('begins anew once a link was steady', () => {
    const pace = drawing(1);
    for (let faults = 0; faults < 5; faults++) pace.afterFault(passing);
    pace.noteSteady();
    expect(pace.afterFault(passing)).toBe(250);
  });
});

describe('LinkPace.untilSync()', () => {
  it('lets three come at once, and then ever fewer: never a loop', () => {
    const pace = drawing(0);
    const begun: number[] = [];
    for (let now = 0; now < HOUR; now += 1_000) {
      if (pace.untilSync(now) > 0) continue;
      pace.noteSync(now);
      begun.push(now);
    }
    expect(begun.slice(0, 6)).toEqual([0, 1_000, 2_000, 17_000, 47_000, 107_000]);
    expect(begun.length).toBeLessThanOrEqual(11);
  });

  it('counts those of an earlier run', () => {
    expect(drawing(0, [-3_000, -2_000, -1_000]).untilSync(0)).toBe(14_000);
    expect(drawing(0, [-HOUR, -2_000, -1_000]).untilSync(0)).toBe(0);
  });

  it('forgets those of more than an hour ago', () => {
    const pace = drawing(0);
    for (let syncs = 0; syncs < 5; syncs++) pace.noteSync(0);
    expect(pace.untilSync(1_000)).toBeGreaterThan(0);
    expect(pace.untilSync(HOUR)).toBe(0);
  });
});
