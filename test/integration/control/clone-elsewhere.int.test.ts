import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { systemClock, systemRandom } from '@tidemark/system';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { cloneHandler } from '../../../services/control/src/clone/clone-handler.ts';
import { openControl } from '../../../services/control/src/control.ts';
import type { Job, Json } from '../../../services/control/src/jobs/job.ts';
import { LocalJobDesk } from '../../../services/control/src/jobs/job-desk.ts';
import { endHostServer } from '../../../services/control/src/provision/end-host-server.ts';
import {
  endProcesses,
  processesIn,
  readNote,
  writeNote,
} from '../../../services/control/src/provision/local-folder.ts';
import { waitFor } from '../../support/archiver-run.ts';
import { attempt, CloneBench } from '../../support/control-clone/clone-bench.ts';
import { ALICE, QUIET } from '../../support/job-desk.ts';

let bench: CloneBench;
let root: string;

beforeAll(async () => {
  bench = await CloneBench.open();
  root = join(bench.archive.dir, 'c');
  const client = await bench.archive.server.connect();
  await client.mset('a', '1', 'b', '2');
  await bench.settled();
});

afterAll(async () => {
  for (const name of await readdir(root).catch(() => []))
    await endProcesses(join(root, name), false);
  await bench[Symbol.asyncDispose]();
});

const wish = (name: string): Json => ({
  ...{ source: { kind: 'latest' }, name, target: { kind: 'local' } },
});

/** What an attempt of this host leaves that was killed before it wrote a phase down. */
async function leftBefore(phase: string, job: Job): Promise<Json> {
  const handler = cloneHandler(await bench.parts());
  const killed = new Error('killed');
  const { error, checkpoint } = await attempt(
    { ...handler, cleanUp: () => Promise.resolve() },
    job,
    {
      onKeep: (next) => {
        if ((next as { readonly phase: string }).phase === phase) throw killed;
      },
    },
  );
  // The last phase is none that is written down.
  if (phase !== 'end') expect(error).toBe(killed);
  return checkpoint;
}

/** Another host has ended the job: what is said here when what is left of it was looked at. */
async function takenBack(
  job: Job,
  checkpoint: Json,
  state: Job['state'] = 'succeeded',
): Promise<readonly string[]> {
  const lines: string[] = [];
  await cloneHandler(await bench.parts()).takeBack?.({
    ...{ job: { ...job, state }, checkpoint },
    signal: new AbortController().signal,
    keep: () => Promise.resolve(),
    log: (_, message) => void lines.push(message),
  });
  return lines;
}

async function begun(name: string, phase: string): Promise<readonly [Job, Json]> {
  const job = await bench.job(cloneHandler(await bench.parts()), wish(name));
  return [job, await leftBefore(phase, job)];
}

async function passwords(job: Job): Promise<readonly string[]> {
  const all = await readdir(join(bench.archive.dir, 'secrets'));
  return all.filter((name) => name.endsWith(`-${job.id}.pass`)).sort();
}

async function expectLeft(job: Job, lines: readonly string[], why: string): Promise<void> {
  expect(lines).toEqual([expect.stringContaining(why)]);
  expect(lines[0]).toContain(`tidemark servers end ${job.id} --data delete`);
  expect(await readNote(join(root, job.id))).not.toBeNull();
  expect(await passwords(job)).toContain(`clone-${job.id}.pass`);
}

it('what a host began of a clone that another one finished goes when its processes start again', async () => {
  const ports = { clock: systemClock, random: systemRandom, logger: QUIET };
  await using control = await openControl({ configPath: bench.configPath, ...ports });
  const { jobs: desk } = control;
  if (!(desk instanceof LocalJobDesk)) throw new Error('another desk');
  const order = {
    kind: 'clone',
    instance: 'orders',
    request: wish('shared'),
    actor: ALICE,
  } as const;
  const { id } = await desk.submit(order);
  const clear = await bench.job(cloneHandler(await bench.parts()), wish('shared'));
  const job = { ...clear, id };
  const worker = 'h1.1-2-3';
  const nowMs = Date.now();
  desk.command(id, { type: 'claim', worker, nowMs, untilMs: nowMs + 1 });
  const checkpoint = await leftBefore('replayed', job);
  control.state.write(() =>
    control.state.run(
      'UPDATE jobs SET checkpoint = ? WHERE id = ?',
      JSON.stringify(checkpoint),
      id,
    ),
  );
  desk.command(id, { type: 'release', worker, notBeforeMs: nowMs + 1_000_000, excused: true });
  expect(await processesIn(join(root, id))).toHaveLength(1);
  expect(await passwords(job)).toEqual([`clone-${id}.pass`, `loader-${id}.pass`]);

  const lines = (): readonly string[] => desk.lines(id, 0, 100).map(({ message }) => message);
  const end = { state: 'succeeded', attempt: 2, worker: null, endedMs: Date.now() } as const;
  desk.applyRemote({ seq: 9, atMs: Date.now(), job: { ...desk.get(id), ...end } }, 'h1');

  const again = new AbortController();
  const running = control.run(again.signal, { workers: false, scheduler: false });
  await waitFor(() => lines().some((line) => line.includes('is taken away')));
  again.abort();
  await running;
  expect(desk.get(id).state).toBe('succeeded');
  expect(await readdir(root)).not.toContain(id);
  expect(await passwords(job)).toEqual([]);

  // The name is free again, and what is handed over here stays.
  const { error, job: handed, checkpoint: last } = await bench.clone(wish('shared'));
  expect(error).toBeNull();
  const { owner } = (await readNote(join(root, handed.id))) ?? {};
  await writeNote(join(root, handed.id), { ...(await noteOf(handed)), owner: 'hother' });
  await expectLeft(handed, await takenBack(handed, last), 'another host has taken it over');
  await writeNote(join(root, handed.id), { ...(await noteOf(handed)), owner: owner ?? '' });
});

