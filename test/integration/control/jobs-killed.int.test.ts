import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Job } from '@tidemark/control';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { LocalJobDesk } from '../../../services/control/src/jobs/job-desk.ts';
import { waitFor } from '../../support/archiver-run.ts';
import { JobBench, type RunningControl } from '../../support/control-jobs/job-bench.ts';
import { diffOracle, readOracle, type Oracle } from '../../support/oracle.ts';

const REQUEST = { point: { kind: 'latest' }, target: { kind: 'new' } } as const;
/**
 * It is killed as these phases begin: a server was started and nothing is on record; the feed is on; all
 * was replayed; it is promoted. Before them nothing was touched.
 */
const PHASES = ['attach', 'replay', 'promote', 'persist'] as const;

let bench: JobBench;
let source: Oracle;
let asking: RunningControl;

beforeAll(async () => {
  bench = await JobBench.open();
  const client = await bench.clones.archive.server.connect();
  const pipeline = client.pipeline();
  for (let i = 0; i < 500; i++) pipeline.set(`key:${i}`, `value ${i}`);
  pipeline.hset('hash', 'a', '1').rpush('list', '1', '2').xadd('stream', '*', 'f', 'v');
  pipeline.set('lives', 'x', 'EX', 3_600);
  await pipeline.exec();
  await bench.clones.settled();
  source = await readOracle(client);
  asking = await bench.control(false);
});

afterEach(() => bench.endServers());

afterAll(async () => {
  await asking[Symbol.asyncDispose]();
  await bench[Symbol.asyncDispose]();
});

async function expectWhole(job: Job): Promise<void> {
  const client = await bench.connectTo(job);
  try {
    expect(diffOracle(source, await readOracle(client))).toEqual([]);
  } finally {
    client.disconnect();
  }
}

describe('a restore whose worker is killed', () => {
  for (const phase of PHASES) {
    it(`as ${phase} begins is brought to its end by another worker, exactly`, async () => {
      const { id } = await bench.submit(asking.control, 'restore', REQUEST);
      await bench.killAt(phase);
      await using worker = await bench.control();
      const job = await bench.ended(worker.control, id);
      expect(job.problem).toBeNull();
      expect(job).toMatchObject({ state: 'succeeded', attempt: 2 });
      await expectWhole(job);
      // What the killed one had started is gone, or is what was handed over.
      expect(bench.serversLeft()).toHaveLength(1);
      expect(await bench.recordsLeft()).toEqual([]);
    });
  }

  it('and that another host ends meanwhile leaves nothing here, when a process starts again', async () => {
    const { id } = await bench.submit(asking.control, 'restore', REQUEST);
    await bench.killAt('replay');
    expect(bench.serversLeft()).toHaveLength(1);
    const { jobs } = asking.control;
    if (!(jobs instanceof LocalJobDesk)) throw new Error('another desk');
    const end = { state: 'succeeded', attempt: 2, worker: null, endedMs: Date.now() } as const;
    jobs.applyRemote({ seq: 9, atMs: Date.now(), job: { ...jobs.get(id), ...end } }, 'hother');
    await using _again = await bench.control(false);
    await waitFor(() => bench.logOf(asking.control, id).includes('is taken away'));
    expect(bench.serversLeft()).toEqual([]);
    const folders = await bench.foldersLeft();
    expect(folders.filter((name) => name.includes(id.slice('job-'.length)))).toEqual([]);
    expect(await bench.recordsLeft()).toEqual([]);
    const secrets = await readdir(join(bench.clones.archive.dir, 'secrets'));
    expect(secrets).not.toContain(`restore-${id}.pass`);
  });
});
