import {
  decide,
  EMPTY_WRITER_STATE,
  evolve,
  logBytesSinceSnapshot,
  stretchOf,
  type WriterEvent,
  type WriterEventType,
  type WriterState,
} from '@tidemark/catalog';
import { TidemarkError } from '@tidemark/core';
import { describe, expect, it } from 'vitest';
import {
  claimed,
  closed,
  heartbeat,
  merged,
  nodeFacts,
  opened,
  proven,
  released,
  snapshot,
  stepped,
  stored,
} from '../../support/log-events.ts';

const digestOf = (seq: number): string => seq.toString(16).padStart(64, '0');

const fold = (...events: readonly WriterEvent[]): WriterState =>
  events.reduce<WriterState>(
    (state, event) => evolve(state, event, state.seq + 1, digestOf(state.seq + 1)),
    EMPTY_WRITER_STATE,
  );

const base = [claimed(), opened()] as const;
const ended = stored(0n, 100n, { after: { db: 2, inMulti: true, partialBytes: 7 } });
const states = {
  unclaimed: fold(),
  claimed: fold(claimed()),
  open: fold(...base, ended),
  closed: fold(...base, ended, closed(100n)),
  released: fold(...base, ended, released()),
} as const;
type State = keyof typeof states;

const next = stored(100n, 150n, { segment: { db: 2, inMulti: true, partialBytes: 7 } });
const events: Record<WriterEventType, WriterEvent> = {
  OwnerClaimed: claimed({ generation: 2, ownerId: 'spool-b' }),
  TimelineOpened: opened({ timeline: 't2', previous: 't1' }),
  SegmentStored: next,
  SegmentsMerged: merged(20n, 60n),
  SnapshotStored: snapshot(100n),
  Heartbeat: heartbeat(100n),
  TimelineClosed: closed(100n),
  ClockStepped: stepped(100n),
  NodeFactsStored: nodeFacts(),
  HoleProven: proven(),
  Released: released(),
};

type Expected = 'allowed' | RegExp;
const unclaimed = /no owner has claimed/;
const gone = /generation 1 has released/;
const none = /no timeline was opened/;

// Every state against every event: the compiler asks for each cell.
const table: Record<State, Record<WriterEventType, Expected>> = {
  unclaimed: {
    OwnerClaimed: 'allowed',
    TimelineOpened: unclaimed,
    SegmentStored: unclaimed,
    SegmentsMerged: unclaimed,
    SnapshotStored: unclaimed,
    Heartbeat: unclaimed,
    TimelineClosed: unclaimed,
    ClockStepped: unclaimed,
    NodeFactsStored: unclaimed,
    HoleProven: unclaimed,
    Released: unclaimed,
  },
  claimed: {
    OwnerClaimed: 'allowed',
    TimelineOpened: /previous timeline is null, not t1/,
    SegmentStored: none,
    SegmentsMerged: none,
    SnapshotStored: none,
    Heartbeat: /timeline t1 is not open/,
    TimelineClosed: none,
    ClockStepped: none,
    NodeFactsStored: 'allowed',
    HoleProven: none,
    Released: 'allowed',
  },
  open: {
    OwnerClaimed: 'allowed',
    TimelineOpened: /timeline t1 is open/,
    SegmentStored: 'allowed',
    SegmentsMerged: 'allowed',
    SnapshotStored: 'allowed',
    Heartbeat: 'allowed',
    TimelineClosed: 'allowed',
    ClockStepped: 'allowed',
    NodeFactsStored: 'allowed',
    HoleProven: /timeline t1 is the newest/,
    Released: 'allowed',
  },
  closed: {
    OwnerClaimed: 'allowed',
    TimelineOpened: 'allowed',
    SegmentStored: /timeline t1 is closed/,
    SegmentsMerged: 'allowed',
    SnapshotStored: 'allowed',
    Heartbeat: /timeline t1 is not open/,
    TimelineClosed: /timeline t1 is closed/,
    ClockStepped: /timeline t1 is closed/,
    NodeFactsStored: 'allowed',
    HoleProven: /timeline t1 is the newest/,
    Released: 'allowed',
  },
  released: {
    OwnerClaimed: 'allowed',
    TimelineOpened: gone,
    SegmentStored: gone,
    SegmentsMerged: gone,
    SnapshotStored: gone,
    Heartbeat: gone,
    TimelineClosed: gone,
    ClockStepped: gone,
    NodeFactsStored: gone,
    HoleProven: gone,
    Released: gone,
  },
};

function refusal(state: WriterState, event: WriterEvent): string | null {
  const tries = [
    () => decide(state, event),
    () => evolve(state, event, state.seq + 1, digestOf(state.seq + 1)),
  ];
  const messages = tries.map((attempt) => {
    try {
      attempt();
      return null;
    } catch (error) {
      expect(error).toBeInstanceOf(TidemarkError);
      expect(error).toMatchObject({
        code: 'TM_LOG_STATE',
        context: { seq: state.seq + 1, event: event.type },
      });
      return (error as TidemarkError).message;
    }
  });
  expect(messages[0]).toBe(messages[1]);
  return messages[0] ?? null;
}