async function noteOf(job: Job): Promise<Parameters<typeof writeNote>[1]> {
  const note = await readNote(join(root, job.id));
  if (note === null) throw new Error('no note');
  return note;
}

it('a server that is whole is left while somebody is in it, or keeps it, and goes else', async () => {
  const [job, checkpoint] = await begun('whole', 'end');
  const dir = join(root, job.id);
  const file = join(bench.archive.dir, 'secrets', `clone-${job.id}.pass`);
  const password = (await readFile(file, 'utf8')).trim();
  const path = join(dir, 'server.sock');
  const client = new Redis({ path, password, lazyConnect: true, retryStrategy: () => null });
  await client.connect();
  await expectLeft(job, await takenBack(job, checkpoint), 'somebody is connected to it');
  expect(await client.dbsize()).toBe(2);
  client.disconnect();
  // A server of somebody else's in that folder: no process but that of the clone is ended.
  const config = join(bench.archive.dir, 'stranger.conf');
  await writeFile(config, 'port 0\nsave ""\nunixsocket s.sock\n');
  const stranger = spawn('redis-server', [config], { cwd: dir, stdio: 'ignore' });
  try {
    await waitFor(async () => (await processesIn(dir)).includes(stranger.pid ?? 0));
    // It may take a moment until the connection is gone.
    await waitFor(async () => {
      const busy = await takenBack(job, checkpoint).catch((cause: unknown) => cause);
      return (busy as { readonly code?: string }).code === 'TM_SERVER_START';
    });
    expect(await processesIn(dir)).toEqual([stranger.pid]);
    expect(stranger.exitCode).toBeNull();
    expect(await readNote(dir)).not.toBeNull();
  } finally {
    stranger.kill('SIGKILL');
    if (stranger.exitCode === null && stranger.signalCode === null) await once(stranger, 'exit');
  }
  await expectLeft(job, await takenBack(job, checkpoint), 'does not run any more');
});

it('one that its owner has ended, and kept the data of, stays', async () => {
  const [job, checkpoint] = await begun('kept', 'end');
  const parts = await bench.parts();
  const jobs = { get: () => ({ ...job, endedMs: 1 }) };
  const { secrets } = parts.provisioners;
  const audit = { append: () => undefined } as unknown as Parameters<
    typeof endHostServer
  >[3]['audit'];
  await endHostServer(job.id, false, ALICE, { workspace: parts.workspace, jobs, audit, secrets });
  await expectLeft(job, await takenBack(job, checkpoint), 'kept its data');
  await endHostServer(job.id, true, ALICE, { workspace: parts.workspace, jobs, audit, secrets });
  expect(await takenBack(job, checkpoint)).toEqual([]);
});

it('what was begun goes from every phase on, also where nothing is written down of it', async () => {
  for (const phase of ['provisioned', 'promoted', 'registering']) {
    const [job, checkpoint] = await begun(`at-${phase}`, phase);
    const kept = phase === 'provisioned' ? null : checkpoint;
    expect(await takenBack(job, kept, 'failed'), phase).toEqual([
      expect.stringContaining('is taken away'),
    ]);
    expect(await processesIn(join(root, job.id)), phase).toEqual([]);
    expect(await readdir(root), phase).not.toContain(job.id);
    expect(await passwords(job), phase).toEqual([]);
    expect(await takenBack(job, kept, 'failed'), phase).toEqual([]);
  }
});
