import { describe, expect, it } from 'vitest';
import { droppableBackups } from '../../../libs/catalog/src/retention/droppable.ts';
import type {
  RetentionShard,
  RetentionTimeline,
} from '../../../libs/catalog/src/retention/history.ts';
import { chooseLogCut, neededFacts } from '../../../libs/catalog/src/retention/log-cut.ts';
import { neededFrom, type KeepRules } from '../../../libs/catalog/src/retention/needed-from.ts';
import { isFree } from '../../../libs/catalog/src/retention/recheck.ts';

/** A timeline with a snapshot at each of some seconds, 10 bytes of log a second. */
function timeline(
  name: string,
  snapshots: readonly number[],
  to: number | null,
  over: Partial<RetentionTimeline> = {},
): RetentionTimeline {
  const [first = 0] = snapshots;
  return {
    ...{ timeline: name, from: snapshots[0] ?? null, fromOffset: 0n, to, steps: [] },
    ...{ closedBecause: null, openedBecause: 'attach', open: false },
    end: BigInt(((to ?? first) - first) * 10 + 10),
    snapshots: snapshots.map((from) => ({
      ...{ backup: `bk-${name}-${String(from)}`, from },
      offset: BigInt((from - first) * 10),
    })),
    ...over,
  };
}

function shard(...timelines: RetentionTimeline[]): RetentionShard {
  const order = timelines.map((each) => each.timeline);
  return { shard: '0', writers: [{ writer: 'w', timelines }], order };
}

const from = (one: RetentionShard, rules: Partial<KeepRules>): unknown =>
  neededFrom(one, { retainSeconds: 30, leases: [], ...rules }).get('w');

