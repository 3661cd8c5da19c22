import type { SnapshotStored } from '@tidemark/catalog';
import { beforeEach, describe, expect, it } from 'vitest';
import { BaseDesk, type WantedBase } from '../../../../services/archiver/src/capture/base-desk.ts';
import type { SourceBase } from '../../../../services/archiver/src/capture/capture-source.ts';
import type { LastSnapshot } from '../../../../services/archiver/src/ship/snapshot-policy.ts';
import { fileBytes } from '../../../../services/archiver/src/ship/file-bytes.ts';
import { snapshot } from '../../../support/log-events.ts';

const base = (alignedSeq: number): SourceBase => ({
  name: `base-${alignedSeq}`,
  seq: alignedSeq,
  open: fileBytes(`/pins/base-${alignedSeq}`),
  size: 100,
  alignedSeq,
});
const LAST: LastSnapshot = { offset: 0n, rdbBytes: 1_000_000, endedMs: 0 };

interface Shipping extends WantedBase {
  readonly done: (stored: SnapshotStored) => void;
  readonly failed: (cause: unknown) => void;
}

let last: LastSnapshot | null;
let currentSeq: number;
let starts: Map<number, bigint>;
let shipping: Shipping[];
let released: string[];
let desk: BaseDesk;
beforeEach(() => {
  last = LAST;
  currentSeq = 5;
  starts = new Map([[5, 100n]]);
  shipping = [];
  released = [];
  desk = new BaseDesk({
    startOf: (seq) => {
      const offset = starts.get(seq);
      return offset === undefined ? null : { offset, secondBefore: 7 };
    },
    place: () => ({ seq: currentSeq, position: 0 }),
    last: () => last,
    nowMs: () => 1_000,
    ship: (wanted) =>
      new Promise((done, failed) => {
        shipping.push({ ...wanted, done, failed });
      }),
    release: ({ name }) => {
      released.push(name);
      return Promise.resolve();
    },
  });
});

const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const ships = (): [string, string][] => shipping.map(({ base: { name }, mode }) => [name, mode]);

describe('BaseDesk.offer()', () => {
  it('ships the empty dataset a log of commands begins with, but not as a backup', async () => {
    last = null;
    currentSeq = 4;
    const stored = desk.request('manual');
    currentSeq = 5;
    await desk.offer({ ...base(5), form: 'empty', open: null, size: 0 });
    await expect(stored).rejects.toMatchObject({
      code: 'TM_AOF_BASE',
      context: { base: 'base-5' },
      hint: expect.stringContaining('aof-use-rdb-preamble') as unknown,
    });
    expect(ships()).toEqual([['base-5', 'attach']]);
    expect(desk.rewritesGiveRdb).toBe(false);
  });

  it('takes no base of commands, and tells the one who waits for a backup why', async () => {
    last = null;
    const earlier = desk.request('manual');
    await desk.offer({ ...base(5), form: 'commands', open: null, size: 0 });
    expect(desk.requested).toBe(true); // its rewrite began before
    await desk.offer({ ...base(6), form: 'commands', open: null, size: 0 });
    await expect(earlier).rejects.toMatchObject({ code: 'TM_AOF_BASE' });
    expect([ships(), desk.occupied, desk.rewritesGiveRdb]).toEqual([[], false, false]);
    await desk.offer(base(5));
    expect(desk.rewritesGiveRdb).toBe(true);
  });

  it('ships the first base of a timeline and lets it go when it is stored', async () => {
    last = null;
    await desk.offer(base(5));
    expect(ships()).toEqual([['base-5', 'attach']]);
    expect(shipping[0]).toMatchObject({ offset: 100n, secondBefore: 7 });
    expect([desk.occupied, released]).toEqual([true, []]);
    shipping[0]!.done(snapshot(100n));
    await settle();
    expect([desk.occupied, released]).toEqual([false, ['base-5']]);
  });

  it('lets a base go that the policy does not want', async () => {
    await desk.offer(base(5));
    expect([ships(), released]).toEqual([[], ['base-5']]);
  });

  it('ships one that the policy wants as automated', async () => {
    starts.set(5, 2_000_000n);
    await desk.offer(base(5));
    expect(ships()).toEqual([['base-5', 'automated']]);
  });

  it('lets a base go whose place in the timeline is not known', async () => {
    last = null;
    starts.clear();
    await desk.offer(base(5));
    expect([ships(), released]).toEqual([[], ['base-5']]);
  });

  it('keeps a base until the tail has reached the file that it stands before', async () => {
    last = null;
    starts.set(6, 900n);
    await desk.offer(base(6));
    expect([ships(), released]).toEqual([[], []]);
    currentSeq = 6;
    await desk.look();
    expect(shipping[0]).toMatchObject({ offset: 900n, base: { name: 'base-6' } });
  });

  it('keeps only the newest of several that wait', async () => {
    await desk.offer(base(6));
    await desk.offer(base(7));
    expect(released).toEqual(['base-6']);
  });

  it('lets a base go that could not be shipped, and goes on with the next', async () => {
    last = null;
    starts.set(6, 900n);
    await desk.offer(base(5));
    currentSeq = 6;
    await desk.offer(base(6));
    expect(ships()).toHaveLength(1);
    shipping[0]!.failed(new Error('damaged'));
    await settle();
    expect(released).toEqual(['base-5']);
    expect(ships().map(([name]) => name)).toEqual(['base-5', 'base-6']);
  });
});

