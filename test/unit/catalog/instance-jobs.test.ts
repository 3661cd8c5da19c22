import { instanceLogKey } from '@tidemark/archive';
import {
  createInstance,
  decideInstance,
  EMPTY_INSTANCE_STATE,
  evolveInstance,
  openInstanceLog,
  type InstanceEvent,
  type InstanceState,
} from '@tidemark/catalog';
import { idMadeMs, makeId } from '@tidemark/core';
import { describe, expect, it } from 'vitest';
import { seededRandom, standingClock } from '../../support/crypto-ports.ts';
import { LOG_KEY } from '../../support/log-events.ts';
import { MemoryStore } from '../../support/memory-store.ts';

const created: InstanceEvent = { type: 'InstanceCreated', iid: 'inst', name: 'orders', atMs: 0 };
const claimed = (
  more: Partial<Extract<InstanceEvent, { type: 'JobClaimed' }>> = {},
): InstanceEvent => ({
  type: 'JobClaimed',
  ...{ job: 'job-1', kind: 'restore', by: 'alice', worker: 'h1.1', attempt: 1 },
  ...{ untilMs: 100, atMs: 10 },
  ...more,
});
const ended = (
  outcome: Extract<InstanceEvent, { type: 'JobEnded' }>['outcome'],
  more: { readonly job?: string; readonly worker?: string } = {},
): InstanceEvent => ({
  type: 'JobEnded',
  ...{ job: 'job-1', worker: 'h1.1', outcome, atMs: 50 },
  ...more,
});

function fold(...events: readonly InstanceEvent[]): InstanceState {
  return [created, ...events].reduce<InstanceState>(
    (state, event) => evolveInstance(state, event, state.seq + 1, '1'.repeat(64)),
    EMPTY_INSTANCE_STATE,
  );
}

const refusal = (reason: RegExp): unknown =>
  expect.objectContaining({
    code: 'TM_LOG_STATE',
    message: expect.stringMatching(reason) as string,
  });

