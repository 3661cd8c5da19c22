import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from '@tidemark/archiver';
import { createInstance, openInstanceLog, type BackupPolicy } from '@tidemark/catalog';
import type { Clock } from '@tidemark/core';
import { createKeyRing } from '@tidemark/crypto';
import { systemClock, systemRandom } from '@tidemark/system';
import { Workspace } from '@tidemark/workspace';
import { Audit } from '../../services/control/src/audit/audit.ts';
import type { JobHandler, JobOrder } from '../../services/control/src/jobs/job.ts';
import { LocalJobDesk } from '../../services/control/src/jobs/job-desk.ts';
import { JobRows } from '../../services/control/src/jobs/job-rows.ts';
import { openPolicy } from '../../services/control/src/policy/open-policy.ts';
import { LocalPolicyDesk } from '../../services/control/src/policy/policy-desk.ts';
import { PolicyScheduler } from '../../services/control/src/policy/policy-scheduler.ts';
import { RunRows } from '../../services/control/src/policy/run-rows.ts';
import type { PolicyRun } from '../../services/control/src/policy/policy.ts';
import { CatalogKeeper } from '../../services/control/src/queries/catalog-keeper.ts';
import { StateDatabase } from '../../services/control/src/state/database.ts';
import { TempDir } from './temp-dir.ts';

export const SHOP = 'shop';

/** A wall clock that a test sets, and a monotonic one beside it that only goes on. */
export class SetClock implements Clock {
  wallMs: number;
  passedMs = 0;
  readonly #sleeps = new Map<number, number>();

  constructor(wallMs: number) {
    this.wallMs = wallMs;
  }

  nowMs(): number {
    return this.wallMs;
  }

  /** Never the same twice: whoever asks for the present gets no answer of before. */
  monotonicMs(): number {
    this.passedMs += 0.001;
    return this.passedMs;
  }

  /** Time passes on both. */
  pass(ms: number): void {
    this.wallMs += ms;
    this.passedMs += ms;
  }

  /** Only the wall clock is set. */
  set(wallMs: number): void {
    this.wallMs = wallMs;
    this.passedMs += 1_000;
  }

  async sleep(delayMs: number, signal?: AbortSignal): Promise<void> {
    this.#sleeps.set(delayMs, this.#slept(delayMs) + 1);
    await systemClock.sleep(Math.min(delayMs, 10), signal);
  }

  /** Waits until somebody has slept for exactly so long twice: all that it does in between is done. */
  async untilSlept(delayMs: number): Promise<void> {
    const wanted = this.#slept(delayMs) + 2;
    while (this.#slept(delayMs) < wanted) await systemClock.sleep(5);
  }

  #slept(delayMs: number): number {
    return this.#sleeps.get(delayMs) ?? 0;
  }
}

interface BenchParts {
  readonly temp: TempDir;
  readonly workspace: Workspace;
  readonly state: StateDatabase;
  readonly fresh: CatalogKeeper;
}

/** The policies and jobs of a host with a store of its own; its jobs are ended by the test. */
export class PolicyBench implements AsyncDisposable {
  readonly clock: SetClock;
  readonly desk: LocalPolicyDesk;
  readonly jobs: LocalJobDesk;
  readonly rows: RunRows;
  readonly lines: string[] = [];
  /** What `submit` throws next, instead of taking the order. */
  refusal: Error | null = null;
  readonly #parts: BenchParts;

