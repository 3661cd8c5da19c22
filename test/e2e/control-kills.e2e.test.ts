import { readFile, writeFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  ControlHost,
  ONE,
  withRedis,
  type JobDocument,
} from '../support/control-e2e/control-host.ts';
import { secondOf, tellStory, type Story } from '../support/control-e2e/story.ts';
import { diffOracle, readOracle } from '../support/oracle.ts';
import type { ArchiverProcess } from '../support/tidemark-cli.ts';

/** Phases of a restore into a new server, in their order. */
const PHASES = ['plan', 'verify', 'preflight', 'attach', 'replay', 'promote', 'persist'] as const;

let host: ControlHost;
let archiver: ArchiverProcess;
let api: ArchiverProcess;
let story: Story;
let body: object;

beforeAll(async () => {
  host = await ControlHost.start('workers = 1\n');
  [archiver, api] = [host.archiver(), host.api()];
  await host.untilServed();
  story = await tellStory(host);
  const point = { restoreType: 'pointInTime', restoreTime: story.at };
  body = { ...point, target: { kind: 'new' }, verify: 'full' };
});
afterAll(async () => {
  await host[Symbol.asyncDispose]();
});

const restores = `${ONE}/restores`;

async function expectWhole({ result }: JobDocument): Promise<void> {
  const password = await host.passwordOf(result);
  const found = await withRedis(String(result?.['target']), readOracle, password);
  expect(diffOracle(story.then, found)).toEqual([]);
}

/** API and archiver are killed, and started again. */
async function killServices(): Promise<void> {
  await Promise.all([api.kill(), archiver.kill()]);
  [archiver, api] = [host.archiver(), host.api()];
  await host.untilServed();
}

async function expectSameJob(key: string, id: string): Promise<void> {
  const again = await host.post(restores, body, key);
  expect([again.status, again.body?.['id']]).toEqual([202, id]);
  expect(again.headers.get('idempotency-replayed')).toBe('true');
}

describe('a restore that is asked for over HTTP', () => {
  it('goes on while API and archiver are killed in each of its phases; no event is lost', async () => {
    const worker = await host.worker({ phase: PHASES[0], signal: 'SIGSTOP' });
    const id = await host.begin(restores, body, 'restarts');
    const follower = host.follow(id);
    try {
      for (const [at, phase] of PHASES.entries()) {
        await worker.stopped();
        await killServices();
        const { body: job } = await host.ask(`/v1/jobs/${id}`);
        expect(job).toMatchObject({ id, state: 'running', phase, attempt: 1 });
        await expectSameJob('restarts', id);
        const next = PHASES[at + 1];
        if (next !== undefined) await worker.stopAt(next);
        worker.goOn();
      }
      const job = await host.ended(id);
      expect(job).toMatchObject({ state: 'succeeded', attempt: 1, problem: null });
      await expectWhole(job);
      await follower.done;
    } finally {
      await follower.stop();
    }
    await worker.process.stop();
    const { seen, breaks } = follower;
    expect(breaks).toBeGreaterThanOrEqual(PHASES.length);
    expect(seen.map((event) => event.id)).toEqual(seen.map((_, i) => i + 1));
    const whole = host.follow(id);
    await whole.done;
    expect(whole.seen).toEqual(seen);
    // The archiver goes on where the log ended.
    await host.redis.set('after', 'the kills');
    await host.untilProven(await secondOf(host.redis));
  });

  it('is brought to its end by another worker when its own is killed, in whatever phase, and done once', async () => {
    await host.endServers();
    const before = (await host.servers()).length;
    const ids = await Promise.all(PHASES.map((key) => host.begin(restores, body, key)));
    expect(new Set(ids).size).toBe(PHASES.length);
    await Promise.all(
      PHASES.map(async (phase) => {
        const worker = await host.worker({ phase, signal: 'SIGKILL' });
        await worker.process.exited;
        expect(worker.process.child.signalCode, worker.process.log).toBe('SIGKILL');
      }),
    );
    await killServices();
    const jobs = await Promise.all(ids.map((id) => host.job(id)));
    expect(jobs.map(({ phase }) => phase).sort()).toEqual([...PHASES].sort());
    const { config } = host.tidemark;
    const settings = await readFile(config, 'utf8');
    await writeFile(config, settings.replace('workers = 1', `workers = ${PHASES.length}`));
    const worker = await host.worker();
    for (const [at, key] of PHASES.entries()) await expectSameJob(key, ids[at] ?? '');
    const other = await host.post(restores, { ...body, verify: 'stream' }, PHASES[0]);
    expect(other.body).toMatchObject({ type: 'urn:tidemark:problem:idempotency-mismatch' });
    for (const id of ids) {
      const job = await host.ended(id);
      expect(job).toMatchObject({ state: 'succeeded', attempt: 2, problem: null });
      await expectWhole(job);
    }
    await worker.process.stop();
    expect(await host.running()).toBe(PHASES.length);
    expect(await host.servers()).toHaveLength(before + PHASES.length);
    expect((await host.leftovers()).filter((name) => name.endsWith('.json'))).toEqual([]);
    const { body: listed } = await host.ask('/v1/jobs?pageSize=100');
    expect(listed?.['jobs']).toHaveLength(PHASES.length + 1);
  });
});