describe('BaseDesk.offer() after a break', () => {
  it('keeps a base that is offered again while it is shipped, until it is shipped again', async () => {
    last = null;
    await desk.offer(base(5));
    await desk.offer(base(5));
    shipping[0]!.failed(new Error('its timeline was closed'));
    await settle();
    expect([ships(), released]).toEqual([
      [
        ['base-5', 'attach'],
        ['base-5', 'attach'],
      ],
      [],
    ]);
    shipping[1]!.done(snapshot(100n));
    await settle();
    expect(released).toEqual(['base-5']);
  });
});

describe('BaseDesk.request("manual")', () => {
  it('takes the next base of a rewrite that began later, against the policy', async () => {
    const stored = desk.request('manual');
    await desk.offer(base(5)); // its rewrite had begun before
    expect([ships(), released, desk.requested]).toEqual([[], ['base-5'], true]);
    currentSeq = 6;
    starts.set(6, 101n);
    await desk.offer(base(6));
    expect(ships()).toEqual([['base-6', 'manual']]);
    const event = snapshot(101n);
    shipping[0]!.done(event);
    expect(await stored).toBe(event);
    expect(desk.requested).toBe(false);
  });

  it('rejects when its base cannot be shipped', async () => {
    const stored = desk.request('manual');
    currentSeq = 6;
    starts.set(6, 101n);
    await desk.offer(base(6));
    const cause = new Error('no room');
    shipping[0]!.failed(cause);
    await expect(stored).rejects.toBe(cause);
  });

  it('can be refused, and asked again', async () => {
    const stored = desk.request('manual');
    const cause = new Error('the node refuses');
    desk.refuse(cause);
    await expect(stored).rejects.toBe(cause);
    expect(desk.requested).toBe(false);
    desk.refuse(cause); // nothing to refuse
  });

  it('is left alone by the refusal of an earlier one', async () => {
    const first = desk.request('manual');
    desk.refuse(new Error('the node refuses'), first);
    await expect(first).rejects.toThrow('refuses');
    const second = desk.request('manual');
    desk.refuse(new Error('too late'), first);
    expect(desk.requested).toBe(true);
    desk.refuse(new Error('now'), second);
    await expect(second).rejects.toThrow('now');
  });
});

describe('BaseDesk.settled()', () => {
  it('waits for the snapshot under way', async () => {
    await desk.settled();
    last = null;
    await desk.offer(base(5));
    let over = false;
    const settled = desk.settled().then(() => (over = true));
    await settle();
    expect(over).toBe(false);
    shipping[0]!.failed(new Error('stopped'));
    await settled;
  });
});
