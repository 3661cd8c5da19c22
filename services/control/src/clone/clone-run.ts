import { makeId, PlanError, TidemarkError, type Clock, type Random } from '@tidemark/core';
import {
  restore,
  restoreState,
  resumeRestore,
  type RestoreEnvironment,
  type RestoreProgress,
  type RestoreReport,
  type RestoreRequest,
} from '@tidemark/restorer';
import { selectorFromJson } from '@tidemark/selector';
import {
  configuredAddress,
  freshen,
  loadConfig,
  readFrom,
  restoreEnvironment,
  withLease,
  type Workspace,
} from '@tidemark/workspace';
import type { JobContext } from '../jobs/job.ts';
import { refuseConfiguredNode } from '../provision/configured-nodes.ts';
import type { Provisioned } from '../provision/provisioner.ts';
import type { Provisioners } from '../provision/provisioners.ts';
import {
  checkpointFromJson,
  checkpointToJson,
  type CloneCheckpoint,
  type ReplayedFacts,
} from './checkpoint.ts';
import { checkGiven, checkSource } from './check-given.ts';
import type { CloneRequest } from './clone-request.ts';
import {
  addressOf,
  lookAtTarget,
  readPassword,
  restoreTargetOf,
  withTarget,
} from './open-clone.ts';
import { passwordFor } from './password-for.ts';
import { registerClone } from './register-clone.ts';
import { settleClone } from './settle-clone.ts';
import { sourceNeeds, type SourceNeeds } from './source-needs.ts';
import { compareSample, countClone, type CloneCount } from './verify-clone.ts';

/** What clones are made with. */
export interface CloneParts {
  readonly workspace: Workspace;
  readonly provisioners: Provisioners;
  readonly clock: Clock;
  readonly random: Random;
}

/** What a clone was handed over with. */
export interface CloneResult {
  readonly provisioned: Provisioned;
  /** The file with its password; null: that of the source, or what its owner has set. */
  readonly passwordRef: string | null;
  readonly replayed: ReplayedFacts | null;
  readonly count: CloneCount;
  readonly compared: number;
  readonly warnings: readonly string[];
}

const ATTACH_MS = 10_000;

/** Percent of the whole at which each phase begins. */
const PERCENT: Readonly<Record<string, number>> = {
  ...{ source: 0, provision: 2, preflight: 5, replay: 10, promote: 80, verify: 85, settle: 95 },
};

/** One attempt of a clone: it goes on where the checkpoint says. */
export class CloneRun {
  readonly #request: CloneRequest;
  readonly #parts: CloneParts;
  readonly #context: JobContext;
  #at: CloneCheckpoint | null;

  constructor(request: CloneRequest, parts: CloneParts, context: JobContext) {
    this.#request = request;
    this.#parts = parts;
    this.#context = context;
    this.#at = checkpointFromJson(context.checkpoint);
  }

