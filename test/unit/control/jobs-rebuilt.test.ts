import { EMPTY_INSTANCE_STATE, type OpenJob } from '@tidemark/catalog';
import type { Job, JobEvent } from '@tidemark/control';
import type { Workspace } from '@tidemark/workspace';
import { expect, it } from 'vitest';
import { rebuildJobs, type RebuildParts } from '../../../services/control/src/jobs/rebuild-jobs.ts';
import { ALICE, openDesk, QUIET, SetClock } from '../../support/job-desk.ts';
import { TempDir } from '../../support/temp-dir.ts';

const never = new AbortController().signal;

it('a claim that is renewed is that of a job that runs: it is put back only once it is silent', async () => {
  await using dir = await TempDir.create();
  const clock = new SetClock();
  using run = openDesk(dir.path, clock);
  const claim = (job: string, worker: string): OpenJob => ({
    ...{ job, worker, kind: 'backup', by: 'alice', attempt: 1 },
    ...{ untilMs: clock.ms, atMs: clock.ms },
  });
  let open: readonly OpenJob[] = [claim('job-1', 'h1.1'), claim('job-2', 'h2.1')];
  const workspace = {
    sync: () => Promise.resolve(),
    catalog: {
      instances: () => [{ ...EMPTY_INSTANCE_STATE, iid: 'inst', jobs: { open, ended: [] } }],
    },
  } as unknown as Workspace;
  const { rows, audit } = run;
  const parts: RebuildParts = {
    ...{ workspace, rows, audit, clock, logger: QUIET, host: 'h1', seen: new Map() },
  };
  const states = (): readonly string[] =>
    run.desk
      .list({ pageSize: 10 })
      .jobs.map(({ id, state }) => `${id} ${state}`)
      .sort();
  expect(await rebuildJobs(parts, never)).toEqual({ count: 0, own: 1, others: 1 });
  clock.ms += 10_000;
  expect(await rebuildJobs(parts, never)).toEqual({ count: 1, own: 0, others: 1 });
  expect(states()).toEqual(['job-1 failed']);
  // The other host is alive: it renews.
  for (let i = 0; i < 6; i++) {
    clock.ms += 20_000;
    open = [claim('job-2', 'h2.1')];
    expect(await rebuildJobs(parts, never)).toMatchObject({ count: 0, others: 1 });
  }
  clock.ms += 60_000;
  expect(await rebuildJobs(parts, never)).toMatchObject({ count: 1, others: 0 });
  expect(states()).toEqual(['job-1 failed', 'job-2 failed']);
});

it('the end of a job of another host that was read back is told to that host when it asks again', async () => {
  await using dir = await TempDir.create();
  await using elsewhere = await TempDir.create();
  const clock = new SetClock();
  using asks = openDesk(elsewhere.path, clock);
  using run = openDesk(dir.path, clock);
  const order = { kind: 'restore', instance: 'inst', request: {}, actor: ALICE } as const;
  const ordered = await asks.desk.submit(order);
  const { id } = ordered;
  const running: Job = { ...ordered, state: 'running', worker: 'h1.1', attempt: 1 };
  asks.desk.applyRemote({ seq: 1, atMs: clock.ms, job: running }, 'h2');
  const open: OpenJob = {
    ...{ job: id, worker: 'h1.1', kind: 'restore', by: 'alice', attempt: 1 },
    ...{ untilMs: clock.ms, atMs: clock.ms },
  };
  const jobs = { open: [open], ended: [] };
  const workspace = {
    sync: () => Promise.resolve(),
    config: { stateDir: dir.path },
    catalog: { instances: () => [{ ...EMPTY_INSTANCE_STATE, iid: 'inst', jobs }] },
  } as unknown as Workspace;
  const { rows, audit } = run;
  const parts: RebuildParts = {
    ...{ workspace, rows, audit, clock, logger: QUIET, host: 'h1', seen: new Map() },
  };
  await rebuildJobs(parts, never);
  clock.ms += 10_000;
  expect(await rebuildJobs(parts, never)).toMatchObject({ count: 1 });
  const told: JobEvent[] = [];
  run.desk.onEvent((event) => told.push(event));
  for (let i = 0; i < 2; i++) run.desk.admit(ordered, { count: 1, atMs: clock.ms });
  expect(told).toHaveLength(1);
  expect(rows.db.read(() => rows.fold(id))).toMatchObject({ foreign: true, ordered: 0 });
  for (const event of told) asks.desk.applyRemote(event, 'h2');
  expect(asks.desk.get(id)).toMatchObject({ state: 'failed', problem: { code: 'TM_JOB_LOST' } });
});
