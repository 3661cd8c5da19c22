import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { selectorToJson } from '@tidemark/selector';
import type { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Job, Json } from '@tidemark/control';
import { writeBackHandler } from '../../../services/control/src/handlers/write-back.ts';
import type { JobContext } from '../../../services/control/src/jobs/job.ts';
import { SecretFolder } from '../../../services/control/src/provision/secrets.ts';
import { INSTANCE, waitFor } from '../../support/archiver-run.ts';
import { JobBench, OPS, type RunningControl } from '../../support/control-jobs/job-bench.ts';

const KEYS = 24;

let bench: JobBench;
let worker: RunningControl;
let client: Redis;
let second = 0;
let before: readonly (string | null)[] = [];

beforeAll(async () => {
  bench = await JobBench.open();
  const { server } = bench.clones.archive;
  const more = `[[instance]]\nid = "${INSTANCE}"\nurl = "redis://127.0.0.1:${server.port}"\naof_dir = "${server.aofDir}"`;
  await bench.clones.configure({ more });
  client = await server.connect();
  for (let i = 0; i < KEYS; i++) await client.set(`cart:${i}`, randomBytes(2_000).toString('hex'));
  before = await client.mget(names());
  second = Number(((await client.call('TIME')) as [string])[0]);
  await bench.clones.settled();
  // The second must be over before the accident.
  await waitFor(async () => Number(((await client.call('TIME')) as [string])[0]) > second);
  for (let i = 0; i < KEYS; i++) await client.set(`cart:${i}`, 'lost');
  await client.set('other', 'stays');
  worker = await bench.control();
});

afterAll(async () => {
  await worker[Symbol.asyncDispose]();
  await bench[Symbol.asyncDispose]();
});

const names = (): string[] => Array.from({ length: KEYS }, (_, i) => `cart:${i}`);

function request(more: object = {}): Json {
  const rest = { exclude: [], dbs: null, excludeDbs: [], types: null, excludeTypes: [] };
  const selector = selectorToJson({ include: [{ kind: 'glob', pattern: 'cart:*' }], ...rest });
  return { point: { kind: 'second', second }, selector, ...more } as Json;
}

describe('a write into the original as a job', () => {
  it('that is cancelled half-way says what it wrote, and a resume does the rest', async () => {
    const { control, onEvent } = worker;
    // So slow that the cancel comes half-way.
    const asked = request({ rateLimit: '60ops' });
    const off = onEvent(({ job }) => {
      if (job.state === 'running' && job.progress.keysDone >= 3 && job.progress.phase === 'write') {
        off();
        void control.jobs.cancel(job.id, OPS);
      }
    });
    const { id } = await bench.submit(control, 'write-back', asked);
    await expect(bench.submit(control, 'write-back', asked)).rejects.toMatchObject({
      code: 'TM_JOB_BUSY',
    });
    const cancelled = await bench.ended(control, id);
    expect(cancelled).toMatchObject({ state: 'cancelled', resumable: true });
    expect(bench.logOf(control, id)).toMatch(/[1-9]\d* keys were put back.*tidemark undo rs-/s);
    const half = (await client.mget(names())).filter((value) => value === 'lost').length;
    expect(half).toBeGreaterThan(0);
    expect(half).toBeLessThan(KEYS);
    await control.jobs.resume(id, OPS);
    const done = await bench.ended(control, id);
    expect(done.problem).toBeNull();
    expect(done).toMatchObject({ state: 'succeeded', attempt: 2 });
    expect(await client.mget(names())).toEqual(before);
    expect(await client.get('other')).toBe('stays');
    expect(done.result).toMatchObject({ state: 'succeeded', conflicts: 0, refused: 0 });
    const files = ['control.db', 'control.db-wal'].map((name) => join(bench.stateDir, name));
    const kept = Buffer.concat(await Promise.all(files.map((path) => readFile(path))));
    expect(kept.includes(id)).toBe(true);
    for (const name of ['cart:', Buffer.from('cart:*').toString('base64')]) {
      expect(kept.includes(name), name).toBe(false);
    }
  });

  it('whose worker is killed at its end is not done again: what clients wrote since stays', async () => {
    const { workspace, clock, random, logger } = worker.control;
    await client.set('cart:0', 'lost again');
    const handler = writeBackHandler({
      ...{ workspace, clock, random, logger, secrets: new SecretFolder(workspace.config) },
    });
    const order = { kind: 'write-back', instance: INSTANCE, actor: OPS } as const;
    const asked = await handler.check({ ...order, request: request() });
    const job = { ...order, id: `job-${'0'.repeat(25)}1`, request: asked } as unknown as Job;
    let kept: Json = null;
    const context = (): JobContext => ({
      ...{ job, signal: AbortSignal.timeout(60_000), checkpoint: kept },
      keep: async (next) => Promise.resolve(void (kept = next)),
      progress: () => undefined,
      log: () => undefined,
    });
    const first = await handler.run(context());
    expect(first.state).toBe('succeeded');
    expect(await client.mget(names())).toEqual(before);
    // Nobody has noted the end of the job; the next worker begins where the last one left off.
    await client.set('cart:0', 'paid');
    const again = await handler.run(context());
    expect(await client.get('cart:0')).toBe('paid');
    const { restored } = first.result as Record<string, Json>;
    expect(again).toMatchObject({ state: 'succeeded', result: { restored } });
    expect(JSON.stringify(kept)).not.toContain('cart:');
  });

  it('of everything, or into an original that is not configured, is refused', async () => {
    const { control } = worker;
    await expect(
      bench.submit(control, 'write-back', { point: { kind: 'latest' }, selector: null }),
    ).rejects.toMatchObject({ code: 'TM_SELECTOR_EMPTY' });
    await expect(
      control.jobs.submit({ kind: 'write-back', instance: 'x', request: request(), actor: OPS }),
    ).rejects.toMatchObject({ code: 'TM_NOT_FOUND' });
  });
});
