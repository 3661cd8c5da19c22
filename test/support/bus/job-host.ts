import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInstance } from '@tidemark/catalog';
import { createKeyRing } from '@tidemark/crypto';
import { systemClock, systemRandom } from '@tidemark/system';
import { Workspace } from '@tidemark/workspace';
import { Audit } from '../../../services/control/src/audit/audit.ts';
import { CaptureWatch } from '../../../services/control/src/fleet/capture-watch.ts';
import { runFleet } from '../../../services/control/src/fleet/run-fleet.ts';
import type { JobHandler } from '../../../services/control/src/jobs/job.ts';
import { LocalJobDesk } from '../../../services/control/src/jobs/job-desk.ts';
import { JobRows } from '../../../services/control/src/jobs/job-rows.ts';
import { runWorker } from '../../../services/control/src/jobs/open-worker.ts';
import { StateDatabase } from '../../../services/control/src/state/database.ts';
import { TempDir } from '../temp-dir.ts';
import { CollectingLogger } from './collecting-logger.ts';

/** The instance that hosts of a test share. */
export const SHARED_INSTANCE = 'orders';

/** A store and keys that several hosts share. */
export class SharedArchive implements AsyncDisposable {
  readonly #temp: TempDir;
  readonly #broker: string;

  private constructor(temp: TempDir, broker: string) {
    this.#temp = temp;
    this.#broker = broker;
  }

  static async create(broker: string): Promise<SharedArchive> {
    const archive = new SharedArchive(await TempDir.create('tidemark-hosts-'), broker);
    await createKeyRing({ dir: archive.path('ring'), random: systemRandom, clock: systemClock });
    const workspace = await Workspace.open({ configPath: await archive.config('first') });
    await createInstance({
      store: workspace.store,
      iid: SHARED_INSTANCE,
      logKey: await workspace.keys.logKey(SHARED_INSTANCE),
      name: SHARED_INSTANCE,
      createdMs: systemClock.nowMs(),
      clock: systemClock,
      random: systemRandom,
    });
    workspace[Symbol.dispose]();
    return archive;
  }

  path(...names: readonly string[]): string {
    return join(this.#temp.path, ...names);
  }

  /** Configuration of a host with a state folder of its own. */
  async config(host: string): Promise<string> {
    const path = this.path(`${host}.toml`);
    await writeFile(
      path,
      `version = 1
[store]
url = "file://${this.path('store')}"
[state]
dir = "${this.path(host)}"
[keys]
ring = "${this.path('ring')}"
[events]
brokers = ["${this.#broker}"]
`,
      { mode: 0o600 },
    );
    return path;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#temp[Symbol.asyncDispose]();
  }
}

/** One host: its database of jobs, and what it does over Kafka. */
export class JobHost implements AsyncDisposable {
  readonly jobs: LocalJobDesk;
  readonly logger: CollectingLogger;
  readonly workspace: Workspace;
  readonly #state: StateDatabase;
  readonly #over: AbortController;
  readonly #running: Promise<unknown>;

  private constructor(parts: {
    readonly workspace: Workspace;
    readonly state: StateDatabase;
    readonly handler: JobHandler;
    readonly workers: boolean;
  }) {
    const { workspace, state, handler, workers } = parts;
    this.workspace = workspace;
    this.#state = state;
    this.logger = new CollectingLogger();
    this.#over = new AbortController();
    const [clock, random, { logger }] = [systemClock, systemRandom, this];
    const rows = new JobRows(state);
    const audit = new Audit(state, clock);
    this.jobs = new LocalJobDesk({
      rows,
      audit,
      clock,
      random,
      digestKey: () => Promise.resolve(Buffer.alloc(32, 7)),
    });
    this.jobs.use(handler);
    const { signal } = this.#over;
    const captures = new CaptureWatch(workspace, clock);
    const { left } = captures;
    const shared = {
      workspace,
      state,
      jobs: this.jobs,
      rows,
      clock,
      random,
      logger,
      captures,
      left,
    };
    const timing = { claimMs: 3_000, beatMs: 500, pollMs: 50 };
    this.#running = Promise.all([
      captures.run(signal),
      runFleet(shared, { workers, scheduler: !workers }, signal),
      workers ? runWorker({ ...shared, desk: this.jobs, audit, timing }, signal) : undefined,
    ]);
  }

  static async open(
    archive: SharedArchive,
    name: string,
    { handler, workers }: { readonly handler: JobHandler; readonly workers: boolean },
  ): Promise<JobHost> {
    return JobHost.of(await archive.config(name), workers, () => handler);
  }

  /** A host of a configuration. @param handlerOf - What does its jobs. */
  static async of(
    configPath: string,
    workers: boolean,
    handlerOf: (workspace: Workspace) => JobHandler,
  ): Promise<JobHost> {
    const workspace = await Workspace.open({ configPath });
    const logger = new CollectingLogger();
    const path = join(workspace.config.stateDir, 'control.db');
    const state = StateDatabase.open({ path, clock: systemClock, logger });
    return new JobHost({ workspace, state, handler: handlerOf(workspace), workers });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#over.abort();
    await this.#running;
    this.#state[Symbol.dispose]();
    this.workspace[Symbol.dispose]();
  }
}
