import { createInstance, EMPTY_INSTANCE_STATE, openInstanceLog } from '@tidemark/catalog';
import type { Job, JobHandler, Json } from '@tidemark/control';
import { NodeError, UsageError, type Clock } from '@tidemark/core';
import { systemClock, systemRandom } from '@tidemark/system';
import type { Workspace } from '@tidemark/workspace';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { InstanceClaims } from '../../../services/control/src/jobs/instance-claims.ts';
import { JobRun } from '../../../services/control/src/jobs/job-run.ts';
import { takeBackLeft } from '../../../services/control/src/jobs/take-back-left.ts';
import { ALICE, idleHandler, openDesk, QUIET, type DeskRun } from '../../support/job-desk.ts';
import { LOG_KEY } from '../../support/log-events.ts';
import { MemoryStore } from '../../support/memory-store.ts';
import { TempDir } from '../../support/temp-dir.ts';

const ORDER = { kind: 'clear-data', instance: 'inst', request: {}, actor: ALICE } as const;
const WAIT = { timeout: 15_000 };

/** Goes on where a test says so. */
class LeapClock implements Clock {
  leapMs = 0;

  nowMs(): number {
    return systemClock.nowMs() + this.leapMs;
  }

  monotonicMs(): number {
    return systemClock.monotonicMs() + this.leapMs;
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return systemClock.sleep(ms, signal);
  }
}

let store: MemoryStore;
let clock: LeapClock;
let done: string[];
/** Who took what back. */
let takenBack: [string, Json][];
/** How the next attempt ends; it is waited for. */
let ends: Promise<Error | null>;
const hosts: Host[] = [];
const dirs: TempDir[] = [];

beforeEach(async () => {
  store = new MemoryStore();
  clock = new LeapClock();
  [done, takenBack] = [[], []];
  ends = Promise.resolve(null);
  await createInstance({ ...logOptions(), name: 'inst', createdMs: 0 });
});

afterEach(async () => {
  for (const { run } of hosts.splice(0)) run[Symbol.dispose]();
  for (const dir of dirs.splice(0)) await dir[Symbol.asyncDispose]();
});

function logOptions(): Parameters<typeof openInstanceLog>[0] {
  return { store, iid: 'inst', logKey: LOG_KEY, clock, random: systemRandom };
}

/** A host with one worker, which a test leads. */
class Host {
  readonly run: DeskRun;
  readonly name: string;
  readonly #claims: InstanceClaims;
  readonly #dir: string;

  constructor(name: string, dir: TempDir) {
    this.name = name;
    this.#dir = dir.path;
    const handler: JobHandler = idleHandler('clear-data', {
      run: async ({ keep }) => {
        done.push(name);
        await keep({ begunBy: name });
        const fault = await ends;
        if (fault !== null) throw fault;
        return { state: 'succeeded', result: { by: name } };
      },
      takeBack: ({ checkpoint }) => {
        takenBack.push([name, checkpoint]);
        return Promise.resolve();
      },
    });
    this.run = openDesk(dir.path, clock, { handlers: [handler] });
    const workspace = {
      store,
      keys: { logKey: () => Promise.resolve(LOG_KEY) },
      catalog: { instances: () => [{ ...EMPTY_INSTANCE_STATE }] },
    } as unknown as Pick<Workspace, 'store' | 'keys' | 'catalog'>;
    this.#claims = new InstanceClaims(workspace, clock, systemRandom);
  }

