import { dirname } from 'node:path';
import type { InstanceLog, InstanceState, RecycleState, ReleasedNode } from '@tidemark/catalog';
import { TidemarkError, UsageError, type Clock, type Random } from '@tidemark/core';
import { refuseCaptured, shredKeys } from '@tidemark/restorer';
import { storeTime } from '@tidemark/store';
import {
  describeEntry,
  eraseSpool,
  readSecret,
  secretSource,
  type InstanceEntry,
  type Workspace,
} from '@tidemark/workspace';
import type { Audit } from '../audit/audit.ts';
import type { Actor } from '../jobs/job.ts';
import type { StateDatabase } from '../state/database.ts';
import { isFileConfigured } from '../provision/configured-files.ts';
import { SecretFolder } from '../provision/secrets.ts';
import { DUE_GRACE_MS, DueWatch, whyKept, type LogHead } from './due-watch.ts';
import { eraseObjects } from './erase-objects.ts';
import {
  refuseApart,
  refuseCapturedSince,
  refuseConfigured,
  refuseRead,
  refuseReleasedAnew,
  writtenSince,
  type BinStay,
} from './may-destroy.ts';
import { releaseInstance } from './release-instance.ts';
import { logOf, RECYCLE_LEASE, releaseRecycleLease } from './take-back.ts';
import { WatchedTime } from './watched-time.ts';

const SWEEP_MS = 3_600_000;
/** Asks for nobody: what the clock brings. */
const BY_CLOCK: Actor = { name: 'recycle-clock', via: 'policy' };

/** What the bin works with. */
export interface RecycleParts {
  readonly workspace: Workspace;
  readonly audit: Pick<Audit, 'append'>;
  readonly clock: Clock;
  readonly random: Random;
  readonly warn: (message: string) => void;
  /** Remembers over a restart how long instances were seen in the bin. Default: nothing does. */
  readonly state?: StateDatabase;
}

/** An instance that is due by the clock of this host, and is kept all the same. */
export interface PostponedEnd {
  readonly instance: string;
  readonly detail: string;
}

/** An instance in the bin, as it is shown. */
export interface RecycledInstance {
  readonly instance: string;
  readonly name: string;
  /**
   * `kept`: can be had back. `due`: its time is over, and it goes with the next sweep where this host
   * deletes. `destroyed`: its keys are gone, its objects go. `erased`: nothing is left of it.
   */
  readonly state: 'kept' | 'due' | 'destroyed' | 'erased';
  readonly sinceMs: number;
  readonly untilMs: number;
  readonly by: string;
  readonly node: ReleasedNode | null;
  readonly tde: boolean;
  readonly rebuilds: RecycleState['rebuilds'];
  /** When its objects go; null while it can be had back. */
  readonly goneMs: number | null;
}

/** Released instances: kept for their time, rebuilt, or destroyed for good. */
export class RecycleBin {
  readonly #parts: RecycleParts;
  readonly #secrets: SecretFolder;
  readonly #erased = new Set<string>();
  readonly #shredded = new Set<string>();
  readonly #due: DueWatch;
  readonly #time: WatchedTime;
  readonly #postponed = new Map<string, string>();

  constructor(parts: RecycleParts) {
    this.#parts = parts;
    this.#due = new DueWatch(parts.clock);
    this.#time = new WatchedTime(parts.clock, parts.state ?? null);
    this.#secrets = new SecretFolder(parts.workspace.config);
  }