describe('the rules of a writer log', () => {
  for (const [name, row] of Object.entries(table) as [State, (typeof table)[State]][]) {
    for (const [type, expected] of Object.entries(row) as [WriterEventType, Expected][]) {
      it(`${name}: ${type} is ${expected === 'allowed' ? 'allowed' : 'refused'}`, () => {
        const message = refusal(states[name], events[type]);
        if (expected === 'allowed') expect(message).toBeNull();
        else expect(message).toMatch(expected);
      });
    }
  }

  it.each([
    ['no bytes', merged(20n, 20n), /ends at 20, where it starts/],
    ['bytes that are not stored', merged(20n, 101n), /ends at 101, beyond the durable end 100/],
    ['a length that lies', merged(20n, 60n, { segment: { rawBytes: 39 } }), /39 bytes for 40/],
    ['another timeline', merged(20n, 60n, { segment: { timeline: 't9' } }), /is t1, not t9/],
    ['a stretch to come', merged(20n, 60n, { stretch: 1 }), /stretch 1 has not begun/],
  ])('a merged segment with %s is refused', (_, event, reason) => {
    expect(refusal(states.open, event)).toMatch(reason);
  });

  it.each([
    ['a gap', stored(101n, 150n, { segment: { ...next.segment, start: 101n } }), /starts at 101/],
    ['an overlap', stored(99n, 150n, { segment: { ...next.segment, start: 99n } }), /starts at 99/],
    ['no bytes', stored(100n, 100n), /ends at 100, where it starts/],
    ['a length that lies', stored(100n, 150n, { segment: { rawBytes: 49 } }), /49 bytes for 50/],
    ['another database', stored(100n, 150n), /database 0, the stream is in 2/],
    ['another MULTI', stored(100n, 150n, { segment: { db: 2 } }), /disagree on MULTI/],
    [
      'another unfinished command',
      stored(100n, 150n, { segment: { db: 2, inMulti: true } }),
      /0 bytes into a command, not 7/,
    ],
    ['another timeline', stored(100n, 150n, { segment: { timeline: 't9' } }), /is t1, not t9/],
  ])('a segment with %s is refused', (_, event, reason) => {
    expect(refusal(states.open, event)).toMatch(reason);
  });

  it('a first segment may be in any database, but not within a command', () => {
    const state = fold(...base);
    expect(refusal(state, stored(0n, 9n, { segment: { db: 5 } }))).toBeNull();
    expect(refusal(state, stored(0n, 9n, { segment: { partialBytes: 1 } }))).toMatch(
      /1 bytes into/,
    );
  });

  it('a closing states the durable end, a heartbeat nothing beyond it', () => {
    expect(refusal(states.open, heartbeat(101n))).toMatch(/101 is beyond the durable end 100/);
    expect(refusal(states.open, heartbeat(99n))).toBeNull();
    expect(refusal(states.open, closed(101n))).toMatch(/101 is not the durable end 100/);
    expect(refusal(states.open, closed(99n))).toMatch(/99 is not the durable end 100/);
    expect(refusal(states.claimed, heartbeat(0n, { timeline: null }))).toBeNull();
    expect(refusal(states.claimed, heartbeat(1n, { timeline: null }))).toMatch(
      /without a timeline/,
    );
  });

  it('a generation must rise, also above one that was released', () => {
    expect(refusal(states.open, claimed())).toMatch(/generation 1 does not rise above 1/);
    expect(refusal(states.released, claimed({ generation: 1 }))).toMatch(/does not rise/);
    expect(refusal(states.open, released(2))).toMatch(/2 cannot release what 1 holds/);
  });

  it('a snapshot may run ahead of an open timeline, not of a closed one', () => {
    expect(refusal(states.open, snapshot(500n))).toBeNull();
    expect(refusal(states.closed, snapshot(101n))).toMatch(/101 is beyond the end 100/);
    expect(refusal(states.open, snapshot(1n, { timeline: 't0' }))).toMatch(/is t1, not t0/);
  });

  it('a timeline is not opened twice, and names the one before it', () => {
    expect(refusal(states.closed, opened({ timeline: 't1', previous: 't1' }))).toMatch(/was there/);
    expect(refusal(states.closed, opened({ timeline: 't2' }))).toMatch(/is t1, not null/);
  });

  it('a step of the clock lies at or before the durable end, and after the one before it', () => {
    expect(refusal(states.open, stepped(101n))).toMatch(/101 is beyond the durable end 100/);
    expect(refusal(states.open, stepped(50n, { before: 51n }))).toMatch(/after 51 and before 50/);
    expect(refusal(states.open, stepped(50n, { timeline: 't0' }))).toMatch(/is t1, not t0/);
    const again = fold(...base, ended, stepped(60n));
    expect(refusal(again, stepped(59n))).toMatch(/59 lies before that at 60/);
    expect(refusal(again, stepped(60n))).toBeNull();
  });

  it('a proof names a timeline and the one opened after it', () => {
    const second = [closed(100n), opened({ timeline: 't2', previous: 't1' })] as const;
    const state = fold(...base, ended, ...second);
    expect(refusal(state, proven())).toBeNull();
    expect(refusal(state, proven({ closed: 't0' }))).toMatch(/before t2 is t1, not t0/);
    expect(refusal(state, proven({ closed: 't2', opened: 't1' }))).toMatch(/t2 is the newest/);
    expect(evolve(state, proven(), 5, digestOf(5)).timeline).toEqual(state.timeline);
  });

  it('entries are folded in their order', () => {
    expect(() => evolve(states.open, heartbeat(100n), 4, digestOf(4))).toThrow(/follows 2/);
  });
});