  private constructor(parts: BenchParts, clock: SetClock) {
    this.#parts = parts;
    this.clock = clock;
    const { workspace, state, fresh } = parts;
    const random = systemRandom;
    const audit = new Audit(state, clock);
    this.jobs = new LocalJobDesk({
      rows: new JobRows(state),
      audit,
      clock,
      random,
      digestKey: () => Promise.resolve(Buffer.alloc(32, 7)),
    });
    this.jobs.use(this.#handler());
    this.rows = new RunRows(state);
    const { rows } = this;
    const logger = linesLogger(this.lines);
    this.desk = new LocalPolicyDesk({ workspace, fresh, rows, audit, clock, random, logger });
  }

  /** @param createdMs - When the instance was made. @param policy - Lines of `[policy]`. */
  static async open(createdMs: number, policy = ''): Promise<PolicyBench> {
    const temp = await TempDir.create();
    const at = (name: string): string => join(temp.path, name);
    const ports = { clock: systemClock, random: systemRandom };
    (await createKeyRing({ dir: at('ring'), ...ports })).close();
    await mkdir(at('store'));
    const config = [
      'version = 1',
      `[store]\nurl = "file://${at('store')}"`,
      `[state]\ndir = "${at('state')}"`,
      `[keys]\nring = "${at('ring')}"`,
      `[policy]\n${policy.includes('spread') ? '' : 'spread = "0s"'}\n${policy}`,
      `[[instance]]\nid = "${SHOP}"\nurl = "redis://127.0.0.1:1"\nsource = "psync"`,
    ];
    await writeFile(at('tidemark.toml'), config.join('\n'));
    const workspace = await Workspace.open({ configPath: at('tidemark.toml') });
    const clock = new SetClock(createdMs);
    const logKey = await workspace.keys.logKey(SHOP);
    const record = { store: workspace.store, iid: SHOP, logKey, name: SHOP, createdMs };
    await createInstance({ ...record, clock, random: systemRandom });
    const logger = linesLogger([]);
    const state = StateDatabase.open({ path: at('state/control.db'), clock, logger });
    const fresh = new CatalogKeeper({ workspace, clock, signal: new AbortController().signal });
    return new PolicyBench({ temp, workspace, state, fresh }, clock);
  }

  /** A scheduler, as a process that was just started has it. */
  scheduler(): PolicyScheduler {
    const { desk, rows, clock } = this;
    const { fresh, workspace } = this.#parts;
    return new PolicyScheduler({
      ...{ desk, rows, clock, fresh, jobs: this.jobs },
      known: workspace.catalog,
      instances: () => [SHOP],
      logger: linesLogger(this.lines),
    });
  }

  /** Policies as a control plane opens them: its instances are those of the configuration. */
  opened(): ReturnType<typeof openPolicy> {
    const { clock, jobs } = this;
    const { fresh, state, workspace } = this.#parts;
    const logger = linesLogger(this.lines);
    const audit = new Audit(state, clock);
    return openPolicy({
      workspace,
      fresh,
      state,
      jobs,
      audit,
      clock,
      logger,
      random: systemRandom,
    });
  }

  get workspace(): Workspace {
    return this.#parts.workspace;
  }

  /** Looks once, now. */
  async look(scheduler: PolicyScheduler): Promise<void> {
    await scheduler.lookAt(this.clock.wallMs, new AbortController().signal);
  }

  /** Time passes in steps, with a look after each. */
  async pass(scheduler: PolicyScheduler, ms: number, stepMs = 1_800_000): Promise<void> {
    for (let left = ms; left > 0; left -= stepMs) {
      this.clock.pass(Math.min(stepMs, left));
      await this.look(scheduler);
    }
  }

  /** Runs that were noted, oldest first: when they were due, and what became of them. */
  get noted(): readonly string[] {
    const runs = [...this.desk.runs(SHOP, 100)].reverse();
    return runs.map(({ dueMs, state }: PolicyRun) => `${iso(dueMs)} ${state}`);
  }

  /** Ends every open job. */
  finish(problem: 'none' | 'TM_BUSY' | 'TM_ARCHIVER_DOWN' = 'none'): void {
    const nowMs = this.clock.wallMs;
    for (const { id, state } of this.jobs.list({ pageSize: 100 }).jobs) {
      if (state !== 'queued') continue;
      const worker = 'w-test';
      this.jobs.command(id, { type: 'claim', worker, nowMs, untilMs: nowMs + 15_000 });
      if (problem === 'none') {
        const outcome = { state: 'succeeded', result: null } as const;
        this.jobs.command(id, { type: 'succeed', worker, nowMs, outcome });
      } else {
        const why = { code: problem, message: 'another one is made', hint: null };
        this.jobs.command(id, { type: 'fail', worker, problem: why });
        this.jobs.command(id, { type: 'settle', worker, nowMs });
      }
    }
  }

  /** How many jobs there are. */
  get jobCount(): number {
    return this.jobs.list({ instance: SHOP, pageSize: 100 }).jobs.length;
  }

  /** The database of this host is lost. */
  async loseState(): Promise<void> {
    const { state } = this.#parts;
    for (const suffix of ['', '-wal', '-shm']) await rm(state.path + suffix, { force: true });
  }

  /** Sets a policy past the desk, as another host or an early release does. */
  async setElsewhere(policy: BackupPolicy, atMs: number): Promise<void> {
    const { store, keys } = this.#parts.workspace;
    const logKey = await keys.logKey(SHOP);
    const { clock } = this;
    const log = await openInstanceLog({ store, iid: SHOP, logKey, clock, random: systemRandom });
    await log.append(() => ({ type: 'PolicySet', policy, atMs }));
  }

  #handler(): JobHandler {
    const isOpen = (): void => {
      if (this.refusal !== null) throw this.refusal;
    };
    return {
      kind: 'backup',
      check: ({ request }: JobOrder) => {
        isOpen();
        return request;
      },
      exclusive: ({ instance }) => `backup:${instance}`,
      run: () => Promise.resolve({ state: 'succeeded', result: null }),
      cleanUp: () => Promise.resolve(),
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#parts.state[Symbol.dispose]();
    this.#parts.workspace[Symbol.dispose]();
    await this.#parts.temp[Symbol.asyncDispose]();
  }
}

/** An instant as runs are written here. */
export function iso(ms: number): string {
  return new Date(ms).toISOString().replace(':00.000Z', 'Z');
}

function linesLogger(lines: string[]): Logger {
  const take = (message: string): void => void lines.push(message);
  const logger: Logger = { info: take, warn: take, error: take, child: () => logger };
  return logger;
}
