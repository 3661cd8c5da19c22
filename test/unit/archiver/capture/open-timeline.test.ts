import { evolve, EMPTY_WRITER_STATE, type WriterEvent, type WriterState } from '@tidemark/catalog';
import { fixedLocator } from '@tidemark/client';
import { describe, expect, it } from 'vitest';
import { followsLog } from '../../../../services/archiver/src/capture/follows-log.ts';
import {
  firstOwnSecond,
  freshWriter,
  nodeOf,
  openTimelineOf,
  resumableTimeline,
  resumeWriter,
} from '../../../../services/archiver/src/capture/open-timeline.ts';
import { incrFile, layOut } from '../../../support/aof-layout.ts';
import {
  claimed,
  closed,
  opened,
  released,
  snapshot,
  stepped,
  stored,
} from '../../../support/log-events.ts';
import { steppingClock } from '../../../support/stepping-clock.ts';

const CURSOR = {
  ...{ file: 'appendonly.aof.1.incr.aof', seq: 1, dev: '66', ino: '1001', position: 4000 },
  ...{ digest: 'ab'.repeat(32), digestBytes: 4000 },
};
const LIMITS = { bytesMax: 64 * 1024 * 1024 };
const clock = steppingClock(0);

function stateAfter(...events: readonly WriterEvent[]): WriterState {
  return [claimed(), ...events].reduce(
    (state, event, at) => evolve(state, event, at, at.toString(16).padStart(64, '0')),
    EMPTY_WRITER_STATE,
  );
}

describe('openTimelineOf() and resumableTimeline()', () => {
  it('give nothing for an empty log and for a closed timeline', () => {
    for (const state of [stateAfter(), stateAfter(opened(), closed(0n))]) {
      expect([openTimelineOf(state), resumableTimeline(state)]).toEqual([null, null]);
    }
  });

  it('resume no timeline without a snapshot, and none without a cursor', () => {
    const noSnapshot = stateAfter(opened(), stored(0n, 10n, { cursor: CURSOR }));
    const noCursor = stateAfter(opened(), snapshot(0n), stored(0n, 10n));
    expect([resumableTimeline(noSnapshot), resumableTimeline(noCursor)]).toEqual([null, null]);
    expect([openTimelineOf(noSnapshot)?.end, openTimelineOf(noCursor)?.end]).toEqual([10n, 10n]);
  });

  it('resume an open one with both, also after its owner released it', () => {
    const events = [opened(), snapshot(0n), stored(0n, 10n, { cursor: CURSOR }), released()];
    expect(resumableTimeline(stateAfter(...events))).toMatchObject({ end: 10n, cursor: CURSOR });
  });
});

describe('resumeWriter()', () => {
  const after = { db: 9, inMulti: true, partialBytes: 0 };
  const log = [opened(), snapshot(0n), stored(0n, 100n, { after, cursor: CURSOR, provenTo: 50 })];
  const open = resumableTimeline(stateAfter(...log))!;

  it('goes on at the end of the log with its database and transaction', () => {
    const writer = resumeWriter(open, { file: incrFile(), position: 4000 }, clock, LIMITS);
    const log = layOut([['SET', 'a', '1'], ['EXEC']]);
    writer.push(log.file, 4000);
    const { header, after: then } = writer.roll()!;
    expect(header).toMatchObject({ timeline: 't1', start: 100n, db: 9, inMulti: true });
    expect(header.end).toBe(100n + BigInt(log.stream.length));
    expect(then).toEqual({ db: 9, inMulti: false, partialBytes: 0 });
  });

  it('drops the head of a command that is in the log already', () => {
    const log = layOut([['SET', 'a', '1']]);
    const begun = { ...open, end: 110n, after: { ...after, partialBytes: 10 } };
    const writer = resumeWriter(begun, { file: incrFile(), position: 4000 }, clock, LIMITS);
    writer.push(log.file, 4000);
    expect(writer.roll()!.header).toMatchObject({
      ...{ start: 110n, partialBytes: 10, rawBytes: log.stream.length - 10 },
    });
  });

  it('knows no start of a file that it entered in its middle', () => {
    const writer = resumeWriter(open, { file: incrFile(), position: 4000 }, clock, LIMITS);
    expect(writer.fileStart(1)).toBeNull();
    writer.openFile(incrFile(2), 0);
    // All that was proven up to 50 ended in second 51 at the latest.
    expect(writer.fileStart(2)).toEqual({ offset: 100n, secondBefore: 51 });
  });
});

describe('freshWriter()', () => {
  it('begins at offset 0 and the start of the file', () => {
    const at = { file: incrFile(3), position: 0, start: 0 };
    const writer = freshWriter('t9', at, clock, LIMITS);
    expect(writer.place).toEqual({ seq: 3, position: 0 });
    expect(writer.fileStart(3)).toEqual({ offset: 0n, secondBefore: null });
    expect([writer.timeline, writer.end]).toEqual(['t9', 0n]);
  });

  it('begins behind the RDB that the file begins with', () => {
    const at = { file: incrFile(3), position: 900, start: 900 };
    const writer = freshWriter('t9', at, clock, LIMITS);
    expect(writer.place).toEqual({ seq: 3, position: 900 });
    expect(writer.fileStart(3)).toEqual({ offset: 0n, secondBefore: null });
  });
});