describe('the fold of a writer log', () => {
  const cursor = {
    file: 'appendonly.aof.1.incr.aof',
    seq: 1,
    dev: '66306',
    ino: '9',
    position: 140,
    digest: 'ef'.repeat(32),
    digestBytes: 140,
  };

  it('keeps what a restart needs: end, stream state, cursor, owner', () => {
    const after = { db: 3, inMulti: false, partialBytes: 12 };
    const state = fold(...base, stored(0n, 140n, { after, cursor, provenTo: 50, atMs: 77 }));
    expect(state).toMatchObject({
      seq: 2,
      digest: digestOf(2),
      lastEntryMs: 77,
      owner: { generation: 1, ownerId: 'spool-a', released: false },
      timeline: { timeline: 't1', end: 140n, after, cursor, provenTo: 50, closed: null },
    });
  });

  it('what was proven stays proven', () => {
    const state = fold(
      ...base,
      stored(0n, 10n, { provenTo: 50 }),
      heartbeat(10n, { provenTo: 49 }),
      heartbeat(10n, { provenTo: null }),
    );
    expect(state.timeline?.provenTo).toBe(50);
    const late = fold(...base, closed(0n, { provenTo: 60 }));
    expect(late.timeline?.provenTo).toBe(60);
  });

  it('forgets what was proven when the clock steps back, and keeps it with the step', () => {
    const at = { provenTo: 48 };
    const back = fold(...base, stored(0n, 10n, { provenTo: 50 }), stepped(10n, at));
    expect(back.timeline).toMatchObject({ provenTo: null, steps: [{ offset: 10n, provenTo: 50 }] });
    const on = fold(
      ...base,
      stored(0n, 10n, { provenTo: 50 }),
      stepped(10n, { direction: 'forward', provenTo: 48 }),
      heartbeat(10n, { provenTo: 60 }),
    );
    expect(on.timeline).toMatchObject({ provenTo: 60, steps: [{ provenTo: null }] });
    expect(stretchOf(back.timeline!)).toBe(1);
    expect(stretchOf(on.timeline!)).toBe(0);
  });

  it('keeps 64 steps and counts the steps back that it forgot', () => {
    const steps = Array.from({ length: 70 }, (_, i) =>
      stepped(BigInt(i), { direction: i % 2 === 0 ? 'back' : 'forward' }),
    );
    const { timeline } = fold(...base, stored(0n, 100n), ...steps);
    expect(timeline?.steps).toHaveLength(64);
    expect(timeline?.steps[0]?.offset).toBe(6n);
    expect(timeline?.forgottenStepsBack).toBe(3);
    expect(stretchOf(timeline!)).toBe(35);
  });

  it('takes the first second of the first snapshot, also when a later one has an earlier', () => {
    const state = fold(
      ...base,
      snapshot(0n, { from: 50 }),
      stored(0n, 9n),
      snapshot(9n, { from: 5 }),
    );
    expect(state.timeline).toMatchObject({ from: 50, fromOffset: 0n });
  });

  it('remembers the snapshot furthest on and the first second of all', () => {
    const state = fold(
      ...base,
      stored(0n, 100n),
      snapshot(80n, { backup: 'bk_2', from: 20 }),
      snapshot(30n, { backup: 'bk_1', from: 10 }),
    );
    expect(state.timeline?.snapshot).toEqual({
      backup: 'bk_2',
      offset: 80n,
      rdbBytes: 1000,
      endedMs: expect.any(Number) as number,
    });
    expect(state.timeline?.from).toBe(10);
  });

  it('counts the log since the snapshot; a snapshot ahead of the log leaves none', () => {
    const count = (...tail: WriterEvent[]): number => {
      const { timeline } = fold(...base, stored(0n, 100n), ...tail);
      if (timeline === null) throw new Error('a timeline is open');
      return logBytesSinceSnapshot(timeline);
    };
    expect(count()).toBe(100);
    expect(count(snapshot(30n))).toBe(70);
    expect(count(snapshot(400n))).toBe(0);
  });

  it('a new timeline starts from nothing', () => {
    const state = fold(...base, stored(0n, 10n), snapshot(0n), closed(10n), {
      ...opened({ timeline: 't2', previous: 't1', reason: 'capture-down' }),
    });
    expect(state.timeline).toMatchObject({
      timeline: 't2',
      end: 0n,
      provenTo: null,
      snapshot: null,
      cursor: null,
      from: null,
      closed: null,
    });
  });
});
