import type { Control } from '@tidemark/control';
import { systemClock } from '@tidemark/system';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ApiRun } from '../../support/api-run.ts';
import { SetClock } from '../../support/policy-bench.ts';
import { startRedis, type RedisServer } from '../../support/redis-server.ts';
import { Tidemark } from '../../support/tidemark-cli.ts';

const ID = 'shop';
const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
/** How often a scheduler looks. */
const LOOK_MS = 5_000;
const POLICY = `/v1/instances/${ID}/backup-policy`;
const DAYS = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'] as const;
/** For a machine that has other things to do. */
const PATIENCE_MS = 60_000;
/** A job whose worker was surprised by a step of the clock waits for so long at the most. */
const WAIT_MS = 60_000;

let tidemark: Tidemark;
let source: RedisServer;

beforeAll(async () => {
  [tidemark, source] = await Promise.all([
    Tidemark.init([], '[policy]\nspread = "0s"\n', 'ring'),
    startRedis({ config: { 'aof-timestamp-enabled': 'yes' } }),
  ]);
  await tidemark.add(ID, source);
  const redis = await source.connect();
  await redis.set('a', 'b');
  await tidemark.serve();
});

afterAll(async () => {
  await tidemark[Symbol.asyncDispose]();
  await source[Symbol.asyncDispose]();
});

/** The API of this folder on a clock of its own, with workers and scheduler at work. */
class RunningControl implements AsyncDisposable {
  readonly api: ApiRun;
  readonly control: Control;
  readonly clock: SetClock;
  readonly #over = new AbortController();
  readonly #running: Promise<void>;

  private constructor(api: ApiRun, clock: SetClock) {
    this.api = api;
    this.control = api.control;
    this.clock = clock;
    const roles = { workers: true, scheduler: true };
    this.#running = this.control.run(this.#over.signal, roles).catch((cause: unknown) => {
      if (!this.#over.signal.aborted) throw cause;
    });
  }

  static async open(nowMs: number): Promise<RunningControl> {
    const clock = new SetClock(nowMs);
    return new RunningControl(await ApiRun.start({ tidemark, clock }), clock);
  }

  /** The backups that the policy asked for since an instant, oldest first, and how they ended. */
  made(fromMs: number): readonly string[] {
    const { policy, jobs } = this.control;
    return policy
      .runs(ID, 500)
      .flatMap(({ dueMs, job }) => (dueMs < fromMs || job === null ? [] : [[dueMs, job] as const]))
      .map(([dueMs, job]) => `${new Date(dueMs).toISOString()} ${jobs.get(job).state}`)
      .reverse();
  }

  /** Lets time pass in steps; after each the scheduler has looked, and what it asked for is done. */
  async pass(ms: number, stepMs = 2 * HOUR_MS): Promise<void> {
    const { jobs } = this.control;
    for (let left = ms; left > 0; left -= stepMs) {
      this.clock.pass(Math.min(left, stepMs));
      await this.clock.untilSlept(LOOK_MS);
      const deadline = performance.now() + PATIENCE_MS;
      let askedMs = performance.now();
      for (;;) {
        const open = jobs.list({ pageSize: 20 }).jobs.filter(({ endedMs }) => endedMs === null);
        if (open.length === 0) break;
        const waits = open.every(({ state, attempt }) => state === 'queued' && attempt > 0);
        if (waits && performance.now() - askedMs > 1_000) {
          this.clock.pass(WAIT_MS);
          askedMs = performance.now();
        }
        if (performance.now() > deadline) throw new Error(`a backup does not end: ${this.#open()}`);
        await systemClock.sleep(20);
      }
    }
  }

  /** What open jobs say, for a failure. */
  #open(): string {
    const { jobs } = this.control;
    const open = jobs.list({ pageSize: 20 }).jobs.filter(({ endedMs }) => endedMs === null);
    return open
      .map(({ id, state, worker, attempt }) => {
        const said = jobs.lines(id, 0, 20).map(({ message }) => message);
        return `${state} ${worker ?? 'nobody'} ${attempt.toString()}: ${said.join('; ')}`;
      })
      .join(' | ');
  }

  /** Sets the policy over HTTP. */
  async use(timeZone: string, hour: string): Promise<void> {
    const { headers } = await this.api.ask(POLICY);
    const body = {
      ...{ preferredBackupPeriod: DAYS, preferredBackupTime: [hour], timeZone },
      retentionDays: 7,
    };
    const match = { 'if-match': headers.get('etag') ?? '' };
    const set = await this.api.ask(POLICY, { method: 'PUT', headers: match, body });
    expect([set.status, set.body]).toMatchObject([200, { timeZone, source: 'instance' }]);
    const stale = await this.api.ask(POLICY, { method: 'PUT', headers: match, body });
    expect(stale.status).toBe(412);
  }

  /** How many backups of the policy stand. */
  async automatedCount(): Promise<number> {
    const { body } = await this.api.ask(`/v1/instances/${ID}/backups?pageSize=100`);
    const backups = body?.['backups'] as readonly { readonly mode: string }[];
    return backups.filter(({ mode }) => mode === 'automated').length;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#over.abort(new Error('the test is over'));
    await this.#running;
    await this.api[Symbol.asyncDispose]();
  }
}