  /** A process of this host starts, and looks at what was left. */
  async restart(id: string): Promise<void> {
    const over = new AbortController();
    const workspace = { config: { stateDir: this.#dir } } as unknown as Pick<Workspace, 'config'>;
    const { desk, rows } = this.run;
    const ports = { clock, random: systemRandom, logger: QUIET };
    const looking = takeBackLeft({ workspace, desk, rows, ...ports }, over.signal);
    await expect.poll(() => rows.db.read(() => rows.fold(id))?.touched, WAIT).toBe(false);
    over.abort();
    await looking;
  }

  static async open(name: string): Promise<Host> {
    const dir = await TempDir.create();
    dirs.push(dir);
    const host = new Host(name, dir);
    hosts.push(host);
    return host;
  }

  /** Takes a job up, once its pause is over, and does what the log lets it do. */
  async tryIt(id: string): Promise<Job> {
    const { desk, rows } = this.run;
    clock.leapMs += 11_000;
    const nowMs = clock.nowMs();
    const worker = `${this.name}.1`;
    const claim = { type: 'claim', worker, nowMs, untilMs: nowMs + 15_000 } as const;
    const parts = { desk, rows, clock, logger: QUIET, claims: this.#claims, worker };
    await new JobRun(desk.command(id, claim), { ...parts, claimMs: 15_000 }).perform();
    return desk.get(id);
  }

  /** Tells the host that asked how the job stands here, as the bus does. */
  tell(id: string, asking: Host): Job {
    const job = this.run.desk.get(id);
    asking.run.desk.applyRemote({ seq: 1, atMs: clock.nowMs(), job }, asking.name);
    return asking.run.desk.get(id);
  }
}

/** The order as it goes over the bus. */
function orderOf({ run }: Host, id: string): Job {
  const fold = run.rows.db.read(() => run.rows.fold(id));
  if (fold === null) throw new Error('no job');
  return { ...fold.job, attempt: fold.ordered };
}

it('a job is done once, however often another host has asked for it meanwhile', async () => {
  const [asks, works, waits] = [
    await Host.open('hx'),
    await Host.open('hy'),
    await Host.open('hz'),
  ];
  const { id } = await asks.run.desk.submit(ORDER);
  for (const host of [works, waits]) host.run.desk.admit(orderOf(asks, id));
  let end: (fault: Error | null) => void = () => undefined;
  ends = new Promise((resolve) => (end = resolve));
  const working = works.tryIt(id);
  await expect.poll(() => done, WAIT).toEqual(['hy']);
  works.tell(id, asks);
  for (let i = 0; i < 3; i++) {
    expect(await waits.tryIt(id)).toMatchObject({ state: 'queued', attempt: 0 });
    expect(waits.tell(id, asks)).toMatchObject({ worker: 'hy.1', attempt: 1 });
  }
  end(null);
  expect(await working).toMatchObject({ state: 'succeeded', attempt: 1 });
  for (let i = 0; i < 5 && waits.run.desk.get(id).state === 'queued'; i++) await waits.tryIt(id);
  expect(done).toEqual(['hy']);
  expect(waits.run.desk.get(id)).toMatchObject({ state: 'succeeded', attempt: 1, result: null });
  expect(works.tell(id, asks)).toMatchObject({ state: 'succeeded', result: { by: 'hy' } });
  expect(waits.tell(id, asks).result).toEqual({ by: 'hy' });
  // An order that comes late, or again since nobody was heard.
  works.run.desk.admit(orderOf(asks, id));
  expect(works.run.desk.get(id).state).toBe('succeeded');
});

for (const [outcome, fault] of [
  ['succeeded', null],
  ['failed', new UsageError('TM_NOT_FOUND', 'there is nothing')],
] as const) {
  it(`an own job that another host has ended is not done again, but ${outcome}`, async () => {
    const [asks, works] = [await Host.open('hx'), await Host.open('hy')];
    const { id } = await asks.run.desk.submit(ORDER);
    works.run.desk.admit(orderOf(asks, id));
    ends = Promise.resolve(fault);
    expect((await works.tryIt(id)).state).toBe(outcome);
    expect((await asks.tryIt(id)).state).toBe('queued'); // its worker has time to tell
    for (let i = 0; i < 5 && asks.run.desk.get(id).state === 'queued'; i++) await asks.tryIt(id);
    expect(done).toEqual(['hy']);
    expect(asks.run.desk.get(id)).toMatchObject({ state: outcome, attempt: 1, worker: null });
    expect(asks.run.desk.get(id).problem?.code).toBe(fault === null ? undefined : 'TM_JOB_LOST');
  });
}

it('a job that was resumed is done again, and no end of before ends it', async () => {
  const [asks, works, waits] = [
    await Host.open('hx'),
    await Host.open('hy'),
    await Host.open('hz'),
  ];
  const { id } = await asks.run.desk.submit(ORDER);
  for (const host of [works, waits]) host.run.desk.admit(orderOf(asks, id));
  ends = Promise.resolve(new UsageError('TM_NOT_FOUND', 'there is nothing'));
  await works.tryIt(id);
  expect(works.tell(id, asks)).toMatchObject({ state: 'failed', attempt: 1 });
  await asks.run.desk.resume(id, ALICE);
  expect(works.tell(id, asks).state).toBe('queued'); // said again
  ends = Promise.resolve(null);
  // One that never heard of the resume does not do it; one that did does.
  expect((await waits.tryIt(id)).attempt).toBe(0);
  expect(done).toEqual(['hy']);
  waits.run.desk.admit(orderOf(asks, id));
  expect(await waits.tryIt(id)).toMatchObject({ state: 'succeeded', attempt: 2 });
  expect(waits.tell(id, asks)).toMatchObject({ state: 'succeeded', result: { by: 'hz' } });
  works.run.desk.admit(orderOf(asks, id));
  await works.tryIt(id);
  expect(done).toEqual(['hy', 'hz']);
});

it('what a host began of a job that another one took over and ended is taken back by it alone', async () => {
  const [asks, begins, goesOn] = [
    await Host.open('hx'),
    await Host.open('hy'),
    await Host.open('hz'),
  ];
  const { id } = await asks.run.desk.submit(ORDER);
  for (const host of [begins, goesOn]) host.run.desk.admit(orderOf(asks, id));
  // It waits for another attempt, and its process ends: its claim stands in the log until it is seen to be silent.
  ends = Promise.resolve(new NodeError('TM_NODE_UNREACHABLE', 'gone'));
  expect((await begins.tryIt(id)).state).toBe('queued');
  ends = Promise.resolve(null);
  for (let i = 0; i < 9 && goesOn.run.desk.get(id).state === 'queued'; i++) await goesOn.tryIt(id);
  expect(goesOn.run.desk.get(id)).toMatchObject({ state: 'succeeded', attempt: 2 });
  for (let i = 0; i < 9 && begins.run.desk.get(id).state === 'queued'; i++) await begins.tryIt(id);
  expect(begins.run.desk.get(id)).toMatchObject({ state: 'succeeded', attempt: 2, result: null });
  expect(done).toEqual(['hy', 'hz']);
  for (const host of [begins, goesOn, begins]) await host.restart(id);
  expect(takenBack).toEqual([['hy', { begunBy: 'hy' }]]);
});

it('a host that takes over from one whose worker stopped is heard, though it counts from one', async () => {
  const [asks, goesOn] = [await Host.open('hx'), await Host.open('hz')];
  const { id } = await asks.run.desk.submit(ORDER);
  const told: Job = { ...asks.run.desk.get(id), state: 'running', worker: 'hy.1', attempt: 5 };
  asks.run.desk.applyRemote({ seq: 1, atMs: clock.nowMs(), job: told }, asks.name);
  const waits: Job = { ...told, state: 'queued', worker: null };
  asks.run.desk.applyRemote({ seq: 2, atMs: clock.nowMs(), job: waits }, asks.name);
  goesOn.run.desk.admit(orderOf(asks, id));
  expect(await goesOn.tryIt(id)).toMatchObject({ state: 'succeeded', attempt: 1 });
  expect(goesOn.tell(id, asks)).toMatchObject({ state: 'succeeded', result: { by: 'hz' } });
});