describe('neededFrom()', () => {
  it('begins with the newest snapshot before the retention', () => {
    const one = shard(timeline('t1', [100, 120, 140, 160, 180], 199));
    expect(from(one, {})).toEqual({ index: 0, offset: 600n });
    expect(from(one, { retainSeconds: 40 })).toEqual({ index: 0, offset: 600n });
    expect(from(one, { retainSeconds: 41 })).toEqual({ index: 0, offset: 400n });
    expect(from(one, { retainSeconds: 100_000 })).toEqual({ index: 0, offset: 0n });
  });

  it('keeps the newest snapshot, however old', () => {
    expect(from(shard(timeline('t1', [100], 10_000)), {})).toEqual({ index: 0, offset: 0n });
    const one = shard(timeline('t1', [100], 110), timeline('t2', [], 9_000));
    expect(from(one, { retainSeconds: 1 })).toEqual({ index: 0, offset: 0n });
  });

  it('keeps as many of the newest snapshots as the policy says, however old', () => {
    const one = shard(
      timeline('t1', [100, 120], 130),
      timeline('t2', [200, 220, 240], 250),
      timeline('t3', [], 100_000),
    );
    const rules = { retainSeconds: 1 };
    expect(from(one, rules)).toEqual({ index: 1, offset: 400n });
    expect(from(one, { ...rules, keepLast: 2 })).toEqual({ index: 1, offset: 200n });
    expect(from(one, { ...rules, keepLast: 4 })).toEqual({ index: 0, offset: 200n });
    expect(from(one, { ...rules, keepLast: 1000 })).toEqual({ index: 0, offset: 0n });
    // What still has more than enough within the retention keeps no more for it.
    expect(from(one, { retainSeconds: 100_000, keepLast: 2 })).toEqual({ index: 0, offset: 0n });
  });

  it('counts only backups whose key is there among the newest', () => {
    const whole = timeline('t1', [100, 120, 140, 160], 100_000);
    const shredded = {
      ...whole,
      snapshots: whole.snapshots.map((each) =>
        each.from === 140 ? { ...each, shredded: true } : each,
      ),
    };
    const rules = { retainSeconds: 1, keepLast: 3 };
    expect(from(shard(whole), rules)).toEqual({ index: 0, offset: 200n });
    expect(from(shard(shredded), rules)).toEqual({ index: 0, offset: 0n });
  });

  it('keeps older timelines within the retention, and all of one that waits for a snapshot', () => {
    const old = timeline('t1', [100, 150], 180);
    const one = shard(old, timeline('t2', [190], 199));
    expect(from(one, {})).toEqual({ index: 0, offset: 500n });
    expect(from(one, { retainSeconds: 10 })).toEqual({ index: 1, offset: 0n });
    const waiting = shard(
      old,
      timeline('t2', [190], 199),
      timeline('t3', [], null, { open: true }),
    );
    expect(from(waiting, { retainSeconds: 10 })).toEqual({ index: 1, offset: 0n });
  });

  it('keeps a closed timeline whose first snapshot may still be on its way', () => {
    const fresh = shard(timeline('t1', [], null, { end: 900n }));
    expect(from(fresh, {})).toEqual({ index: 0, offset: 0n });
    const old = shard(timeline('t1', [], null), timeline('t2', [100], 199));
    expect(from(old, { retainSeconds: 1_000 })).toEqual({ index: 0, offset: 0n });
    expect(from(old, {})).toEqual({ index: 1, offset: 0n });
  });

  it('takes no snapshot whose key was destroyed for one that serves', () => {
    const without = (second: number, over: Partial<RetentionTimeline> = {}): RetentionShard => {
      const whole = timeline('t1', [100, 120, 140, 160, 180], 199, over);
      const snapshots = whole.snapshots.map((one) => ({ ...one, shredded: one.from === second }));
      return shard({ ...whole, snapshots });
    };
    expect(from(without(160), {})).toEqual({ index: 0, offset: 400n });
    for (const open of [true, false]) {
      expect(from(without(180, { open }), { retainSeconds: 1 })).toEqual({
        index: 0,
        offset: 600n,
      });
    }
    const floors = [{ writer: 'w', timeline: 't1', offset: 600n }];
    expect(isFree([without(160)], floors, { retainSeconds: 30, leases: [] })).toBe(false);
    expect(isFree([without(120)], floors, { retainSeconds: 30, leases: [] })).toBe(true);
  });

  it('keeps what a lease reads from its second on', () => {
    const one = shard(timeline('t1', [100, 120, 140, 160, 180], 199));
    expect(from(one, { leases: [{ fromSecond: 139 }] })).toEqual({ index: 0, offset: 200n });
    expect(from(one, { leases: [{ fromSecond: 140 }] })).toEqual({ index: 0, offset: 400n });
    expect(from(one, { leases: [{ fromSecond: 1 }] })).toEqual({ index: 0, offset: 0n });
  });

  it('counts no time that nobody watched, and none that a clock jumped over', () => {
    const gap = shard(timeline('t1', [100, 110], 119), timeline('t2', [1_000_000], 1_000_009));
    expect(from(gap, {})).toEqual({ index: 0, offset: 0n });
    expect(from(gap, { retainSeconds: 15 })).toEqual({ index: 0, offset: 100n });
    expect(from(gap, { retainSeconds: 5 })).toEqual({ index: 1, offset: 0n });
    const jump = { before: 200n, offset: 200n, provenTo: null, direction: 'forward' as const };
    const ahead = timeline('t1', [100, 110], 400_000_000, {
      steps: [{ ...jump, untilMs: 119_999, fromMs: 119_999, toMs: 4e11, sinceMs: 4e11 }],
    });
    expect(from(shard(ahead), { retainSeconds: 19 })).toEqual({ index: 0, offset: 0n });
  });
});

describe('neededFrom() of times without a write', () => {
  const written = [
    { stretch: 0, from: 100, to: 199 },
    { stretch: 0, from: 1_000_000, to: 1_000_010 },
  ];
  const away = timeline('t1', [100, 120, 140, 160, 180], 1_000_010, { written });

  it('counts none that may be a clock that was set while the archiver was away', () => {
    expect(from(shard(away), { retainSeconds: 90 })).toEqual({ index: 0, offset: 200n });
    // Of the days that follow on the last write nothing is known either.
    const quiet = { ...away, to: 9_000_000 };
    expect(from(shard(quiet), { retainSeconds: 90 })).toEqual({ index: 0, offset: 200n });
  });

  it('counts a silence that is short for the retention', () => {
    const nine = timeline('t1', [100, 120, 140, 160, 180], 320, { written: [] });
    const pause = [
      { stretch: 0, from: 100, to: 199 },
      { stretch: 0, from: 250, to: 320 },
    ];
    const rules = { retainSeconds: 150 };
    expect(from(shard({ ...nine, written: pause }), rules)).toEqual({ index: 0, offset: 600n });
  });
});