describe('a policy on a clock that changes', () => {
  it('makes each backup once: over gaps and repeated hours of two zones, and after it was away', async () => {
    const start = Date.parse('2027-03-27T12:00:00Z');
    await using running = await RunningControl.open(start);
    await running.use('Europe/Berlin', '02:30');
    await running.pass(2 * DAY_MS);
    // On the 28th there is no 02:30: clocks go from 02:00 to 03:00, which is 01:00Z.
    expect(running.made(start)).toEqual([
      '2027-03-28T01:00:00.000Z succeeded',
      '2027-03-29T00:30:00.000Z succeeded',
    ]);
    // Half a year away: one is caught up.
    const late = running.clock.nowMs();
    await running.pass(187 * DAY_MS, 187 * DAY_MS);
    expect(running.made(late)).toEqual(['2027-10-02T00:30:00.000Z succeeded']);
    expect(running.control.policy.missedCount(ID)).toBeGreaterThan(90);
    // Half an hour of summer time: 02:15 of October the 3rd is left out, 15:30Z is 02:30.
    const half = running.clock.nowMs();
    await running.use('Australia/Lord_Howe', '02:15');
    await running.pass(2 * DAY_MS);
    expect(running.made(half)).toEqual([
      '2027-10-02T15:30:00.000Z succeeded',
      '2027-10-03T15:15:00.000Z succeeded',
    ]);
    // 02:30 of October the 31st comes twice in Berlin, at 00:30Z and 01:30Z.
    await running.use('Europe/Berlin', '02:30');
    running.clock.pass(26 * DAY_MS - HOUR_MS);
    await running.pass(HOUR_MS);
    const twice = running.clock.nowMs();
    await running.pass(2 * DAY_MS, HOUR_MS);
    expect(running.made(twice)).toEqual([
      '2027-10-31T00:30:00.000Z succeeded',
      '2027-11-01T01:30:00.000Z succeeded',
    ]);
    // With the one that was caught up at the start, and the one before the last jump.
    const asked = running.control.policy.runs(ID, 500).filter(({ job }) => job !== null);
    expect(asked).toHaveLength(9);
    expect(await running.automatedCount()).toBeGreaterThanOrEqual(asked.length);
  });

  it('is shown, set and refused by the command line; no flashback needs a confirmation', async () => {
    const set = await tidemark.json<Record<string, unknown>>(
      ...['policy', 'set', ID, '--days', 'mon,wed', '--hours', '03:00,15:00'],
      ...['--time-zone', 'Asia/Kolkata', '--retain', '14d', '--keep-last', '3'],
    );
    expect(set).toMatchObject({
      ...{ preferredBackupPeriod: ['mon', 'wed'], preferredBackupTime: ['03:00', '15:00'] },
      ...{ timeZone: 'Asia/Kolkata', retentionDays: 14, keepLast: 3, flashbackEnabled: true },
    });
    expect(await tidemark.json('policy', 'show', ID)).toEqual(set);
    expect(await tidemark.refused(2, 'policy', 'set', ID, '--hours', '25:00')).toMatchObject({
      code: 'TM_POLICY',
      context: { pointer: '/hours/0' },
    });
    const off = ['policy', 'set', ID, '--flashback', 'off'];
    expect(await tidemark.refused(2, ...off)).toMatchObject({ code: 'TM_WRITE_CONSENT' });
    expect(await tidemark.json(...off, '--confirm', ID)).toMatchObject({ flashbackEnabled: false });
    expect((await tidemark.run('windows', ID)).out).toContain('flashback is off (detached)');
    const made = await tidemark.json<Record<string, unknown>>('policy', 'run-now', ID);
    expect(made).toMatchObject({ kind: 'backup', state: 'succeeded', instance: ID });
  });
});