  /** What is due by the clock of this host alone, as the last sweep found it. */
  get postponed(): readonly PostponedEnd[] {
    return [...this.#postponed].map(([instance, detail]) => ({ instance, detail }));
  }

  /** Everything in the bin, the newest first. */
  async list(signal: AbortSignal): Promise<readonly RecycledInstance[]> {
    const { workspace } = this.#parts;
    await workspace.sync(signal);
    return this.known();
  }

  /** The same as the catalog has it now. */
  known(): readonly RecycledInstance[] {
    const { catalog } = this.#parts.workspace;
    const found = catalog.instances().flatMap((state) => this.#shown(state) ?? []);
    return found.sort((a, b) => b.sinceMs - a.sinceMs);
  }

  /** @throws UsageError `TM_NOT_FOUND`; `TM_RECYCLE_STATE` when it is not in the bin. */
  async get(instance: string, signal: AbortSignal): Promise<RecycledInstance> {
    const shown = this.#shown(await this.#known(instance, signal));
    if (shown !== null) return shown;
    throw notThere(instance);
  }

  /**
   * Releases an instance: it is captured no more, and all of it is kept for the time of
   * `policy.recycle_retain`. Safe to repeat after an interruption.
   * @throws UsageError `TM_NOT_FOUND` when it is not configured here; CatalogError `TM_LOG_OWNER`, KeyError
   *   `TM_BUSY` while another archiver captures it; StoreError `TM_STORE_CLOCK` while the clock that its time
   *   would count by is wrong.
   */
  async put(instance: string, actor: Actor, signal: AbortSignal): Promise<RecycledInstance> {
    const { workspace, clock, random, warn, audit } = this.#parts;
    const parts = { workspace, clock, random, signal, warn, mustEnd: true };
    await refuseApart(instance, workspace.store, clock, signal);
    await releaseInstance(instance, parts, async (entry) => {
      await workspace.sync(signal, instance);
      const writers = workspace.catalog.writers(instance);
      refuseCaptured(instance, writers, clock.nowMs());
      const node = await this.#nodeOf(entry);
      const log = await logOf(instance, this.#parts, signal);
      const atMs = clock.nowMs();
      const untilMs = atMs + workspace.config.recycleRetainMs;
      // A hold ends by its release alone: retention lets go of nothing, whatever its rules are by then.
      await log.append(({ leases }) =>
        leases.some(({ lease }) => lease === RECYCLE_LEASE)
          ? null
          : {
              type: 'LeaseTaken',
              lease: RECYCLE_LEASE,
              purpose: 'hold',
              fromSecond: 0,
              untilMs,
              atMs,
            },
      );
      // It was captured on since an attempt that was cut short: its time begins anew.
      await log.append(({ recycle }) =>
        recycle !== null && writtenSince(writers, recycle.sinceMs) !== undefined
          ? { type: 'InstanceReturned', by: actor.name, atMs }
          : null,
      );
      await log.append(({ recycle }) =>
        recycle === null ? { type: 'InstanceRecycled', node, by: actor.name, untilMs, atMs } : null,
      );
    });
    audit.append({ actor, action: 'recycle.put', instance, job: null, detail: '' });
    return this.get(instance, signal);
  }

  /** Notes that an instance was rebuilt; it stays in the bin until its time. */
  async noteRebuilt(
    instance: string,
    rebuilt: { readonly into: string | null; readonly job: string; readonly by: string },
    signal: AbortSignal,
  ): Promise<void> {
    const log = await logOf(instance, this.#parts, signal);
    await log.append(({ recycle }) =>
      recycle === null || recycle.rebuilds.some(({ job }) => job === rebuilt.job)
        ? null
        : { type: 'InstanceRebuilt', ...rebuilt, atMs: this.#parts.clock.nowMs() },
    );
  }

  /**
   * Gives an instance up for good: its keys are destroyed at once, its objects go after the grace. There is
   * no way back. Safe to repeat after an interruption.
   * @param confirm - The id of the instance, as somebody typed it.
   * @param meant - The stay in the bin that is to end so; default: the one it is there for now.
   * @throws UsageError `TM_WRITE_CONSENT`; `TM_RECYCLE_STATE` when it is not in the bin, or still configured
   *   here; KeyError `TM_BUSY` while somebody reads it or an archiver captures it, and when one has captured
   *   it since it came into the bin; as `shredKeys`.
   */
  async destroy(
    instance: string,
    confirm: string,
    actor: Actor,
    signal: AbortSignal,
    meant?: BinStay,
  ): Promise<RecycledInstance> {
    if (confirm !== instance) {
      throw new UsageError('TM_WRITE_CONSENT', `the destruction of ${instance} was not confirmed`, {
        hint: 'nothing was destroyed; the confirmation is the id of the instance',
      });
    }
    const state = await this.#known(instance, signal);
    if (state.recycle === null) throw notThere(instance);
    const { workspace, clock, audit } = this.#parts;
    const { catalog, config } = workspace;
    if (state.recycle.destroyed === null) await refuseConfigured(instance, config.path);
    const writers = catalog.writers(instance);
    refuseCaptured(instance, writers, clock.nowMs());
    refuseCapturedSince(instance, writers, state.recycle.sinceMs);
    refuseRead(state, clock.nowMs());
    const log = await logOf(instance, this.#parts, signal);
    const stay = meant ?? state.recycle;
    // Asked of the state that the entry follows: what was looked at so far may be over by now.
    const seq = await log.append((newest) => {
      const { recycle } = newest;
      if (recycle === null) throw notThere(instance);
      refuseReleasedAnew(instance, recycle, stay);
      if (recycle.destroyed !== null) return null;
      const atMs = clock.nowMs();
      refuseRead(newest, atMs);
      const dueMs = atMs + config.graceMs;
      return { type: 'InstanceDestroyed', by: actor.name, dueMs, atMs };
    });
    // Only now: until it was given up for good, retention is to keep all of it.
    await releaseRecycleLease(log, clock);
    if (seq !== null) {
      audit.append({ actor, action: 'recycle.destroy', instance, job: null, detail: '' });
    }
    await this.#shred(instance, log, signal);
    await this.#forgetSecret(state.recycle);
    return this.get(instance, signal);
  }

  /**
   * Does what the clock brings: destroys what is over its time, where this host deletes (`archiver.expire`),
   * and deletes the objects of what was destroyed once its grace is over. What it finds over its time it
   * says in the log, and destroys it a day later: see `DueWatch`.
   */
  async sweep(signal: AbortSignal): Promise<void> {
    const { clock, workspace, warn } = this.#parts;
    const all = await this.list(signal);
    this.#time.see(all.filter(({ state }) => state === 'kept' || state === 'due'));
    const dues = new Set(all.flatMap((one) => (one.state === 'due' ? [one.instance] : [])));
    for (const instance of this.#postponed.keys()) {
      if (!dues.has(instance)) this.#postponed.delete(instance);
    }
    for (const one of all) {
      const { instance, state, goneMs } = one;
      try {
        if (state !== 'due') this.#due.forget(instance);
        if (state === 'due' && workspace.config.expires) {
          await this.#end(one, signal);
        } else if (goneMs !== null && clock.nowMs() >= goneMs && !this.#erased.has(instance)) {
          await this.#erase(instance, signal);
        } else if (state === 'destroyed' && !this.#shredded.has(instance)) {
          await this.#shred(instance, await logOf(instance, this.#parts, signal), signal);
        }
      } catch (cause) {
        if (signal.aborted || !(cause instanceof TidemarkError)) throw cause;
        warn(`${instance} stays in the recycle bin for now: ${cause.message}`);
      }
    }
  }

  /** Sweeps every hour until the signal. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.sweep(signal).catch((cause: unknown) => {
        if (signal.aborted) return;
        this.#parts.warn(
          `the recycle bin was not swept: ${cause instanceof Error ? cause.message : ''}`,
        );
      });
      await this.#parts.clock.sleep(SWEEP_MS, signal).catch(() => undefined);
    }
  }

  /** Destroys what is due, once that can be relied upon. */
  async #end(one: RecycledInstance, signal: AbortSignal): Promise<void> {
    const { workspace, clock, warn } = this.#parts;
    const { instance } = one;
    // Others were ended since all were listed, and that may have taken hours.
    const { recycle: now } = await this.#known(instance, signal);
    if (now === null) throw notThere(instance);
    refuseReleasedAnew(instance, now, one);
    const { dueSinceMs } = now;
    const storeMs = await storeTime(workspace.store, signal);
    const witnesses = { heads: this.#heads(), storeMs, watchedMs: this.#time.of(instance) };
    const answer = this.#due.look({ ...one, dueSinceMs }, witnesses);
    const doubt = whyKept(answer, one, witnesses, clock.nowMs());
    if (doubt !== null) {
      this.#postponed.set(instance, doubt);
      warn(`${instance} is kept: ${doubt}`);
      return;
    }
    this.#postponed.delete(instance);
    if (answer === 'destroy') await this.destroy(instance, instance, BY_CLOCK, signal, one);
    if (answer !== 'say') return;
    const log = await logOf(instance, this.#parts, signal);
    const atMs = clock.nowMs();
    await log.append(({ recycle }) =>
      recycle?.destroyed === null && recycle.sinceMs === one.sinceMs
        ? { type: 'InstanceDue', atMs }
        : null,
    );
    const from = new Date(atMs + DUE_GRACE_MS).toISOString();
    warn(`${instance} is due: its keys are destroyed from ${from} on unless it is taken back`);
  }

  #heads(): readonly LogHead[] {
    const { catalog } = this.#parts.workspace;
    return catalog
      .instances()
      .flatMap(({ iid }) =>
        iid === null
          ? []
          : catalog
              .writers(iid)
              .map(({ shard, writer, state }) => ({ log: `${iid}/${shard}/${writer}`, state })),
      );
  }

  /** An attempt that was cut short may have left some of the keys. */
  async #shred(instance: string, log: InstanceLog, signal: AbortSignal): Promise<void> {
    const { clock, workspace } = this.#parts;
    const { store, config } = workspace;
    const what = { instance, dekIds: null, store, log, clock, signal };
    await shredKeys({ ...what, onProgress: () => undefined });
    await eraseSpool(instance, config.stateDir);
    this.#shredded.add(instance);
  }

  async #erase(instance: string, signal: AbortSignal): Promise<void> {
    const { clock, audit, workspace } = this.#parts;
    const log = await logOf(instance, this.#parts, signal);
    const seq = await log.append(({ recycle }) =>
      recycle?.erasedMs === null ? { type: 'InstanceErased', atMs: clock.nowMs() } : null,
    );
    const objects = await eraseObjects(instance, workspace.store, signal);
    const { recycle } = workspace.catalog.instance(instance);
    // It stayed while another instance was logged in to with it.
    if (recycle !== null) await this.#forgetSecret(recycle);
    this.#erased.add(instance);
    if (seq === null && objects === 0) return;
    const detail = `${objects.toString()} objects`;
    audit.append({ actor: BY_CLOCK, action: 'recycle.erase', instance, job: null, detail });
  }

  async #known(instance: string, signal: AbortSignal): Promise<InstanceState> {
    const { workspace } = this.#parts;
    await workspace.sync(signal, instance);
    const found = workspace.catalog.instances().find(({ iid }) => iid === instance);
    if (found !== undefined) return found;
    throw new UsageError('TM_NOT_FOUND', `no instance ${instance} is in the store`, {
      hint: 'tidemark recycle list',
    });
  }

  #shown({ iid, name, recycle, tde }: InstanceState): RecycledInstance | null {
    if (recycle === null || iid === null) return null;
    const { sinceMs, untilMs, by, node, rebuilds, destroyed, erasedMs } = recycle;
    const isOver = this.#parts.clock.nowMs() >= untilMs;
    const state =
      destroyed === null ? (isOver ? 'due' : 'kept') : erasedMs === null ? 'destroyed' : 'erased';
    return {
      ...{ instance: iid, name: name ?? iid, state, sinceMs, untilMs, by, node, rebuilds },
      tde: tde !== null,
      goneMs: destroyed?.dueMs ?? null,
    };
  }

  /** A password that only the removed configuration knew is kept in the folder of secrets. */
  async #nodeOf(entry: InstanceEntry): Promise<ReleasedNode> {
    const { config } = this.#parts.workspace;
    const { id, url, user = null, source = 'aof', password_file: file } = entry;
    let passwordRef: string | null = null;
    if (file !== undefined) {
      const password = await readSecret(secretSource(file, dirname(config.path)));
      passwordRef = refOf(id);
      await this.#secrets.replace(passwordRef, password);
    }
    return { url: describeEntry(url), user, source, passwordRef };
  }

  /** A rebuilt instance of an earlier release is logged in to with this very file: then it stays. */
  async #forgetSecret({ node }: RecycleState): Promise<void> {
    if (node?.passwordRef == null) return;
    const path = this.#secrets.path(node.passwordRef);
    if (await isFileConfigured(path, this.#parts.workspace.config.path)) return;
    await this.#secrets.forget(node.passwordRef);
  }
}

const refOf = (instance: string): string => `recycle-${instance}.pass`;

function notThere(instance: string): UsageError {
  return new UsageError('TM_RECYCLE_STATE', `${instance} is not in the recycle bin`, {
    context: { instance },
    hint: `it gets there with: tidemark instance remove ${instance} --to-recycle`,
  });
}
