import { afterAll, beforeAll, expect, it } from 'vitest';
import { ApiRun, askPatiently, type Answer, type Asked } from '../support/api-run.ts';
import { eventually } from '../support/eventually.ts';
import { SetClock } from '../support/policy-bench.ts';
import { startRedis, type RedisServer } from '../support/redis-server.ts';
import { Tidemark } from '../support/tidemark-cli.ts';

const ID = 'shop';
const POLICY = `/v1/instances/${ID}/backup-policy`;
const DAYS = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'] as const;

interface ListedJob {
  readonly state: string;
  readonly createdAt: string;
  readonly actor: { readonly via: string };
}

let tidemark: Tidemark;
let source: RedisServer;

beforeAll(async () => {
  [tidemark, source] = await Promise.all([
    Tidemark.init([], '[policy]\nspread = "0s"\n', 'ring'),
    startRedis(),
  ]);
  await tidemark.add(ID, source);
  await tidemark.serve();
});
afterAll(async () => {
  await tidemark[Symbol.asyncDispose]();
  await source[Symbol.asyncDispose]();
});

/** Scheduler and workers on a clock of the test; everything is asked over HTTP. */
class PolicyHost implements AsyncDisposable {
  readonly #api: ApiRun;
  readonly #clock: SetClock;
  readonly #over = new AbortController();
  readonly #running: Promise<void>;

  private constructor(api: ApiRun, clock: SetClock) {
    this.#api = api;
    this.#clock = clock;
    const roles = { workers: true, scheduler: true };
    this.#running = api.control.run(this.#over.signal, roles).catch((cause: unknown) => {
      if (!this.#over.signal.aborted) throw cause;
    });
  }

  static async open(now: string): Promise<PolicyHost> {
    const clock = new SetClock(Date.parse(now));
    return new PolicyHost(await ApiRun.start({ tidemark, clock }), clock);
  }

  #ask(path: string, asked: Asked = {}): Promise<Answer> {
    return askPatiently(() => this.#api.ask(path, asked));
  }

  async use(timeZone: string, hour: string): Promise<void> {
    const { headers } = await this.#ask(POLICY);
    const preferred = { preferredBackupPeriod: DAYS, preferredBackupTime: [hour] };
    const { status, text } = await this.#ask(POLICY, {
      ...{ method: 'PUT', headers: { 'if-match': headers.get('etag') ?? '' } },
      body: { ...preferred, timeZone, retentionDays: 7 },
    });
    expect(status, text).toBe(200);
  }

  /** When the next backup is due. */
  async next(): Promise<string> {
    const { body, text } = await this.#ask(POLICY);
    expect(body, text).toMatchObject({
      nextRuns: [body?.['nextBackupAt'], expect.anything(), expect.anything()],
    });
    return String(body?.['nextBackupAt']);
  }

  /** Lets the clock come to a time, and waits until a backup was asked for since, and is made. */
  async reach(time: string): Promise<void> {
    this.#clock.pass(Date.parse(time) - this.#clock.nowMs());
    await eventually(`a backup after ${time}`, async () => {
      // What failed in passing is tried again some seconds later.
      this.#clock.pass(250);
      const [newest] = await this.#jobs();
      return newest?.state === 'succeeded' && newest.createdAt >= time;
    });
  }

  /** The hours in which backups were asked for, oldest first; those of the last 90 days are known. */
  async hours(): Promise<readonly string[]> {
    const jobs = await this.#jobs();
    expect(jobs.every(({ state, actor }) => state === 'succeeded' && actor.via === 'policy')).toBe(
      true,
    );
    return jobs.map(({ createdAt }) => createdAt.slice(0, 13)).reverse();
  }

  async #jobs(): Promise<readonly ListedJob[]> {
    const { body } = await this.#ask('/v1/jobs?kind=backup&pageSize=100');
    return body?.['jobs'] as readonly ListedJob[];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#over.abort(new Error('the test is over'));
    await this.#running;
    await this.#api[Symbol.asyncDispose]();
  }
}

it('the backups of a policy are made when GET says, once each, over the clock changes of two zones', async () => {
  await using host = await PolicyHost.open('2027-03-27T12:00:00Z');
  /** The next runs, each begun when it is due. */
  const runs = async (times: readonly string[]): Promise<void> => {
    for (const time of times) {
      expect(await host.next()).toBe(time);
      await host.reach(time);
    }
  };
  // An instance without a backup gets the one that was due last.
  await host.reach('2027-03-27T12:00:00Z');
  await host.use('Europe/Berlin', '02:30');
  // There is no 02:30 on the 28th: 03:00 is 01:00Z. From then on it is summer.
  await runs(['2027-03-28T01:00:00Z', '2027-03-29T00:30:00Z']);
  await host.use('America/New_York', '01:30');
  await runs(['2027-03-29T05:30:00Z']);
  expect(await host.hours()).toEqual([
    ...['2027-03-27T12', '2027-03-28T01', '2027-03-29T00', '2027-03-29T05'],
  ]);
  // What was missed is made up for once. November the 7th has two 01:30, at 05:30Z and 06:30Z: one backup.
  await host.reach('2027-11-07T03:00:00Z');
  await runs(['2027-11-07T05:30:00Z', '2027-11-08T06:30:00Z']);
  expect(await host.hours()).toEqual([...['2027-11-07T03', '2027-11-07T05', '2027-11-08T06']]);
});
