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
    expect(over.jobs).toEqual({ open: [], ended: [{ job: 'job-1', attempt: 1 }] });
    expect(() => decideInstance(over, claimed({ worker: 'h2.1' }))).toThrow(
      refusal(/the job has ended/),
    );
    expect(fold(claimed(), ended('failed'), claimed({ attempt: 2 })).jobs.open).toHaveLength(1);
  });

  it('that a worker gives back are free at once', () => {
    const free = fold(claimed(), ended('waiting'));
    expect(free.jobs).toEqual({ open: [], ended: [] });
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

  it('of the last 64 that ended are remembered', () => {
    const events = Array.from({ length: 70 }, (_, i) => [
      claimed({ job: `job-${i}` }),
      ended('succeeded', { job: `job-${i}` }),
    ]).flat();
    const { jobs } = fold(...events);
    expect(jobs.ended).toHaveLength(64);
    expect(jobs.ended[0]?.job).toBe('job-6');
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
    expect(again.state.jobs).toEqual({ open: [], ended: [{ job: 'job-1', attempt: 1 }] });
  });
});
