import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { TidemarkError } from '@tidemark/core';
import type { JobClaim, JobCommand } from '../../services/control/src/jobs/job-machine.ts';
import { isOver } from '../../services/control/src/jobs/job-machine.ts';
import { ALICE, openDesk, SetClock, type DeskRun } from '../support/job-desk.ts';
import { TempDir } from '../support/temp-dir.ts';

const CLAIM_MS = 15_000;
const WORKERS = ['w1', 'w2', 'w3'] as const;
type Worker = (typeof WORKERS)[number];

type Step =
  | { readonly do: 'submit' }
  | { readonly do: 'pass'; readonly ms: number }
  | { readonly do: 'reopen' }
  | { readonly do: 'cancel' | 'resume'; readonly job: number }
  | Work;
interface Work {
  readonly do: 'claim' | 'beat' | 'release' | 'fail' | 'settle' | 'succeed';
  readonly job: number;
  readonly worker: Worker;
}

const job = fc.nat({ max: 3 });
const worker = fc.constantFrom(...WORKERS);
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ do: fc.constant('submit' as const) }),
  fc.record({ do: fc.constant('reopen' as const) }),
  { weight: 2, arbitrary: fc.record({ do: fc.constant('pass' as const), ms: fc.nat(20_000) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constantFrom('cancel', 'resume'), job }) },
  {
    weight: 12,
    arbitrary: fc.record({
      do: fc.constantFrom('claim', 'claim', 'beat', 'release', 'fail', 'settle', 'succeed'),
      ...{ job, worker },
    }),
  },
);

const REFUSALS = new Set(['TM_JOB_STATE', 'TM_JOB_LOST', 'TM_JOB_OVER']);
const problem = { code: 'TM_FEED', message: 'broken', hint: null };

/** Who works on each job, as the workers themselves believe. */
class Model {
  readonly jobs: string[] = [];
  /** Until when a claim holds. */
  readonly held = new Map<string, { worker: Worker; untilMs: number }>();

  /** What another worker saw last: what holds still was another claim then. */
  #silent(job: number, nowMs: number): JobClaim | null {
    const held = this.held.get(this.jobs[job] ?? '');
    if (held === undefined) return null;
    return held.untilMs <= nowMs ? held : { ...held, untilMs: held.untilMs - 1 };
  }

  commandOf(one: Work, nowMs: number): JobCommand {
    const { worker: by } = one;
    const untilMs = nowMs + CLAIM_MS;
    switch (one.do) {
      case 'claim':
        return { type: 'claim', worker: by, nowMs, untilMs, silent: this.#silent(one.job, nowMs) };
      case 'beat':
        return { type: 'beat', worker: by, untilMs };
      case 'release':
        return { type: 'release', worker: by, notBeforeMs: nowMs + 5, excused: false };
      case 'fail':
        return { type: 'fail', worker: by, problem };
      case 'settle':
        return { type: 'settle', worker: by, nowMs };
      case 'succeed':
        return {
          type: 'succeed',
          worker: by,
          nowMs,
          outcome: { state: 'succeeded', result: null },
        };
    }
  }
}

async function perform(one: Step, model: Model, run: DeskRun, clock: SetClock): Promise<void> {
  const { desk } = run;
  if (one.do === 'submit') {
    const order = { kind: 'restore', instance: 'orders', request: {}, actor: ALICE } as const;
    if (model.jobs.length < 4) model.jobs.push((await desk.submit(order)).id);
    return;
  }
  if (one.do === 'pass') {
    clock.ms += one.ms;
    return;
  }
  if (one.do === 'reopen') return;
  const id = model.jobs[one.job];
  if (id === undefined) return;
  if ('worker' in one) work(id, one, model, run, clock);
  else if (one.do === 'cancel') await desk.cancel(id, ALICE);
  else await desk.resume(id, ALICE);
}

function work(id: string, one: Work, model: Model, { desk }: DeskRun, clock: SetClock): void {
  const held = model.held.get(id);
  const fold = desk.command(id, model.commandOf(one, clock.ms));
  // Whoever was let in: nobody else had a claim that held.
  if (one.do === 'claim') {
    expect(held === undefined || held.untilMs <= clock.ms).toBe(true);
    model.held.set(id, { worker: one.worker, untilMs: clock.ms + CLAIM_MS });
  } else {
    expect(held?.worker).toBe(one.worker);
    if (one.do === 'beat' && held !== undefined) held.untilMs = clock.ms + CLAIM_MS;
    if (fold.claim === null) model.held.delete(id);
  }
}

function check(model: Model, { desk, rows }: DeskRun): void {
  const listed = desk.list({ pageSize: 10 }).jobs.map(({ id }) => id);
  expect([...listed].sort()).toEqual([...model.jobs].sort());
  for (const id of model.jobs) {
    const fold = rows.db.read(() => rows.fold(id));
    const { state, worker: by, endedMs, problem: why } = desk.get(id);
    expect(by).toBe(fold?.claim?.worker ?? null);
    expect(by).toBe(model.held.get(id)?.worker ?? null);
    expect(endedMs !== null).toBe(isOver({ state }));
    if (state === 'running') expect(by).not.toBeNull();
    if (state === 'queued' || isOver({ state })) expect(by).toBeNull();
    expect(why !== null).toBe(state === 'failed');
  }
}

describe('whatever happens to jobs', () => {
  it('none is lost, none has two workers, and each stands in a state that is allowed', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 40 }), async (steps) => {
        await using dir = await TempDir.create();
        const clock = new SetClock();
        const model = new Model();
        let run = openDesk(dir.path, clock);
        try {
          for (const one of [{ do: 'submit' } as const, ...steps]) {
            if (one.do === 'reopen') {
              run[Symbol.dispose]();
              run = openDesk(dir.path, clock);
            }
            try {
              await perform(one, model, run, clock);
            } catch (cause) {
              if (!(cause instanceof TidemarkError) || !REFUSALS.has(cause.code)) throw cause;
            }
            check(model, run);
          }
        } finally {
          run[Symbol.dispose]();
        }
      }),
      { numRuns: 40 },
    );
  });
});
