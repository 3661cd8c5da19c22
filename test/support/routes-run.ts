import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { ApiRun, type Answer, type ApiRunOptions } from './api-run.ts';
import { startRedis, type RedisServer } from './redis-server.ts';
import { Tidemark } from './tidemark-cli.ts';

const JOB_MS = 60_000;

/** A captured server, and the API with its workers before it. */
export class RoutesRun implements AsyncDisposable {
  readonly id: string;
  readonly tidemark: Tidemark;
  readonly source: RedisServer;
  readonly api: ApiRun;
  readonly #over = new AbortController();
  readonly #working: Promise<void>;

  private constructor(id: string, tidemark: Tidemark, source: RedisServer, api: ApiRun) {
    this.id = id;
    this.tidemark = tidemark;
    this.source = source;
    this.api = api;
    const roles = { workers: true, scheduler: false };
    this.#working = api.control.run(this.#over.signal, roles).catch((cause: unknown) => {
      if (!this.#over.signal.aborted) throw cause;
    });
  }

  /** @param settings - Lines of the configuration. */
  static async start(
    id: string,
    settings: string,
    options: Omit<ApiRunOptions, 'tidemark' | 'settings'> = {},
  ): Promise<RoutesRun> {
    const [tidemark, source] = await Promise.all([
      Tidemark.init([], settings, 'ring'),
      startRedis({ config: { 'aof-timestamp-enabled': 'yes' } }),
    ]);
    try {
      await tidemark.add(id, source);
      await tidemark.serve();
      const api = await ApiRun.start({ ...options, tidemark });
      return new RoutesRun(id, tidemark, source, api);
    } catch (error) {
      await tidemark[Symbol.asyncDispose]();
      await source[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Sends a body with a key of its own. */
  post(path: string, body: unknown = {}, key: string = randomUUID()): Promise<Answer> {
    return this.api.ask(path, { method: 'POST', headers: { 'idempotency-key': key }, body });
  }

  /** Starts work, and waits until its job has ended. */
  async done(path: string, body: unknown): Promise<Readonly<Record<string, unknown>>> {
    const answer = await this.post(path, body);
    if (answer.status !== 202) throw new Error(`${answer.status.toString()}: ${answer.text}`);
    return this.ended(answer.headers.get('location') ?? '');
  }

  /** Waits until a job has ended. */
  async ended(location: string): Promise<Readonly<Record<string, unknown>>> {
    const deadline = Date.now() + JOB_MS;
    for (;;) {
      const { body, text } = await this.api.ask(location);
      if (body !== null && typeof body['endedAt'] === 'string') return body;
      if (Date.now() > deadline) throw new Error(`a job does not end: ${text}`);
      await delay(100);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#over.abort(new Error('the test is over'));
    await this.#working;
    await this.api[Symbol.asyncDispose]();
    await this.tidemark[Symbol.asyncDispose]();
    await this.source[Symbol.asyncDispose]();
  }
}
