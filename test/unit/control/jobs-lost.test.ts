import { createInstance, EMPTY_INSTANCE_STATE, openInstanceLog } from '@tidemark/catalog';
import type { Job, JobContext } from '@tidemark/control';
import { NodeError, type Clock } from '@tidemark/core';
import { systemClock, systemRandom } from '@tidemark/system';
import type { Workspace } from '@tidemark/workspace';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import {
  InstanceClaims,
  type ClaimAnswer,
} from '../../../services/control/src/jobs/instance-claims.ts';
import type { JobCommand } from '../../../services/control/src/jobs/job-machine.ts';
import { JobRun } from '../../../services/control/src/jobs/job-run.ts';
import { JobRunner } from '../../../services/control/src/jobs/job-runner.ts';
import { SilentClaims } from '../../../services/control/src/jobs/silent-claims.ts';
import { ALICE, idleHandler, openDesk, QUIET, type DeskRun } from '../../support/job-desk.ts';
import { LOG_KEY } from '../../support/log-events.ts';
import { MemoryStore } from '../../support/memory-store.ts';
import { TempDir } from '../../support/temp-dir.ts';

const ORDER = { kind: 'restore', instance: 'inst', request: {}, actor: ALICE } as const;
const WAIT = { timeout: 15_000 };

let dir: TempDir;
let store: MemoryStore;
const desks: DeskRun[] = [];

beforeEach(async () => {
  dir = await TempDir.create();
  store = new MemoryStore();
  await createInstance({ ...logOptions(), name: 'inst', createdMs: 0 });
});

afterEach(async () => {
  for (const desk of desks.splice(0)) desk[Symbol.dispose]();
  await dir[Symbol.asyncDispose]();
});

function logOptions(): Parameters<typeof openInstanceLog>[0] {
  return { store, iid: 'inst', logKey: LOG_KEY, clock: systemClock, random: systemRandom };
}

function claimsOn(clock: Clock = systemClock): InstanceClaims {
  const workspace = {
    store,
    keys: { logKey: () => Promise.resolve(LOG_KEY) },
    catalog: { instances: () => [{ ...EMPTY_INSTANCE_STATE }] },
  } as unknown as Pick<Workspace, 'store' | 'keys' | 'catalog'>;
  return new InstanceClaims(workspace, clock, systemRandom);
}

/** A clock of which a test sets both times. */
class StepClock implements Clock {
  wallMs = 0;
  passedMs = 0;

  nowMs(): number {
    return systemClock.nowMs() + this.wallMs;
  }

  monotonicMs(): number {
    return systemClock.monotonicMs() + this.passedMs;
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return systemClock.sleep(ms, signal);
  }
}

/** A worker of which a test says when it goes on. */
class SlowWorker {
  readonly desk: DeskRun;
  readonly cleaned: unknown[] = [];
  context: JobContext | null = null;
  cleaning: AbortSignal | null = null;
  readonly #worker: string;
  readonly #clock: Clock;
  #goOn: (fault: Error | null) => void = () => undefined;