describe('claims of jobs in an instance log', () => {
  it('hold against other workers until their time, and are renewed by their own', () => {
    const held = fold(claimed());
    const other = { worker: 'h2.1', attempt: 2 };
    expect(() => decideInstance(held, claimed({ ...other, atMs: 99 }))).toThrow(
      refusal(/another worker has the job/),
    );
    const renewed = fold(claimed(), {
      ...{ type: 'JobRenewed', job: 'job-1', worker: 'h1.1', untilMs: 200 },
    });
    expect(() => decideInstance(renewed, claimed({ ...other, atMs: 199 }))).toThrow(
      refusal(/another worker has the job/),
    );
    const taken = fold(claimed(), claimed({ ...other, atMs: 100, untilMs: 300 }));
    expect(taken.jobs.open).toEqual([
      expect.objectContaining({ job: 'job-1', worker: 'h2.1', attempt: 2 }),
    ]);
    // Whoever lost it has no say any more.
    expect(() => decideInstance(taken, ended('succeeded'))).toThrow(refusal(/does not have/));
  });

  it('are not given for an attempt that has ended, but for a later one', () => {
    const over = fold(claimed(), ended('failed'));
    expect(over.jobs).toEqual({
      ...{ open: [], ended: [{ job: 'job-1', attempt: 1, atMs: 50 }], forgotten: null },
    });
    expect(() => decideInstance(over, claimed({ worker: 'h2.1' }))).toThrow(
      refusal(/the job has ended/),
    );
    expect(fold(claimed(), ended('failed'), claimed({ attempt: 2 })).jobs.open).toHaveLength(1);
  });

  it('that a worker gives back are free at once', () => {
    const free = fold(claimed(), ended('waiting'));
    expect(free.jobs).toEqual({ open: [], ended: [], forgotten: null });
    expect(fold(claimed(), ended('waiting'), claimed({ worker: 'h2.1' })).jobs.open).toHaveLength(
      1,
    );
  });

  it('are at most 64, and those of the lost go after a week', () => {
    const many = Array.from({ length: 64 }, (_, i) => claimed({ job: `job-${i}` }));
    const full = fold(...many);
    expect(() => decideInstance(full, claimed({ job: 'job-x' }))).toThrow(/more than 64 open jobs/);
    const later = fold(...many, claimed({ job: 'job-x', atMs: 101 + 7 * 86_400_000 }));
    expect(later.jobs.open.map(({ job }) => job)).toEqual(['job-x']);
  });

  it('are refused for every job that ended within a day, and the last 64 ends stay for longer', () => {
    const job = (i: number): string => `job-${i.toString().padStart(4, '0')}`;
    const events = (from: number, to: number, atMs = 50): readonly InstanceEvent[] =>
      Array.from({ length: to - from }, (_, i) => [
        claimed({ job: job(from + i), atMs, untilMs: atMs + 100 }),
        { ...ended('succeeded', { job: job(from + i) }), atMs } as InstanceEvent,
      ]).flat();
    const many = fold(...events(0, 500));
    expect(() => decideInstance(many, claimed({ job: job(0) }))).toThrow(refusal(/has ended/));
    const day = 86_400_050;
    const next = fold(...events(0, 500), ...events(500, 501, day));
    expect(next.jobs.ended.map((one) => one.job)).toEqual(
      Array.from({ length: 64 }, (_, i) => job(437 + i)),
    );
    expect(next.jobs.forgotten).toBeNull();
  });

  it('are refused where more than 512 ended within a day, for every job from before those', () => {
    const job = (i: number): string => `job-${i.toString().padStart(4, '0')}`;
    const waits = claimed({ job: job(1), worker: 'h2.1', untilMs: 60 });
    const others = Array.from({ length: 515 }, (_, i) => [
      claimed({ job: job(i + 10) }),
      ended('succeeded', { job: job(i + 10) }),
    ]).flat();
    const { jobs, ...rest } = fold(waits, ...others);
    expect(jobs.ended).toHaveLength(512);
    expect(jobs.forgotten).toBe(job(12));
    for (const each of [job(10), job(12), job(5)]) {
      expect(() => decideInstance({ ...rest, jobs }, claimed({ job: each }))).toThrow(
        refusal(/cannot be known whether the job was done/),
      );
    }
    // What is known to be open goes on, and what is newer begins.
    const state = { ...rest, jobs };
    decideInstance(state, claimed({ job: job(1), attempt: 2, atMs: 70 }));
    decideInstance(state, claimed({ job: job(600) }));
  });

  it('are not refused since the clock of one of them, or of all for a time, was ahead', () => {
    const random = seededRandom('ahead');
    const nowMs = 1_800_000_000_000;
    expect(idMadeMs(makeId(nowMs, random))).toBe(nowMs);
    const ahead = 30 * 86_400_000;
    const one = (idMs: number, atMs: number): readonly InstanceEvent[] => {
      const job = `job-${makeId(idMs, random)}`;
      return [
        claimed({ job, atMs, untilMs: atMs + 100 }),
        { ...ended('succeeded', { job }), atMs } as InstanceEvent,
      ];
    };
    const ends = (count: number, fromMs: number): readonly InstanceEvent[] =>
      Array.from({ length: count }, (_, i) => one(fromMs + i, fromMs + i)).flat();
    const wrong = one(nowMs + ahead, nowMs + ahead);
    const next = claimed({ job: `job-${makeId(nowMs + 1_000, random)}`, atMs: nowMs + 2_000 });
    const state = fold(...wrong, ...ends(600, nowMs));
    expect(state.jobs.ended).toHaveLength(512);
    decideInstance(state, next);
    // What went since is forgotten as ever, and the one that is ahead is known to have ended.
    const early = claimed({ job: `job-${makeId(nowMs, random)}`, atMs: nowMs + 2_000 });
    expect(() => decideInstance(state, early)).toThrow(refusal(/cannot be known/));
    const [first] = wrong;
    if (first === undefined) throw new Error('no claim');
    expect(() => decideInstance(state, first)).toThrow(refusal(/has ended/));
    decideInstance(fold(...ends(600, nowMs + ahead)), next);
  });

  it('are written by the table of docs/formats/instance-record.md, and read back', async () => {
    const store = new MemoryStore();
    const [clock, random] = [standingClock(0), seededRandom('jobs')];
    const options = { store, iid: 'inst', logKey: LOG_KEY, clock, random };
    const log = await createInstance({ ...options, name: 'orders', createdMs: 0 });
    for (const event of [claimed(), ended('partial')]) await log.append(() => event);
    const headerOf = (seq: number): string => {
      const entry = store.objects.get(instanceLogKey('inst', seq)) ?? Buffer.alloc(16);
      return entry.toString('utf8', 64, 64 + entry.readUInt32BE(12));
    };
    expect(headerOf(1)).toContain(
      '"event":{"atMs":10,"attempt":1,"by":"alice","job":"job-1","kind":"restore",' +
        '"type":"JobClaimed","untilMs":100,"worker":"h1.1"}',
    );
    expect(headerOf(2)).toContain(
      '"event":{"atMs":50,"job":"job-1","outcome":"partial","type":"JobEnded","worker":"h1.1"}',
    );
    const again = await openInstanceLog(options);
    expect(again.state.jobs).toEqual({
      ...{ open: [], ended: [{ job: 'job-1', attempt: 1, atMs: 50 }], forgotten: null },
    });
  });
});
