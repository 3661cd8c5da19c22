import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { systemClock, systemRandom } from '@tidemark/system';
import { freshen, Workspace } from '@tidemark/workspace';
import { cloneHandler } from '../../../services/control/src/clone/clone-handler.ts';
import type { CloneParts } from '../../../services/control/src/clone/clone-attempt.ts';
import type {
  Job,
  JobContext,
  JobHandler,
  JobOutcome,
  Json,
} from '../../../services/control/src/jobs/job.ts';
import { openProvisioners } from '../../../services/control/src/provision/provisioners.ts';
import { ArchiverBench, INSTANCE, waitFor, type BenchOptions } from '../archiver-run.ts';
import { freePort } from '../tls/tls-server.ts';

/** What a test says in its configuration beside the store. */
export interface CloneConfig {
  readonly allowTargets?: readonly string[];
  readonly hook?: string;
  readonly hookTimeout?: string;
  /** Text at its end. */
  readonly more?: string;
}

/** An attempt of a job, and how it ended. */
export interface Attempt {
  readonly outcome: JobOutcome | null;
  readonly error: Error | null;
  readonly lines: readonly string[];
  readonly checkpoint: Json;
}

/** A captured server, and a host that makes clones of it. */
export class CloneBench implements AsyncDisposable {
  readonly archive: ArchiverBench;
  readonly configPath: string;
  readonly #workspaces: Workspace[] = [];
  #jobs = 0;

  private constructor(archive: ArchiverBench, configPath: string) {
    this.archive = archive;
    this.configPath = configPath;
  }

  static async open(config: CloneConfig = {}, options: BenchOptions = {}): Promise<CloneBench> {
    const archive = await ArchiverBench.open(options);
    const bench = new CloneBench(archive, join(archive.dir, 'tidemark.toml'));
    await mkdir(join(archive.dir, 'secrets'), { mode: 0o700 });
    await bench.configure(config);
    await archive.begin();
    return bench;
  }

  async configure({ allowTargets = [], hook, hookTimeout, more = '' }: CloneConfig): Promise<void> {
    const first = await freePort();
    const text = `version = 1
[store]
url = "file://${join(this.archive.dir, 'store')}"
[state]
dir = "${this.archive.stateDir()}"
[keys]
provider = "ring"
ring = "${join(this.archive.dir, 'ring')}"
[restorer]
allow_targets = ${JSON.stringify(allowTargets)}
[clone]
ports = "${first}-${Math.min(65_535, first + 40)}"
dir = "${join(this.archive.dir, 'c')}"
${hook === undefined ? '' : `hook = ${JSON.stringify(hook)}`}
${hookTimeout === undefined ? '' : `hook_timeout = "${hookTimeout}"`}
${more}
`;
    await writeFile(this.configPath, text);
  }

  /** Waits until all that was written up to now can be restored. */
  async settled(): Promise<void> {
    const { workspace } = await this.parts();
    const client = await this.archive.server.connect(this.archive.login);
    const [second] = (await client.call('TIME')) as [string, string];
    const { signal } = new AbortController();
    await waitFor(async () => {
      await freshen(workspace, INSTANCE, signal);
      return (workspace.catalog.windows(INSTANCE).latest ?? 0) >= Number(second);
    });
    client.disconnect();
  }

  /** A file of the folder of secrets. */
  async secret(name: string, content: string): Promise<string> {
    await writeFile(join(this.archive.dir, 'secrets', name), content, { mode: 0o600 });
    return name;
  }

  /** What handlers work with, read from the configuration as it is now. */
  async parts(): Promise<CloneParts> {
    const { configPath } = this;
    const workspace = await Workspace.open({ configPath });
    this.#workspaces.push(workspace);
    const ports = { clock: systemClock, random: systemRandom };
    return { workspace, provisioners: openProvisioners(workspace.config, ports), ...ports };
  }

  /** Checks a request and makes a job of it, as a desk does. */
  async job(handler: JobHandler, request: Json): Promise<Job> {
    const actor = { name: 'ops', via: 'token' } as const;
    const order = { kind: handler.kind, instance: INSTANCE, request, actor };
    const checked = await handler.check(order);
    return makeJob(`job-t${++this.#jobs}`, handler.kind, checked);
  }

  /** A clone from its request to its end; a failed one is cleaned up. */
  async clone(request: Json, signal?: AbortSignal): Promise<Attempt & { readonly job: Job }> {
    const handler = cloneHandler(await this.parts());
    const job = await this.job(handler, request);
    return { job, ...(await attempt(handler, job, { signal: signal ?? never })) };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const workspace of this.#workspaces) workspace[Symbol.dispose]();
    await this.archive[Symbol.asyncDispose]();
  }
}

const never = new AbortController().signal;

/** A job as a desk keeps it. */
export function makeJob(id: string, kind: Job['kind'], request: Json): Job {
  return {
    ...{ id, kind, instance: INSTANCE, state: 'running', request, attempt: 1 },
    actor: { name: 'ops', via: 'token' },
    progress: { phase: '', percent: 0, bytesDone: 0, bytesTotal: 0, keysDone: 0, etaSeconds: null },
    ...{ resumable: false, result: null, problem: null, worker: 'w1' },
    ...{ createdMs: 0, startedMs: 0, endedMs: null },
  };
}

/** How an attempt is watched. */
export interface AttemptOptions {
  readonly signal?: AbortSignal;
  readonly checkpoint?: Json;
  /** Before a checkpoint is durable. */
  readonly onKeep?: (checkpoint: Json) => Promise<void> | void;
}

/** One attempt as a worker makes it: what fails is cleaned up. */
export async function attempt(
  handler: JobHandler,
  job: Job,
  options: AttemptOptions = {},
): Promise<Attempt> {
  const lines: string[] = [];
  let { checkpoint = null } = options;
  const shared = {
    job,
    keep: async (next: Json) => {
      await options.onKeep?.(next);
      checkpoint = JSON.parse(JSON.stringify(next)) as Json;
    },
    log: (_: string, message: string) => void lines.push(message),
  };
  const context: JobContext = {
    ...shared,
    signal: options.signal ?? never,
    checkpoint,
    progress: () => undefined,
  };
  try {
    const outcome = await handler.run(context);
    return { outcome, error: null, lines, checkpoint };
  } catch (cause) {
    await handler.cleanUp({ ...shared, signal: never, checkpoint });
    return { outcome: null, error: cause as Error, lines, checkpoint };
  }
}