describe('isFree()', () => {
  it('finds out whether floors hide what is needed by now', () => {
    const one = shard(timeline('t1', [100, 120, 140, 160, 180], 199));
    const floors = [{ writer: 'w', timeline: 't1', offset: 600n }];
    const rules = { retainSeconds: 30, leases: [] };
    expect(isFree([one], floors, rules)).toBe(true);
    expect(isFree([one], floors, { ...rules, retainSeconds: 50 })).toBe(false);
    expect(isFree([one], floors, { ...rules, leases: [{ fromSecond: 150 }] })).toBe(false);
  });
});

describe('what of a log goes', () => {
  it('lies below the newest checkpoint before the first entry that is needed', () => {
    const checkpoints = [1024, 2048, 3072];
    expect(chooseLogCut({ checkpoints, neededSeq: 2500, lastSeq: 4000 })).toBe(2048);
    expect(chooseLogCut({ checkpoints, neededSeq: 2048, lastSeq: 4000 })).toBe(1024);
    expect(chooseLogCut({ checkpoints, neededSeq: null, lastSeq: 4000 })).toBe(3072);
    expect(chooseLogCut({ checkpoints, neededSeq: 1024, lastSeq: 4000 })).toBeNull();
    expect(chooseLogCut({ checkpoints, neededSeq: null, lastSeq: 3072 })).toBe(2048);
  });

  it('spares the facts that the first kept second needs', () => {
    const facts = [10, 20, 30].map((atMs) => ({ seq: atMs, atMs: atMs * 1000, dekId: '' }));
    expect(neededFacts(facts, 25)?.seq).toBe(20);
    expect(neededFacts(facts, 5)?.seq).toBe(10);
    expect(neededFacts(facts, null)?.seq).toBe(30);
    expect(neededFacts([], 5)).toBeNull();
  });
});

describe('droppableBackups()', () => {
  const free = (one: RetentionShard, fromSecond: number): readonly string[] => [
    ...droppableBackups([one], { leases: [{ fromSecond }] }),
  ];

  it('leaves what a lease reads where the key of the one behind it was destroyed', () => {
    const span = timeline('t1', [100, 200, 300], 399);
    const [s0, s1, s2] = span.snapshots;
    const snapshots = [s0!, { ...s1!, deleted: true }, { ...s2!, shredded: true }];
    expect(free(shard({ ...span, snapshots }), 350)).toEqual([]);
    // Beside one that serves the second it is not read.
    const whole = [s0!, { ...s1!, deleted: true }, s2!];
    expect(free(shard({ ...span, snapshots: whole }), 350)).toEqual([s1!.backup]);
  });

  it('leaves what a lease reads of seconds before a step back, whatever lies behind it', () => {
    const [before, offset] = [200n, 200n];
    const times = { untilMs: 1_100_000, fromMs: 1_100_000, toMs: 990_000, sinceMs: 990_000 };
    const snapshots = [
      { backup: 's0', offset: 0n, from: 900 },
      { backup: 's1', offset: 100n, from: 1000, deleted: true },
      { backup: 's2', offset: 300n, from: 1005 },
    ];
    const steps = [{ direction: 'back' as const, before, offset, ...times, provenTo: 1100 }];
    const one = shard(timeline('t1', [900], 1020, { steps, snapshots, open: true }));
    expect(free(one, 1050)).toEqual([]);
    // All of the stretch lies before the lease, and the last one serves what comes.
    expect(free(one, 1101)).toEqual(['s1']);
  });
});
