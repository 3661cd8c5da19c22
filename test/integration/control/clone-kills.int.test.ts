import { once } from 'node:events';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { cloneHandler } from '../../../services/control/src/clone/clone-handler.ts';
import type { Job, Json } from '../../../services/control/src/jobs/job.ts';
import {
  endProcesses,
  localServers,
  processesIn,
} from '../../../services/control/src/provision/local-folder.ts';
import { attempt, CloneBench } from '../../support/control-clone/clone-bench.ts';
import { spawnTypeScript } from '../../support/ts-child.ts';

const CHILD = new URL('../../support/control-clone/clone-child.ts', import.meta.url);
const PASSWORD = 'Clone-pass-1';
const KEYS = 500;

let bench: CloneBench;
let root: string;

beforeAll(async () => {
  bench = await CloneBench.open();
  root = join(bench.archive.dir, 'c');
  const client = await bench.archive.server.connect();
  const pipeline = client.pipeline();
  for (let i = 0; i < KEYS; i++) pipeline.set(`key:${i}`, `value ${i}`);
  await pipeline.exec();
  await bench.settled();
});

afterAll(async () => {
  for (const name of await readdir(root).catch(() => []))
    await endProcesses(join(root, name), false);
  await bench[Symbol.asyncDispose]();
});

async function jobFor(name: string): Promise<Job> {
  const source = { kind: 'latest' } as const;
  const target = { kind: 'local' } as const;
  const request = { source, name, password: PASSWORD, target };
  return bench.job(cloneHandler(await bench.parts()), request);
}

/** Ends an attempt as a kill does: nothing that comes after is done, and nothing is taken back. */
class Killed extends Error {}

/** An attempt that ends right before a phase is written down; what it has done stays. */
async function killedBefore(phase: string, job: Job, checkpoint: Json): Promise<Json> {
  const handler = cloneHandler(await bench.parts());
  const { error, checkpoint: kept } = await attempt(
    { ...handler, cleanUp: () => Promise.resolve() },
    job,
    {
      checkpoint,
      onKeep: (next) => {
        if ((next as { readonly phase: string }).phase === phase) throw new Killed(phase);
      },
    },
  );
  expect(error, phase).toBeInstanceOf(Killed);
  return kept;
}

/** One server, whole, with nobody in it but its owner. */
async function expectWhole(job: Job, url: string): Promise<void> {
  const note = (await localServers(root)).find(({ id }) => id === job.id);
  expect(note).toMatchObject({ state: 'ready' });
  expect(await processesIn(join(root, job.id))).toHaveLength(1);
  const own = { host: '127.0.0.1', port: Number(url.split(':').at(-1)), lazyConnect: true };
  const copy = new Redis({ ...own, password: PASSWORD, retryStrategy: () => null });
  copy.on('error', () => undefined);
  await copy.connect();
  expect(await copy.dbsize()).toBe(KEYS);
  expect(await copy.get(`key:${KEYS - 1}`)).toBe(`value ${KEYS - 1}`);
  expect(await copy.call('ACL', 'USERS')).toEqual(['default']);
  copy.disconnect();
}

it.each([
  [['provisioned', 'looked', 'replaying', 'replayed', 'resuming', 'promoted']],
  [['promoting', 'promoted', 'settling', 'registering']],
])('a clone is made once and whole although its worker ends before it noted %j', async (phases) => {
  const job = await jobFor(`copy-${phases.length}`);
  let checkpoint: Json = null;
  for (const phase of phases) checkpoint = await killedBefore(phase, job, checkpoint);
  const handler = cloneHandler(await bench.parts());
  const { outcome, error } = await attempt(handler, job, { checkpoint });
  expect(error).toBeNull();
  const { url, keys } = outcome?.result as { readonly url: string; readonly keys: number };
  expect(keys).toBe(KEYS);
  await expectWhole(job, url);
});

it('one whose worker is killed while the data are on their way is gone on with, or taken back', async () => {
  const job = await jobFor('midway');
  const [jobFile, checkpointFile] = [join(bench.archive.dir, 'j'), join(bench.archive.dir, 'k')];
  await writeFile(jobFile, JSON.stringify(job));
  const child = spawnTypeScript(CHILD, [bench.configPath, jobFile, checkpointFile]);
  child.stdout?.resume();
  const [, signal] = (await once(child, 'close')) as [number | null, string | null];
  expect(signal).toBe('SIGKILL');
  const checkpoint = JSON.parse(await readFile(checkpointFile, 'utf8')) as Json;
  expect(checkpoint).toMatchObject({ phase: 'replaying' });
  expect(await processesIn(join(root, job.id))).toHaveLength(1);

  const handler = cloneHandler(await bench.parts());
  const { outcome, error } = await attempt(handler, job, { checkpoint });
  expect(error).toBeNull();
  await expectWhole(job, (outcome?.result as { readonly url: string }).url);

  const { signal: held } = new AbortController();
  const shared = { keep: () => Promise.resolve(), log: () => undefined };
  const context = { job, signal: held, checkpoint, ...shared };
  for (let time = 0; time < 2; time++) await handler.cleanUp(context);
  expect(await readdir(root)).not.toContain(job.id);
});
