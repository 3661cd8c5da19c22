import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { runRetention } from '@tidemark/archiver';
import { openCatalog, readInstanceLog, type InstanceEvent } from '@tidemark/catalog';
import { openKeyRing } from '@tidemark/crypto';
import { openFileStore } from '@tidemark/store';
import { systemClock, systemRandom } from '@tidemark/system';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  ControlHost,
  ID,
  ONE,
  withRedis,
  type JobDocument,
  type Worker,
} from '../support/control-e2e/control-host.ts';
import { secondOf } from '../support/control-e2e/story.ts';
import { eventually } from '../support/eventually.ts';
import { diffOracle, readOracle } from '../support/oracle.ts';
import { iso, type ArchiverProcess } from '../support/tidemark-cli.ts';

/** A worker looks for cancelled jobs four times a second. */
const LOOK_MS = 250;
const SECONDS = 4;

/**
 * What is asked for, and where its worker is killed: `PHASE+N` is before the n-th change of the store, with `!` after it. The
 * first thing that is told of an attempt is the phase of the one before, so that no two stops share one.
 */
const WORK = {
  // At last before its labels are written, and then, behind the end of that claim and its own, right after.
  backup: { path: `${ONE}/backups`, stops: ['ask', 'rewrite', 'read+1', 'read+3!'] },
  expire: { path: `${ONE}:expire`, stops: ['sync', 'retention+3', 'undo-packs'] },
  rewrap: { path: `${ONE}:rewrap`, stops: ['sync', 'wrap+2'] },
  verify: { path: `${ONE}:verify`, stops: ['sync', 'read'] },
} as const;
type Kind = keyof typeof WORK;
const LABELS = { night: 'first' };
const KINDS = Object.keys(WORK) as readonly Kind[];

let host: ControlHost;
let archiver: ArchiverProcess;
let api: ArchiverProcess;
let worker: Worker;

beforeAll(async () => {
  host = await ControlHost.start('workers = 1\n[policy]\nretain = "1s"\ngrace = "1h"\n');
  [archiver, api] = [host.archiver(), host.api()];
  await host.untilServed();
  const first = await record(0);
  for (let i = 1; i < SECONDS; i++) await record(i);
  await host.untilProven(first);
  worker = await host.worker();
});
afterAll(async () => {
  await host[Symbol.asyncDispose]();
});

/** Fills a second, and waits until it is over. @returns The second. */
async function record(count: number): Promise<number> {
  const { redis } = host;
  const pipeline = redis.pipeline();
  for (let i = 0; i < 50; i++) pipeline.hset(`cart:${i}`, `item:${count}`, 'x'.repeat(100));
  await pipeline.exec();
  const second = await secondOf(redis);
  await eventually('the second is over', async () => (await secondOf(redis)) > second);
  return second;
}

async function openParts() {
  const ports = { random: systemRandom, clock: systemClock };
  const keys = await openKeyRing({ dir: join(host.tidemark.dir, 'ring'), ...ports });
  const root = join(host.tidemark.dir, 'store');
  return { keys, store: await openFileStore({ root, random: systemRandom }) };
}

/** Makes sure that there is something to be done. */
async function prepare(kind: Kind): Promise<void> {
  if (kind === 'rewrap') await (await openParts()).keys.rotate();
  if (kind === 'expire') await markWithoutGrace();
}

/** What is marked may be deleted at once: no configuration allows that. The backups are history by then. */
async function markWithoutGrace(): Promise<void> {
  const second = await record(SECONDS);
  // What follows proves it at once.
  await record(SECONDS + 1);
  await host.untilProven(second);
  const { keys, store } = await openParts();
  using catalog = openCatalog({ path: join(host.tidemark.dir, 'of-the-test.db') });
  const { signal } = new AbortController();
  const rules = { retainSeconds: 1, graceMs: 0, shareMax: 1 };
  const { marked } = await runRetention(
    { ...rules, instance: ID, stateDir: join(host.tidemark.dir, 'state'), dryRun: false },
    { store, keys, catalog, clock: systemClock, random: systemRandom, signal },
  );
  expect(marked?.amount.objects).toBeGreaterThan(1);
}

function begin(kind: Kind): Promise<string> {
  const bodies = { backup: { labels: LABELS }, expire: { force: true }, rewrap: {}, verify: {} };
  return host.begin(WORK[kind].path, bodies[kind]);
}

async function expectStopped(id: string, stop: string, attempt: number): Promise<void> {
  await worker.stopped();
  const [phase] = stop.split('+');
  expect(await host.job(id)).toMatchObject({ state: 'running', phase, attempt, problem: null });
}

/** API and archiver are killed, and started again. */
async function killServices(): Promise<void> {
  await Promise.all([api.kill(), archiver.kill()]);
  [archiver, api] = [host.archiver(), host.api()];
  await Promise.all([archiver.until('caught-up'), host.untilServed()]);
}

/** Only the API is killed, and started again. */
async function killApi(): Promise<void> {
  await api.kill();
  api = host.api();
  await host.untilServed();
}