  async run(): Promise<CloneResult> {
    const { workspace } = this.#parts;
    const { instance } = this.#context.job;
    const { signal } = this.#context;
    this.#tell('source');
    if (this.#at !== null) await this.#checkGiven(this.#at);
    await freshen(workspace, instance, signal);
    const reading = {
      instance,
      fromSecond: readFrom(workspace.catalog, instance, this.#request.source),
      isLong: true,
    };
    const notes = { warn: (message: string) => this.#context.log('warn', message) };
    return withLease(reading, workspace, notes, async () => {
      await this.#provide();
      await this.#load();
      return this.#handOver();
    });
  }

  /** A server, found fit. */
  async #provide(): Promise<void> {
    const { signal } = this.#context;
    const { provisioners } = this.#parts;
    const at = this.#at ?? (await this.#begin());
    if (at.phase === 'provisioning') {
      this.#tell('provision');
      const provisioned = await provisioners.of(at.asked.target.kind).provision(at.asked, {
        signal,
        log: (level, message) => this.#context.log(level, message),
      });
      this.#context.log('info', `the server is ${provisioned.publicUrl}`);
      const now = { ...at, phase: 'provisioned', provisioned } as const;
      await this.#checkGiven(now);
      await this.#keep(now);
    }
    const now = this.#here;
    if (now.phase === 'provisioned') {
      this.#tell('preflight');
      const { memoryBytes } = now.asked;
      const looked = await lookAtTarget(this.#target, memoryBytes, provisioners.secrets, signal);
      await this.#keep({ ...now, phase: 'looked', looked });
    }
  }

  async #checkGiven(at: CloneCheckpoint): Promise<void> {
    const { workspace, provisioners } = this.#parts;
    return checkGiven(at, this.#context.job.actor, workspace.config, provisioners);
  }

  async #begin(): Promise<CloneCheckpoint> {
    const { workspace, clock } = this.#parts;
    const { job, signal } = this.#context;
    const { target, name, keep, ttl } = this.#request;
    const needs = await sourceNeeds(job.instance, workspace, signal);
    const memoryBytes = this.#memoryFor(needs);
    const passwordRef = await passwordFor(this.#request, job.id, this.#parts);
    const at: CloneCheckpoint = {
      phase: 'provisioning',
      ttl: ttl.mode === 'remaining' ? { mode: 'rebase', toMs: clock.nowMs() } : ttl,
      asked: {
        ...{ id: job.id, instance: job.instance, name, target, passwordRef, memoryBytes },
        closed: keep.includes('password') && passwordRef === null,
        maxmemory: this.#request.memoryBytes ?? needs.maxmemory,
        databases: needs.databases,
      },
      ...{ provisioned: null, looked: null, restoreId: null, replayed: null },
    };
    await this.#keep(at);
    return at;
  }

  #memoryFor(needs: SourceNeeds): number {
    const wanted = this.#request.memoryBytes;
    if (wanted === null || wanted >= needs.memoryBytes) return wanted ?? needs.memoryBytes;
    throw new PlanError('TM_TARGET_MEMORY', 'the clone would be smaller than its source', {
      context: { needed: needs.memoryBytes, wanted },
      hint: 'as much as the source uses or may use, or leave memoryBytes away',
    });
  }

  /** All of the data, promoted. */
  async #load(): Promise<void> {
    if (this.#here.phase === 'replaying' || this.#here.phase === 'resuming') await this.#goOn();
    if (this.#here.phase === 'looked') await this.#replay();
    if (this.#here.phase === 'replayed' || this.#here.phase === 'promoting') await this.#promote();
  }

  async #replay(): Promise<void> {
    const { clock, random } = this.#parts;
    const restoreId = `rs-${makeId(clock.nowMs(), random)}`;
    await this.#keep({ ...this.#here, phase: 'replaying', restoreId });
    this.#tell('replay');
    const report = await this.#withRestore(async (request, environment) =>
      restore({ ...request, id: restoreId, promote: false }, environment),
    );
    const replayed = factsOf(report);
    if (replayed.keys === 0 && this.#request.selector !== null) {
      throw new PlanError('TM_NOT_FOUND', 'no selected key was there at that time', {
        hint: 'nothing was handed over',
      });
    }
    await this.#keep({ ...this.#here, phase: 'replayed', replayed });
  }

  /** An attempt was killed while it replayed. */
  async #goOn(): Promise<void> {
    const at = this.#here;
    const id = at.restoreId ?? '';
    const state = await restoreState(id, this.#parts.workspace.config);
    if (state === null) {
      // It did not begin, or was called off, which leaves an empty server; or it was promoted.
      const isBegun = at.phase === 'resuming' && (await this.#holdsData());
      if (isBegun) return this.#keep({ ...at, phase: 'promoted' });
      await this.#keep({ ...at, phase: 'provisioned', looked: null, restoreId: null });
      return this.#provide();
    }
    await this.#keep({ ...at, phase: 'resuming' });
    this.#tell('replay');
    const report = await this.#resume(id);
    await this.#keep({ ...at, phase: 'promoted', replayed: factsOf(report) });
  }

  async #holdsData(): Promise<boolean> {
    const { secrets } = this.#parts.provisioners;
    return withTarget(this.#target, secrets, this.#context.signal, async (client) =>
      /^db\d+:keys=/m.test(String(await client.call('INFO', 'keyspace'))),
    );
  }

  async #promote(): Promise<void> {
    const at = this.#here;
    const id = at.restoreId ?? '';
    await this.#keep({ ...at, phase: 'promoting' });
    this.#tell('promote');
    if ((await restoreState(id, this.#parts.workspace.config)) !== null) {
      const { warnings } = await this.#resume(id);
      const replayed = at.replayed && { ...at.replayed, warnings };
      return this.#keep({ ...at, phase: 'promoted', replayed });
    }
    return this.#keep({ ...at, phase: 'promoted' });
  }

  async #resume(id: string): Promise<RestoreReport> {
    const { instance } = this.#context.job;
    return this.#withRestore(async (_, environment) =>
      resumeRestore(instance, id, readPassword, environment),
    );
  }

  async #handOver(): Promise<CloneResult> {
    const { signal } = this.#context;
    const { secrets } = this.#parts.provisioners;
    let [count, compared]: [CloneCount, number] = [{ keys: 0, expired: 0 }, 0];
    let warnings: readonly string[] = [];
    if (this.#here.phase === 'promoted') {
      this.#tell('verify');
      [count, compared] = await this.#verify();
      await this.#keep({ ...this.#here, phase: 'settling', count });
    }
    if (this.#here.phase === 'settling') {
      this.#tell('settle');
      const ports = { secrets, signal, clock: this.#parts.clock };
      warnings = await settleClone(this.#here.asked, this.#target, ports);
      await this.#keep({ ...this.#here, phase: 'registering' });
    }
    const { replayed } = this.#here;
    if (this.#request.register) warnings = [...warnings, ...(await this.#register())];
    return {
      ...{ provisioned: this.#target, replayed, compared },
      passwordRef: this.#here.asked.passwordRef,
      count: this.#here.count ?? count,
      warnings: [...(replayed?.warnings ?? []), ...warnings],
    };
  }

  /** Under protection, by an archiver of this host if one runs. */
  async #register(): Promise<readonly string[]> {
    const { workspace, provisioners, clock, random } = this.#parts;
    const { job, signal } = this.#context;
    const { login, keep, name } = this.#request;
    const { policy } = workspace.catalog.instance(job.instance);
    const { actor, createdMs } = job;
    const kept = keep.includes('policy') ? policy : null;
    const rest = { policy: kept, by: actor.name, login, createdMs };
    const { secrets } = provisioners;
    const parts = { workspace, secrets, signal, clock, random };
    await checkSource(this.#here.asked, this.#target, actor, workspace.config);
    await registerClone(this.#here.asked, this.#target, rest, parts);
    try {
      const asked = { timeoutMs: ATTACH_MS, signal };
      if ((await workspace.askArchiver('attach', name, asked)) !== null) return [];
    } catch (cause) {
      if (signal.aborted || !(cause instanceof TidemarkError)) throw cause;
      return [`${name} is configured, and not captured yet: ${cause.message}`];
    }
    return [`${name} is configured, and captured once an archiver runs (tidemark serve archiver)`];
  }

  async #verify(): Promise<[CloneCount, number]> {
    const { provisioners } = this.#parts;
    const { looked, replayed, ttl } = this.#here;
    const { sample, source } = this.#request;
    const { secrets } = provisioners;
    if (looked === null) throw new PlanError('TM_INTERNAL', 'a clone was not looked at');
    return withTarget(this.#target, secrets, this.#context.signal, async (client) => {
      const count = await countClone(client, looked, replayed);
      if (sample === 0) return [count, 0];
      const address = await addressOf(this.#target, secrets);
      try {
        const { instance } = this.#context.job;
        const point = source.kind === 'latest' && replayed !== null ? cutOf(replayed) : source;
        const request = { instance, point, ttl, address, sample };
        return [count, await compareSample(request, client, await this.#environment())];
      } finally {
        address.tls?.[Symbol.dispose]();
      }
    });
  }

  async #withRestore<T>(
    work: (request: RestoreRequest, environment: RestoreEnvironment) => Promise<T>,
  ): Promise<T> {
    const { instance } = this.#context.job;
    const { source, selector, withFunctions, keep, verify } = this.#request;
    const target = await restoreTargetOf(this.#target, this.#parts.provisioners.secrets);
    const [users, password] = [keep.includes('users'), keep.includes('password')];
    const params = keep.includes('params');
    const isWished = users || password || params;
    try {
      return await work(
        {
          ...{ instance, point: source, ttl: this.#here.ttl, target, verify, withFunctions },
          selector: selector === null ? null : selectorFromJson(selector),
          ...{ promote: false, allowFlush: false, feedListen: null, feedAdvertise: null },
          facts: isWished
            ? { acl: users || password, defaultUser: password, config: params }
            : null,
        },
        await this.#environment(),
      );
    } finally {
      target.address.tls?.[Symbol.dispose]();
    }
  }

  async #environment(): Promise<RestoreEnvironment> {
    const { workspace } = this.#parts;
    const { job, signal } = this.#context;
    const environment = restoreEnvironment(workspace, {
      signal,
      onProgress: (progress) => this.#tellRestore(progress),
      onVanishing: ({ count }) =>
        this.#context.log('warn', `${count.toString()} keys have expired and vanish at once`),
    });
    return {
      ...environment,
      original: await configuredAddress(job.instance, await loadConfig(workspace.config.path)),
      // One that was started here for this is nobody's else.
      ...(this.#request.target.kind === 'local'
        ? {}
        : { checkNode: (target) => refuseConfiguredNode(target, workspace, signal) }),
    };
  }

  #tellRestore({ phase, bytes, bytesTotal }: RestoreProgress): void {
    const from = PERCENT['replay'] ?? 0;
    const share = bytesTotal === 0 ? 0 : Math.min(1, bytes / bytesTotal);
    const percent = Math.round((from + share * ((PERCENT['promote'] ?? 0) - from)) * 10) / 10;
    this.#context.progress({ phase, percent, bytesDone: bytes, bytesTotal });
  }

  #tell(phase: string): void {
    this.#context.progress({ phase, percent: PERCENT[phase] ?? 0 });
  }

  async #keep(checkpoint: CloneCheckpoint): Promise<void> {
    this.#context.signal.throwIfAborted();
    await this.#context.keep(checkpointToJson(checkpoint));
    this.#at = checkpoint;
  }

  get #here(): CloneCheckpoint {
    if (this.#at === null) throw new PlanError('TM_INTERNAL', 'a clone has not begun');
    return this.#at;
  }

  get #target(): Provisioned {
    const { provisioned } = this.#here;
    if (provisioned === null) throw new PlanError('TM_INTERNAL', 'a clone has no server');
    return provisioned;
  }
}

function factsOf(report: RestoreReport): ReplayedFacts {
  const { id, at, cut, keys, commands, bytes, warnings } = report;
  return { id, at, timeline: cut.timeline, offset: cut.offset, keys, commands, bytes, warnings };
}

function cutOf({ timeline, offset }: ReplayedFacts): {
  readonly kind: 'offset';
  readonly offset: bigint;
  readonly timeline: string;
} {
  return { kind: 'offset', offset: BigInt(offset), timeline };
}