describe('nodeOf()', () => {
  it('says unknown for a server that does not answer: its files can be captured all the same', async () => {
    expect(await nodeOf(fixedLocator({ host: '127.0.0.1', port: 1 }))).toEqual({
      ...{ runId: 'unknown', version: 'unknown', product: 'redis' },
    });
  });
});

describe('firstOwnSecond()', () => {
  const server = { now: 1_000, start: 10 };
  const place = { ...CURSOR, digest: '', digestBytes: 0 };
  const noted = (servesFrom: number | null, timeline = 't1') => ({
    ...{ timeline, start: place, servesFrom },
  });
  const after = (...events: readonly WriterEvent[]) => stateAfter(opened(), ...events).timeline;
  const proven = after(closed(0n, { provenTo: 500 }));

  it('is none before the first timeline, and behind one that has proven nothing since', () => {
    expect(firstOwnSecond(null, null, server)).toBeNull();
    expect(firstOwnSecond(after(closed(0n)), noted(null), server)).toBeNull();
  });

  it('lies behind what was proven, and not before the server was started', () => {
    expect(firstOwnSecond(proven, null, server)).toBe(501);
    expect(firstOwnSecond(proven, noted(400), server)).toBe(501);
    expect(firstOwnSecond(proven, noted(700), server)).toBe(700);
    expect(firstOwnSecond(proven, null, { now: 1_000, start: 900 })).toBe(900);
  });

  it('is handed on by a timeline that ended before it proved anything', () => {
    expect(firstOwnSecond(after(closed(0n)), noted(501), server)).toBe(501);
    expect(firstOwnSecond(after(closed(0n)), noted(501), { now: 1_000, start: 900 })).toBe(900);
  });

  it('is the present where nobody knows what came before, or the clock was set back', () => {
    expect(firstOwnSecond(after(closed(0n)), null, server)).toBe(1_000);
    expect(firstOwnSecond(after(closed(0n)), noted(501, 't0'), server)).toBe(1_000);
    expect(firstOwnSecond(proven, null, { now: 300, start: 10 })).toBe(300);
    const back = after(stored(0n, 10n), stepped(10n, { direction: 'back' }), closed(10n));
    expect(firstOwnSecond(back, noted(null), server)).toBe(1_000);
  });
});

describe('followsLog()', () => {
  const open = stateAfter(opened(), stored(0n, 10n), snapshot(5n));

  it('is true for the next segment of the open timeline alone', () => {
    expect(followsLog(stored(10n, 20n), open)).toBe(true);
    expect(followsLog(stored(0n, 10n), open)).toBe(false);
    expect(followsLog(stored(11n, 20n), open)).toBe(false);
    expect(followsLog(stored(10n, 20n, { segment: { timeline: 't0' } }), open)).toBe(false);
    expect(followsLog(stored(10n, 20n), stateAfter(opened(), stored(0n, 10n), closed(10n)))).toBe(
      false,
    );
    expect(followsLog(stored(0n, 10n), stateAfter())).toBe(false);
  });

  it('is true for a snapshot of the newest timeline that is newer than the last', () => {
    const ended = stateAfter(opened(), stored(0n, 10n), closed(10n));
    expect([followsLog(snapshot(10n), ended), followsLog(snapshot(11n), ended)]).toEqual([
      true,
      false,
    ]);
    expect(followsLog(snapshot(6n), open)).toBe(true);
    expect(followsLog(snapshot(5n), open)).toBe(false);
    expect(followsLog(snapshot(6n, { timeline: 't0' }), open)).toBe(false);
    expect(followsLog(snapshot(0n), stateAfter(opened()))).toBe(true);
  });

  it('is true for an event that may come next and is not in the log yet', () => {
    const ended = stateAfter(opened(), stored(0n, 10n), closed(10n));
    expect(followsLog(closed(10n), open)).toBe(true);
    expect(followsLog(closed(5n), open)).toBe(false);
    expect(followsLog(closed(10n), ended)).toBe(false);
    expect(followsLog(opened({ timeline: 't2', previous: 't1' }), ended)).toBe(true);
    expect(followsLog(opened({ timeline: 't2', previous: 't1' }), open)).toBe(false);
  });

  it('is false for a step of the clock that is in the log', () => {
    const step = stepped(10n, { direction: 'back' });
    expect(followsLog(step, open)).toBe(true);
    const after = stateAfter(opened(), stored(0n, 10n), snapshot(5n), step);
    expect(followsLog(step, after)).toBe(false);
    expect(followsLog(stepped(10n, { direction: 'back', sinceMs: 7 }), after)).toBe(true);
  });
});