/** Those that were asked for: the archiver makes one of its own when it begins a timeline. */
async function backups(): Promise<readonly string[]> {
  const { body } = await host.ask(`${ONE}/backups?pageSize=100`);
  const all = body?.['backups'] as readonly { readonly id: string; readonly mode: string }[];
  return all.filter(({ mode }) => mode === 'manual').map(({ id }) => id);
}

async function* instanceEvents(): AsyncGenerator<InstanceEvent> {
  const { keys, store } = await openParts();
  for await (const batch of readInstanceLog({ store, iid: ID, logKey: await keys.logKey(ID) })) {
    for (const { event } of batch) yield event;
  }
}

/** What the log was told of the labels of a backup, each time. */
async function labelsOf(backup: string): Promise<readonly object[]> {
  const told: object[] = [];
  for await (const event of instanceEvents()) {
    if (event.type !== 'BackupLabelled' || event.backup !== backup) continue;
    told.push(Object.fromEntries(event.labels.map(({ key, value }) => [key, value])));
  }
  return told;
}

/** Nobody claims a job, and no process is there that nobody knows. */
async function expectNothingLeft(): Promise<void> {
  const open = new Set<string>();
  for await (const event of instanceEvents()) {
    if (event.type === 'JobClaimed') open.add(event.job);
    else if (event.type === 'JobEnded') open.delete(event.job);
  }
  expect([...open]).toEqual([]);
  expect(await host.strangers()).toEqual([]);
  expect(await host.leftovers()).toEqual([]);
}

/** A second of the window, or what is there now, in a server of its own. */
async function restored(point: object): Promise<JobDocument> {
  const id = await host.begin(`${ONE}/restores`, { ...point, target: { kind: 'new' } });
  const job = await host.ended(id);
  expect(job).toMatchObject({ state: 'succeeded', problem: null });
  return job;
}

describe.each(KINDS)('%s', (kind) => {
  const { path, stops } = WORK[kind];
  const phases = [...new Set(stops.map((stop) => stop.replace(/\+.*/, '')))];

  it('is brought to its end, once, when API, archiver and worker are killed in its phases', async () => {
    await prepare(kind);
    const before = await backups();
    await worker.stopAt(stops[0]);
    const id = await begin(kind);
    for (const [at, stop] of stops.entries()) {
      await expectStopped(id, stop, at + 1);
      await worker.process.kill();
      if (at === 1) await killServices();
      else if (kind === 'backup') await killApi();
      // Nothing half-done is shown.
      const shown = await backups();
      if (kind !== 'expire') expect(shown.length - before.length).toBeLessThanOrEqual(1);
      const next = stops[at + 1];
      worker = await host.worker(next === undefined ? null : { phase: next, signal: 'SIGSTOP' });
    }
    const job = await host.ended(id);
    expect(job).toMatchObject({
      ...{ kind, state: 'succeeded', attempt: stops.length + 1, problem: null },
    });
    if (kind === 'backup') {
      const made = (await backups()).filter((one) => !before.includes(one));
      expect(made).toEqual([job.result?.['backup']]);
      expect(await labelsOf(made[0] ?? '')).toEqual([LABELS]);
    }
    if (kind === 'verify') expect(job.result).toMatchObject({ faultCount: 0 });
    await expectNothingLeft();
  });

  it('that is cancelled in each of its phases is done once it is resumed', async () => {
    // A mark of the job before stands for an hour.
    if (kind !== 'expire') await prepare(kind);
    await worker.stopAt(phases[0] ?? '');
    const id = await begin(kind);
    let attempt = 1;
    for (const [at, phase] of phases.entries()) {
      await expectStopped(id, phase, attempt);
      const { status, body } = await host.post(`/v1/jobs/${id}:cancel`);
      expect([status, body]).toMatchObject([200, { id, state: 'cancelling' }]);
      // Its next look is due by then.
      await delay(2 * LOOK_MS);
      worker.goOn();
      const job = await host.ended(id);
      const next = phases[at + 1];
      if (next !== undefined) await worker.stopAt(next);
      // In its last phase it may be whole before it can be called off.
      if (job.state === 'succeeded' && next === undefined) return;
      expect(job, path).toMatchObject({ state: 'cancelled', resumable: true, problem: null });
      const again = await host.post(`/v1/jobs/${id}:resume`);
      expect([again.status, again.body], again.text).toMatchObject([200, { id, state: 'queued' }]);
      attempt += 1;
    }
    const job = await host.ended(id);
    expect(job).toMatchObject({ state: 'succeeded', attempt, problem: null });
    await expectNothingLeft();
  });
});

it('after all of it what can be restored is whole, and every object opens', async () => {
  const verified = await host.ended(await begin('verify'));
  expect(verified).toMatchObject({ state: 'succeeded', result: { faultCount: 0 } });
  const second = await record(SECONDS + 2);
  const then = await readOracle(host.redis);
  await record(SECONDS + 3);
  await host.untilProven(second);
  const { body } = await host.ask(`${ONE}/windows`);
  await restored({ restoreType: 'pointInTime', restoreTime: body?.['earliest'] });
  const { result } = await restored({ restoreType: 'pointInTime', restoreTime: iso(second) });
  const found = await withRedis(
    String(result?.['target']),
    readOracle,
    await host.passwordOf(result),
  );
  expect(diffOracle(then, found)).toEqual([]);
});