  constructor(
    worker: string,
    options: { readonly clock?: Clock; readonly cleanUp?: () => Promise<void> } = {},
  ) {
    this.#worker = worker;
    this.#clock = options.clock ?? systemClock;
    const handler = idleHandler('restore', {
      run: async (context) => {
        await context.keep({ by: worker });
        await new Promise<void>((resolve, reject) => {
          this.#goOn = (fault) => (fault === null ? resolve() : reject(fault));
          this.context = context;
        });
        return { state: 'succeeded', result: { by: worker } };
      },
      cleanUp: ({ checkpoint, signal }) => {
        this.cleaned.push(checkpoint);
        this.cleaning = signal;
        return options.cleanUp?.() ?? Promise.resolve();
      },
    });
    this.desk = openDesk(dir.path, this.#clock, { handlers: [handler] });
    desks.push(this.desk);
  }

  /** Takes a job, from whoever has it. */
  async take(id: string): Promise<{ readonly run: JobRun; readonly done: Promise<void> }> {
    const { desk, rows } = this.desk;
    const { claim = null } = rows.db.read(() => rows.fold(id)) ?? {};
    const nowMs = this.#clock.nowMs();
    const fold = desk.command(id, {
      ...{ type: 'claim', worker: this.#worker, nowMs, untilMs: nowMs + 15_000, silent: claim },
    });
    const run = new JobRun(fold, {
      ...{ desk, rows, clock: this.#clock, logger: QUIET, claims: claimsOn(this.#clock) },
      ...{ worker: this.#worker, claimMs: 15_000 },
    });
    const done = run.perform();
    await expect.poll(() => this.context, WAIT).not.toBeNull();
    return { run, done };
  }

  goOn(fault: Error | null = null): void {
    this.#goOn(fault);
  }
}

const fault = new NodeError('TM_NODE_AUTH', 'the target refused');

describe('a worker that has lost its job', () => {
  const wakes: Readonly<Record<string, (worker: SlowWorker) => Promise<void>>> = {
    'and fails then': (worker) => {
      worker.goOn(fault);
      return Promise.resolve();
    },
    'and finds it when it keeps how far it is': async (worker) => {
      await expect(async () => worker.context?.keep({ next: true })).rejects.toMatchObject({
        code: 'TM_JOB_LOST',
        context: { job: worker.context?.job.id },
      });
      worker.goOn(fault);
    },
    'and succeeds then': (worker) => {
      worker.goOn();
      return Promise.resolve();
    },
  };
  for (const [name, wake] of Object.entries(wakes)) {
    it(`${name} takes nothing back and says nothing of it`, async () => {
      const [first, second] = [new SlowWorker('h1.1'), new SlowWorker('h1.2')];
      const { id } = await first.desk.desk.submit(ORDER);
      const { done } = await first.take(id);
      const other = await second.take(id);
      await wake(first);
      await done;
      expect(first.cleaned).toEqual([]);
      expect(second.desk.desk.get(id)).toMatchObject({ state: 'running', worker: 'h1.2' });
      expect(second.desk.rows.db.read(() => second.desk.rows.checkpoint(id))).toEqual({
        by: 'h1.2',
      });
      second.goOn();
      await other.done;
      expect(second.desk.desk.get(id)).toMatchObject({ state: 'succeeded', attempt: 2 });
    });
  }

  it('hears of it at its next look, and while it takes back', async () => {
    let end: () => void = () => undefined;
    const cleanUp = (): Promise<void> => new Promise((resolve) => (end = resolve));
    const first = new SlowWorker('h1.1', { cleanUp });
    const second = new SlowWorker('h1.2');
    const { id } = await first.desk.desk.submit(ORDER);
    const { run, done } = await first.take(id);
    first.goOn(fault);
    await expect.poll(() => first.cleaning?.aborted, WAIT).toBe(false);
    const { desk, rows } = second.desk;
    const { claim = null } = rows.db.read(() => rows.fold(id)) ?? {};
    desk.command(id, { type: 'claim', worker: 'h1.2', nowMs: 1, untilMs: 2, silent: claim });
    run.look();
    expect(first.cleaning?.reason).toMatchObject({ code: 'TM_JOB_LOST' });
    end();
    await done;
    expect(desk.get(id)).toMatchObject({ state: 'running', worker: 'h1.2' });
  });
});

describe('a claim in the log of an instance', () => {
  it('that its worker could not renew in time ends the work, and takes nothing back', async () => {
    const clock = new StepClock();
    const worker = new SlowWorker('h1.1', { clock });
    const { id } = await worker.desk.desk.submit(ORDER);
    const { run, done } = await worker.take(id);
    clock.passedMs = 45_000;
    run.look();
    expect(worker.context?.signal.aborted).toBe(false);
    clock.passedMs = 51_000;
    run.look();
    expect(worker.context?.signal.reason).toMatchObject({ code: 'TM_JOB_LOST' });
    worker.goOn(fault);
    await done;
    expect(worker.cleaned).toEqual([]);
    expect(worker.desk.desk.get(id)).toMatchObject({ state: 'queued', worker: null });
  });

  it('is renewed while what was begun is taken back', async () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
    try {
      let end: () => void = () => undefined;
      const cleanUp = (): Promise<void> => new Promise((resolve) => (end = resolve));
      const clock = new StepClock();
      const worker = new SlowWorker('h1.1', { clock, cleanUp });
      const { id } = await worker.desk.desk.submit(ORDER);
      const { done } = await worker.take(id);
      worker.goOn(fault);
      await expect.poll(() => worker.cleaning, WAIT).not.toBeNull();
      clock.wallMs = 3_600_000;
      vi.advanceTimersByTime(21_000);
      const until = async (): Promise<number> =>
        (await openInstanceLog(logOptions())).state.jobs.open[0]?.untilMs ?? 0;
      await expect.poll(until, WAIT).toBeGreaterThan(systemClock.nowMs() + 3_000_000);
      end();
      await done;
      expect(worker.desk.desk.get(id).state).toBe('failed');
    } finally {
      vi.useRealTimers();
    }
  });

  const jobOf = (attempt: number): Job =>
    ({ id: 'job-1', kind: 'restore', instance: 'inst', actor: ALICE, attempt }) as Job;
  const claim = (on: InstanceClaims, worker: string, isOwner = true): Promise<ClaimAnswer> =>
    on.claim({ job: jobOf(0), ordered: 0 }, worker, () => isOwner);
  const holder = async (): Promise<string | undefined> =>
    (await openInstanceLog(logOptions())).state.jobs.open[0]?.worker;

  it('is not ended, nor taken, by an attempt before it; what is left on a host is ended there', async () => {
    const claims = claimsOn();
    expect(await claim(claims, 'h1.1')).toEqual({ kind: 'granted', attempt: 1 });
    expect(await claim(claims, 'h1.2')).toEqual({ kind: 'granted', attempt: 2 });
    await claims.end(jobOf(1), 'h1.1', 'succeeded');
    expect(await holder()).toBe('h1.2');
    expect(await claim(claims, 'h1.1', false)).toEqual({ kind: 'held', by: 'h1.2' });
    await claims.end(jobOf(2), 'h2.1', 'succeeded');
    expect(await holder()).toBe('h1.2');
    await claims.end(jobOf(2), 'h1.3', 'succeeded');
    expect(await holder()).toBeUndefined();
  });

  it('is taken by another host after a minute without a change, whatever the wall clocks say', async () => {
    const [early, late] = [new StepClock(), new StepClock()];
    early.wallMs = 365 * 86_400_000;
    const other = claimsOn(late);
    await claim(claimsOn(early), 'h1.1');
    const held = { kind: 'held', by: 'h1.1' };
    expect(await claim(other, 'h2.1')).toEqual(held);
    late.wallMs = 2 * early.wallMs;
    expect(await claim(other, 'h2.1')).toEqual(held);
    late.wallMs = 0;
    late.passedMs = 61_000;
    expect(await claim(other, 'h2.1')).toEqual({ kind: 'granted', attempt: 2 });
    expect(await holder()).toBe('h2.1');
  });
});

describe('a clock that is set', () => {
  it('back after a job was asked for, or let go, keeps that from no worker', async () => {
    const clock = new StepClock();
    const run = openDesk(dir.path, clock);
    desks.push(run);
    const free = (): readonly string[] =>
      run.rows.db.read(() => run.rows.free(clock.nowMs(), ['restore'], 5));
    clock.wallMs = 365 * 86_400_000;
    const { id } = await run.desk.submit(ORDER);
    clock.wallMs = 0;
    expect(free()).toEqual([id]);
    clock.wallMs = 365 * 86_400_000;
    const claim = (): JobCommand => {
      const nowMs = clock.nowMs();
      return { type: 'claim', worker: 'h1.1', nowMs, untilMs: nowMs + 15_000 };
    };
    run.desk.command(id, claim());
    const notBeforeMs = clock.nowMs() + 40_000;
    run.desk.command(id, { type: 'release', worker: 'h1.1', notBeforeMs, excused: true });
    expect(free()).toEqual([]);
    clock.wallMs = 0;
    expect(free()).toEqual([id]);
    expect(run.desk.command(id, claim()).job).toMatchObject({ state: 'running' });
  });

  it('ahead takes no job from a worker that is alive', async () => {
    const clock = new StepClock();
    const over = new AbortController();
    let [kept, isEnding] = [0, false];
    const began: string[] = [];
    const cleaned: string[] = [];
    const ran = ['h1.1', 'h1.2'].map((worker) => {
      const handler = idleHandler('restore', {
        run: async ({ keep, signal }) => {
          began.push(worker);
          while (!isEnding) {
            await systemClock.sleep(10, signal);
            await keep(++kept);
          }
          return { state: 'succeeded', result: null };
        },
        cleanUp: () => Promise.resolve(void cleaned.push(worker)),
      });
      const desk = openDesk(dir.path, clock, { handlers: [handler] });
      desks.push(desk);
      const timing = { claimMs: 5_000, beatMs: 1_000, pollMs: 10 };
      return new JobRunner({
        ...{ desk: desk.desk, rows: desk.rows, clock, logger: QUIET },
        ...{ claims: claimsOn(clock), worker, concurrency: 1, timing },
      }).run(over.signal);
    });
    const { desk } = desks[0] ?? expect.fail('no desk');
    const { id } = await desk.submit(ORDER);
    await expect.poll(() => kept, WAIT).toBeGreaterThan(0);
    clock.wallMs = 20_000;
    const before = kept;
    await expect.poll(() => kept, WAIT).toBeGreaterThan(before + 20);
    isEnding = true;
    await expect.poll(() => desk.get(id).state, WAIT).toBe('succeeded');
    expect(desk.get(id).attempt).toBe(1);
    expect([began.length, cleaned]).toEqual([1, []]);
    over.abort(new Error('the test is over'));
    await Promise.all(ran);
  });
});

describe('a claim', () => {
  const held = { id: 'job-1', worker: 'h1.1', untilMs: 100 };
  const pass = (
    silent: SilentClaims,
    clock: { ms: number },
    claim: typeof held,
    times: number,
  ): boolean => {
    let found = false;
    for (let i = 0; i < times; i++) {
      clock.ms += 1_000;
      found = silent.look([claim]).has(claim.id);
    }
    return found;
  };
  const opened = (): { readonly clock: { ms: number }; readonly silent: SilentClaims } => {
    const clock = { ms: 0 };
    const silent = new SilentClaims({ monotonicMs: () => clock.ms }, 'h1.2', 15_000);
    return { clock, silent };
  };

  it('is silent once it was seen unchanged for its whole time', () => {
    const { clock, silent } = opened();
    expect(pass(silent, clock, held, 15)).toBe(false);
    expect(pass(silent, clock, held, 1)).toBe(true);
    expect([...silent.look([held]).values()]).toEqual([{ worker: 'h1.1', untilMs: 100 }]);
    expect(pass(silent, clock, { ...held, untilMs: 101 }, 15)).toBe(false);
    expect(pass(silent, clock, { ...held, untilMs: 101, worker: 'h1.3' }, 15)).toBe(false);
  });

  it('of another host is silent after a minute', () => {
    const { clock, silent } = opened();
    expect(pass(silent, clock, { ...held, worker: 'h2.1' }, 60)).toBe(false);
    expect(pass(silent, clock, { ...held, worker: 'h2.1' }, 1)).toBe(true);
  });

  it('of a process that lives no more is silent after a second; of another host it is not', () => {
    const clock = { ms: 0 };
    const gone = (): boolean => true;
    const silent = new SilentClaims({ monotonicMs: () => clock.ms }, 'h1.2', 15_000, gone);
    expect(pass(silent, clock, held, 4)).toBe(false);
    expect(pass(silent, clock, held, 1)).toBe(true);
    expect(pass(silent, clock, { ...held, worker: 'h2.1' }, 60)).toBe(false);
  });

  it('is not made silent by a sleep of who looks', () => {
    const { clock, silent } = opened();
    expect(pass(silent, clock, held, 2)).toBe(false);
    clock.ms += 3_600_000;
    expect(pass(silent, clock, held, 1)).toBe(false);
  });
});
