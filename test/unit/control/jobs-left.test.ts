import type { Job, JobHandler, Json } from '@tidemark/control';
import { systemRandom } from '@tidemark/system';
import type { Workspace } from '@tidemark/workspace';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { JobFold } from '../../../services/control/src/jobs/job-machine.ts';
import { takeBackLeft } from '../../../services/control/src/jobs/take-back-left.ts';
import { waitFor } from '../../support/archiver-run.ts';
import {
  ALICE,
  idleHandler,
  openDesk,
  QUIET,
  SetClock,
  type DeskRun,
} from '../../support/job-desk.ts';
import { TempDir } from '../../support/temp-dir.ts';

const HERE = 'h0123456789abcdef';
const OTHER = 'hfedcba9876543210.1-2-3';
const WORKER = `${HERE}.1-2-3`;

let dir: TempDir;
let run: DeskRun;
let clock: SetClock;
/** What was taken back: id and checkpoint. */
let taken: (readonly [string, Json])[];
/** What one that takes back waits for, or fails with. */
let ends: Promise<Error | null>;

const handler: JobHandler = idleHandler('clone', {
  takeBack: async ({ job, checkpoint, log }) => {
    taken.push([job.id, checkpoint]);
    const fault = await ends;
    if (fault !== null) throw fault;
    log('info', 'taken away');
  },
});

beforeEach(async () => {
  dir = await TempDir.create();
  clock = new SetClock();
  run = openDesk(dir.path, clock, { handlers: [handler, idleHandler('restore')] });
  [taken, ends] = [[], Promise.resolve(null)];
});
afterEach(async () => {
  run[Symbol.dispose]();
  await dir[Symbol.asyncDispose]();
});

/** A job that a worker of this host has begun, and that waits again. */
async function begun(kind: 'clone' | 'restore' = 'clone'): Promise<Job> {
  const { desk, rows } = run;
  const { id } = await desk.submit({ kind, instance: 'inst', request: {}, actor: ALICE });
  const nowMs = clock.nowMs();
  desk.command(id, { type: 'claim', worker: WORKER, nowMs, untilMs: nowMs + 1 });
  desk.command(id, { type: 'grant', worker: WORKER, attempt: 1 });
  rows.db.write(() => rows.saveCheckpoint(id, { begun: id }));
  return desk.command(id, {
    ...{ type: 'release', worker: WORKER, notBeforeMs: nowMs, excused: true },
  }).job;
}

/** What another host tells of it. */
function told(job: Job, state: Job['state']): void {
  const endedMs = state === 'running' ? null : clock.nowMs();
  const worker = state === 'running' ? OTHER : null;
  const resumable = state === 'failed';
  run.desk.applyRemote(
    { seq: 0, atMs: clock.nowMs(), job: { ...job, state, attempt: 2, worker, endedMs, resumable } },
    HERE,
  );
}

/** A process of this host that starts, and ends when the test says. */
function starts(): { readonly stop: () => Promise<void> } {
  const over = new AbortController();
  const workspace = { config: { stateDir: dir.path } } as unknown as Pick<Workspace, 'config'>;
  const { desk, rows } = run;
  const parts = { workspace, desk, rows, clock, random: systemRandom, logger: QUIET };
  const done = takeBackLeft(parts, over.signal);
  const stop = async (): Promise<void> => {
    over.abort();
    await done;
  };
  return { stop };
}

/** One look, to its end: the last job of it is one that is taken back. */
async function look(): Promise<void> {
  clock.ms += 1;
  const last = await begun();
  told(last, 'succeeded');
  const { stop } = starts();
  await waitFor(() => foldOf(last.id)?.touched === false);
  await stop();
  taken = taken.filter(([id]) => id !== last.id);
}

const foldOf = (id: string): JobFold | null => run.rows.db.read(() => run.rows.fold(id));
const checkpointOf = (id: string): Json => run.rows.db.read(() => run.rows.checkpoint(id));

