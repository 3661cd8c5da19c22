import { createHash } from 'node:crypto';
import {
  policyFaults,
  reopenInstanceLog,
  wholePolicy,
  type BackupPolicy,
  type InstanceState,
} from '@tidemark/catalog';
import { CatalogError, TidemarkError, UsageError, type Clock, type Random } from '@tidemark/core';
import type { Logger } from '@tidemark/archiver';
import type { PolicySettings, Workspace } from '@tidemark/workspace';
import type { Audit } from '../audit/audit.ts';
import type { CatalogKeeper } from '../queries/catalog-keeper.ts';
import { knownInstance } from '../queries/known-instance.ts';
import type { PlannedRun, PolicyDesk, PolicyRun, PolicyView, SetPolicyOptions } from './policy.ts';
import type { RunRows } from './run-rows.ts';
import { staggerOf } from './stagger.ts';
import { Timetable } from './timetable.ts';

const COUNT_MAX = 500;
/** How long the archiver may take to stop or begin the capture of a log. */
const TELL_MS = 60_000;

/** What a policy desk works with. */
export interface PolicyDeskParts {
  readonly workspace: Workspace;
  readonly fresh: Pick<CatalogKeeper, 'of'>;
  readonly rows: RunRows;
  readonly audit: Audit;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
}

/** When the runs of a policy begin, for one instance. */
export interface InstanceTimes {
  readonly table: Timetable;
  /** How long after its time a run begins. */
  readonly staggerMs: number;
}

/** Policies of the instances of a workspace: the log of an instance, else the configuration, says. */
export class LocalPolicyDesk implements PolicyDesk {
  readonly #parts: PolicyDeskParts;

  constructor(parts: PolicyDeskParts) {
    this.#parts = parts;
  }

  async get(instance: string): Promise<PolicyView> {
    const catalog = await this.#parts.fresh.of(instance, 0);
    return this.viewOf(instance, knownInstance(catalog, instance));
  }

  async set(
    instance: string,
    policy: BackupPolicy,
    { actor, ifMatch }: SetPolicyOptions,
  ): Promise<PolicyView> {
    const { workspace, audit, clock, random, fresh } = this.#parts;
    knownInstance(await fresh.of(instance, 0), instance);
    const whole = wholePolicy(policy, this.#settings.policy);
    refuseFaults(whole);
    const { store, keys } = workspace;
    const logKey = await keys.logKey(instance);
    const known = workspace.catalog.instance(instance);
    const ports = { store, iid: instance, logKey, clock, random };
    const log = await reopenInstanceLog(known, ports);
    await log.append((state) => {
      const { etag } = this.viewOf(instance, state);
      if (ifMatch !== null && ifMatch !== '*' && ifMatch !== etag) throw changed(instance, etag);
      return { type: 'PolicySet', policy: whole, by: actor.name, atMs: clock.nowMs() };
    });
    const detail = policyText(whole);
    audit.append({ actor, action: 'policy.set', instance, job: null, detail });
    await this.#tellArchiver(instance);
    await workspace.sync(new AbortController().signal, instance);
    return this.viewOf(instance, log.state);
  }

  async next(instance: string, count: number): Promise<readonly PlannedRun[]> {
    const { policy } = await this.get(instance);
    const times = this.timesOf(instance, policy);
    if (times === null) {
      throw new UsageError('TM_POLICY', `this host knows no zone ${policy.timeZone}`, {
        context: { instance, pointer: '/timeZone' },
        hint: 'its data of zones may be older than those of the host that set it: update Node.js',
      });
    }
    return this.#coming(times, Math.max(1, Math.min(COUNT_MAX, count)));
  }

  runs(instance: string, max: number): readonly PolicyRun[] {
    return this.#parts.rows.list(instance, Math.max(1, Math.min(COUNT_MAX, max)));
  }

  missedCount(instance: string): number {
    return this.#parts.rows.missedCount(instance);
  }

  /** The policy that a state of the log, or this host, tells. */
  viewOf(instance: string, { policy: own, policySet }: InstanceState): PolicyView {
    const { policy: host } = this.#settings;
    const policy = own === null ? host : wholePolicy(own, host);
    const times = this.timesOf(instance, policy);
    const [next] = times === null ? [] : this.#coming(times, 1);
    return {
      ...{ instance, policy },
      source: own === null ? 'host' : 'instance',
      setBy: policySet?.by ?? null,
      setMs: policySet?.atMs ?? null,
      etag: policySet === null ? hostEtag(policy) : `"policy-${policySet.seq.toString()}"`,
      nextBackupMs: next?.beginMs ?? null,
    };
  }

  /** When runs are due and begin; null for a zone that this host does not know. */
  timesOf(instance: string, policy: BackupPolicy): InstanceTimes | null {
    try {
      const table = new Timetable(policy);
      // Within the shortest span, and the same for every run: the order of runs stays.
      const staggerMs = staggerOf(instance, Math.min(this.#settings.spreadMs, table.spanMs));
      return { table, staggerMs };
    } catch (cause) {
      if (cause instanceof RangeError) return null;
      throw cause;
    }
  }

  #coming({ table, staggerMs }: InstanceTimes, count: number): readonly PlannedRun[] {
    const runs = table.coming(this.#parts.clock.nowMs() - staggerMs, count);
    return runs.map((dueMs) => ({ dueMs, beginMs: dueMs + staggerMs }));
  }

  /** It finds out by itself, a little later; that it is told is a courtesy. */
  async #tellArchiver(instance: string): Promise<void> {
    const { workspace, logger } = this.#parts;
    const signal = AbortSignal.timeout(TELL_MS);
    try {
      await workspace.askArchiver('policy', instance, { timeoutMs: TELL_MS, signal });
    } catch (cause) {
      if (!(cause instanceof TidemarkError)) throw cause;
      if (cause.code !== 'TM_NOT_FOUND') {
        logger.warn('policy-not-told', { instance, code: cause.code, error: cause.message });
      }
    }
  }

  get #settings(): PolicySettings {
    return this.#parts.workspace.config.policy;
  }
}

function refuseFaults(policy: BackupPolicy): void {
  const faults = policyFaults(policy);
  const [first] = faults;
  if (first === undefined) return;
  const message = faults.map(({ pointer, message: each }) => `${pointer}: ${each}`).join('; ');
  throw new UsageError('TM_POLICY', message, {
    context: { pointer: first.pointer, faults: faults.length },
    hint: 'docs/policy.md says what a policy holds',
  });
}

function changed(instance: string, etag: string): CatalogError {
  return new CatalogError('TM_POLICY_CHANGED', `the policy of ${instance} was changed meanwhile`, {
    context: { instance, etag },
    hint: 'read it again, and set it with the new ETag',
  });
}

function hostEtag(policy: Required<BackupPolicy>): string {
  const text = JSON.stringify(policy, Object.keys(policy).sort());
  return `"policy-host-${createHash('sha256').update(text).digest('hex').slice(0, 16)}"`;
}

/** A policy on one line, for the audit and for people. */
export function policyText(policy: Required<BackupPolicy>): string {
  const { days, hours, timeZone, retainSeconds, keepLast, flashback } = policy;
  const when = `${days.length === 7 ? 'every day' : days.join(',')} at ${hours.join(', ')} ${timeZone}`;
  const kept = `kept ${retainSeconds.toString()} s, at least ${keepLast.toString()}`;
  return `${when}; ${kept}; flashback ${flashback ? 'on' : 'off'}`;
}
