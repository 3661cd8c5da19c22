import { readFile, writeFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  ControlHost,
  ONE,
  withRedis,
  type BackupPoint,
  type JobDocument,
} from '../support/control-e2e/control-host.ts';
import { secondOf, tellStory, type Story } from '../support/control-e2e/story.ts';
import { eventually } from '../support/eventually.ts';
import { diffOracle, readOracle } from '../support/oracle.ts';
import { slowSave } from '../support/slow-save.ts';
import { iso, type ArchiverProcess } from '../support/tidemark-cli.ts';

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

interface ListedBackup {
  readonly id: string;
  readonly mode: string;
  readonly labels: Readonly<Record<string, string>>;
}

/** Those that somebody asked for, newest first. */
async function askedFor(): Promise<readonly ListedBackup[]> {
  const { body } = await host.ask(`${ONE}/backups?pageSize=100`);
  return (body?.['backups'] as readonly ListedBackup[]).filter(({ mode }) => mode === 'manual');
}

async function ranges(): Promise<readonly { readonly from: string; readonly to: string }[]> {
  const { body } = await host.ask(`${ONE}/windows`);
  return body?.['ranges'] as readonly { readonly from: string; readonly to: string }[];
}

/** The process that rewrites the log of the node is held up, however soon it would be done. */
async function freezeRewrite(): Promise<{ readonly goOn: () => void }> {
  const { pid } = host.source;
  let child = 0;
  await eventually('the node rewrites its log', async () => {
    const text = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8');
    child = Number(text.trim().split(' ')[0]);
    return child > 0;
  });
  process.kill(child, 'SIGSTOP');
  await host.redis.config('SET', 'rdb-key-save-delay', '0');
  return { goOn: () => void process.kill(child, 'SIGCONT') };
}

describe('a backup that is asked for over HTTP', () => {
  /** Where the archiver is killed, one after the other, while one job and then the next waits for it. */
  const LIVES: readonly (readonly BackupPoint[])[] = [
    ['told'],
    ['publish'],
    ['ask', 'rewrite', 'read', 'ship'],
  ];

  /** Waits until the archiver is dead, and starts it again to be killed at the next point. */
  async function nextLife(made: number, point: BackupPoint, next: BackupPoint | null) {
    const slow = point === 'rewrite' ? freezeRewrite() : null;
    await archiver.exited;
    expect(archiver.child.signalCode, archiver.log).toBe('SIGKILL');
    // Nothing half-done is listed; what is whole is, before anybody was told.
    const listed = made + (point === 'told' ? 1 : 0);
    await eventually('it is listed', async () => (await askedFor()).length >= listed);
    expect(await askedFor()).toHaveLength(listed);
    const frozen = await slow;
    if (next === 'rewrite') await slowSave(host.redis);
    archiver = host.archiver(next);
    if (frozen !== null) await archiver.until('caught-up');
    frozen?.goOn();
  }

  it('is made once, and whole, when the archiver is killed in whatever phase of its making', async () => {
    const before = await ranges();
    const worker = await host.worker();
    await archiver.kill();
    archiver = host.archiver('told');
    const following = LIVES.flat().slice(1);
    for (const [made, points] of LIVES.entries()) {
      await archiver.until('caught-up');
      const labels = { life: made.toString() };
      const id = await host.begin(`${ONE}/backups`, { labels });
      for (const point of points) await nextLife(made, point, following.shift() ?? null);
      const job = await host.ended(id);
      expect(job).toMatchObject({ state: 'succeeded', attempt: 1, problem: null });
      // What the API shows may be a second old.
      await eventually('it is shown with its labels', async () => {
        const [{ labels: shown } = { labels: {} }] = await askedFor();
        return JSON.stringify(shown) === JSON.stringify(labels);
      });
      const [newest, ...others] = await askedFor();
      expect(newest?.id).toBe(job.result?.['backup']);
      expect(others).toHaveLength(made);
    }
    await host.redis.set('after', 'the kills of backups');
    const then = await readOracle(host.redis);
    const second = await secondOf(host.redis);
    await eventually('the second is over', async () => (await secondOf(host.redis)) > second);
    await host.redis.set('after', 'that');
    await host.untilProven(second);
    // No second was lost.
    const now = await ranges();
    expect(now.map(({ from }) => from)).toEqual(before.map(({ from }) => from));
    const point = { restoreType: 'pointInTime', restoreTime: iso(second) };
    const id = await host.begin(restores, { ...point, target: { kind: 'new' }, verify: 'full' });
    const job = await host.ended(id);
    expect(job).toMatchObject({ state: 'succeeded', problem: null });
    story = { ...story, then };
    await expectWhole(job);
    await worker.process.stop();
  });
});