describe('what this host has begun of a job', () => {
  it.each(['succeeded', 'failed', 'cancelled'] as const)(
    'is taken back once, when another host has ended it: %s',
    async (state) => {
      const job = await begun();
      told(job, state);
      for (let time = 0; time < 2; time++) {
        const { stop } = starts();
        await waitFor(() => taken.length > 0);
        await stop();
      }
      expect(taken).toEqual([[job.id, { begun: job.id }]]);
      expect(checkpointOf(job.id)).toBeNull();
      expect(foldOf(job.id)).toMatchObject({ touched: false, claim: null, job: { state } });
      const lines = run.desk.lines(job.id, 0, 10).map(({ message }) => message);
      expect(lines).toContain('taken away');
    },
  );

  it('is taken back when the log of the instance said that another host has ended it', async () => {
    const { id } = await begun();
    const nowMs = clock.nowMs();
    run.desk.command(id, { type: 'claim', worker: WORKER, nowMs, untilMs: nowMs + 1 });
    const adopted = { attempt: 2, state: 'succeeded', problem: null } as const;
    run.desk.command(id, { type: 'adopt', worker: WORKER, nowMs, ...adopted });
    const { stop } = starts();
    await waitFor(() => taken.length > 0);
    await stop();
    expect(taken).toEqual([[id, { begun: id }]]);
  });

  it('stays while the job is open, here or elsewhere, and when it was ended here', async () => {
    const { desk } = run;
    const waits = await begun();
    const elsewhere = await begun();
    told(elsewhere, 'running');
    const own = await begun();
    const nowMs = clock.nowMs();
    desk.command(own.id, { type: 'claim', worker: WORKER, nowMs, untilMs: nowMs + 1 });
    const outcome = { state: 'succeeded', result: null } as const;
    desk.command(own.id, { type: 'succeed', worker: WORKER, nowMs, outcome });
    const other = await begun('restore');
    told(other, 'succeeded');
    await look();
    expect(taken).toEqual([]);
    for (const { id } of [waits, elsewhere, own, other]) {
      expect(checkpointOf(id)).toEqual({ begun: id });
    }
  });

  it('keeps a job from going on while it is taken back, and no longer', async () => {
    const job = await begun();
    told(job, 'failed');
    let release = (): void => undefined;
    ends = new Promise((resolve) => (release = () => resolve(null)));
    const { stop } = starts();
    await waitFor(() => taken.length > 0);
    await expect(run.desk.resume(job.id, ALICE)).rejects.toMatchObject({
      ...{ code: 'TM_BUSY', context: { job: job.id } },
    });
    const second = starts(); // another process of this host leaves it alone
    release();
    await stop();
    await second.stop();
    expect(taken).toHaveLength(1);
    expect((await run.desk.resume(job.id, ALICE)).state).toBe('queued');
    expect(checkpointOf(job.id)).toBeNull();
  });

  it('is tried again by the next process, also when the one that was at it was killed', async () => {
    const job = await begun();
    told(job, 'succeeded');
    ends = Promise.resolve(new Error('no'));
    const first = starts();
    await waitFor(() => run.desk.lines(job.id, 0, 10).length > 0);
    await first.stop();
    expect(foldOf(job.id)).toMatchObject({ touched: true, claim: null });
    // No process has this number.
    const gone = `${HERE}.4194305-1-0123456789abcdef-00000000`;
    const nowMs = clock.nowMs();
    const until = { nowMs, untilMs: nowMs + 1_000, isGone: false };
    run.desk.command(job.id, { type: 'take-back', worker: gone, ...until });
    ends = Promise.resolve(null);
    await look();
    expect(taken).toHaveLength(1); // who holds it may live: its place is another one
    clock.ms += 1_000;
    const { stop } = starts();
    await waitFor(() => taken.length > 1);
    await stop();
    expect(foldOf(job.id)).toMatchObject({ touched: false, claim: null });
  });
});
