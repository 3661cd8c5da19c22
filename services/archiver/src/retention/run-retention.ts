import {
  FORGOTTEN_PER_ENTRY_MAX,
  isFree,
  isLive,
  noteOf,
  planRetention,
  TOMBSTONE_BACKUPS_MAX,
  TOMBSTONE_WRITERS_MAX,
  withFloors,
  type Amount,
  type InstanceLog,
  type InstanceState,
  type RetentionPlan,
  type Tombstone,
} from '@tidemark/catalog';
import { makeId } from '@tidemark/core';
import { openKnownLog } from '../known-logs.ts';
import { refuseClockAhead } from './clock-ahead.ts';
import { deleteMarked, type Deleted } from './delete-marked.ts';
import { findCuts, type WriterCut } from './find-cuts.ts';
import { syncInstance, type RetentionPorts, type RetentionRequest } from './retention-ports.ts';
import { findUnnamed, UnnamedFile, type FoundUnnamed } from './unnamed-objects.ts';

/** What a run marked, or would. */
export interface Marked extends RetentionPlan {
  /** Null when nothing was written. */
  readonly tombstone: string | null;
  readonly dueMs: number;
  readonly cuts: readonly WriterCut[];
  readonly unnamed: Amount | null;
}

/** What a retention run did, or would do. Times are Unix milliseconds. */
export interface RetentionReport {
  readonly instance: string;
  readonly dryRun: boolean;
  readonly retainSeconds: number;
  /** The newest so many backups stay, however old they are. */
  readonly keepLast: number;
  /** Who says so: the policy in the log of the instance, or the configuration of this host. */
  readonly retainedBy: 'instance' | 'host';
  /** A tombstone that stands after the run, or whose time has come in a dry run. */
  readonly standing: Tombstone | null;
  /** A tombstone that was taken back: what it hid is needed after all. */
  readonly revoked: string | null;
  readonly deleted: Deleted | null;
  readonly marked: Marked | null;
}

/**
 * Lets go of what the policy of an instance keeps no longer, in two phases: what was marked by an
 * earlier run and is over its grace is looked at again and deleted; what is needed no more is marked.
 *
 * Safe to kill at any instant and to run twice at one time.
 * @throws CatalogError `TM_NOT_FOUND`; StoreError `TM_STORE_CLOCK` when this host's clock is ahead of
 *   a live archiver, and where the store refuses; as `Catalog.sync`.
 */
export async function runRetention(
  request: RetentionRequest,
  ports: RetentionPorts,
): Promise<RetentionReport> {
  const { instance, dryRun } = request;
  await syncInstance(instance, ports);
  const run = new RetentionRun(request, ports);
  const { tombstone } = ports.catalog.instance(instance).expiry;
  if (!dryRun && (tombstone === null || run.isDue)) await refuseClockAhead(instance, ports);
  const settled = dryRun ? NOTHING_SETTLED : await run.settle();
  if (settled.deleted !== null || settled.revoked !== null) await syncInstance(instance, ports);
  const isFreeToMark = ports.catalog.instance(instance).expiry.tombstone === null;
  const marked = isFreeToMark || (dryRun && run.isDue) ? await run.mark() : null;
  if (marked?.tombstone != null) await syncInstance(instance, ports);
  return {
    ...{ instance, dryRun, retainSeconds: run.retainSeconds, keepLast: run.keepLast },
    retainedBy: run.retainedBy,
    standing: ports.catalog.instance(instance).expiry.tombstone,
    ...settled,
    marked,
  };
}

/**
 * Takes back what is marked and not yet being deleted.
 * @returns The tombstone; null when none could be taken back.
 */
export async function revokeTombstone(
  instance: string,
  ports: RetentionPorts,
): Promise<string | null> {
  await syncInstance(instance, ports);
  const { tombstone } = ports.catalog.instance(instance).expiry;
  if (tombstone === null || tombstone.begun) return null;
  const log = await openLog(instance, ports);
  const seq = await log.append((state) =>
    isPending(state, tombstone)
      ? { type: 'ExpiryRevoked', tombstone: tombstone.tombstone, atMs: ports.clock.nowMs() }
      : null,
  );
  await syncInstance(instance, ports);
  return seq === null ? null : tombstone.tombstone;
}

type Settled = Pick<RetentionReport, 'revoked' | 'deleted'>;
const NOTHING_SETTLED: Settled = { revoked: null, deleted: null };

class RetentionRun {
  readonly #request: RetentionRequest;
  readonly #ports: RetentionPorts;
  readonly #file: UnnamedFile;
  /** When the run began: a lease that ends while it runs still counts. */
  readonly #nowMs: number;

  constructor(request: RetentionRequest, ports: RetentionPorts) {
    this.#request = request;
    this.#ports = ports;
    this.#nowMs = ports.clock.nowMs();
    this.#file = new UnnamedFile(request.stateDir, request.instance);
  }

  get retainSeconds(): number {
    return this.#state.policy?.retainSeconds ?? this.#request.retainSeconds;
  }

  get keepLast(): number {
    return keepLastOf(this.#state, this.#request);
  }

  get retainedBy(): RetentionReport['retainedBy'] {
    return this.#state.policy === null ? 'host' : 'instance';
  }

  /** Whether a tombstone stands whose grace is over. */
  get isDue(): boolean {
    const { tombstone } = this.#state.expiry;
    return tombstone !== null && (tombstone.begun || this.#nowMs >= tombstone.dueMs);
  }

  /** Deletes what an earlier run marked, if it is time and it is still not needed. */
  async settle(): Promise<Settled> {
    const { tombstone } = this.#state.expiry;
    if (tombstone === null || !this.isDue) return NOTHING_SETTLED;
    const { instance } = this.#request;
    // Of all of these the logs of the writers are read below: who stored them comes before who spoke of them.
    const noted = this.#state.backups.map(({ backup }) => backup);
    const log = await openLog(instance, this.#ports);
    if (!tombstone.begun && (await this.#begin(tombstone, log)) === 'ExpiryRevoked') {
      return { ...NOTHING_SETTLED, revoked: tombstone.tombstone };
    }
    await syncInstance(instance, this.#ports);
    // Another process was faster: it deleted what was marked, or took it back.
    const now = this.#state.expiry.tombstone;
    if (now?.tombstone !== tombstone.tombstone || !now.begun) return NOTHING_SETTLED;
    const isRead = this.#state.leases.some(
      (lease) => lease.purpose !== 'hold' && isLive(lease, this.#nowMs),
    );
    const options = { file: this.#file, isRead };
    const deleted = await deleteMarked(instance, tombstone, options, this.#ports);
    const seq = await log.append((state) =>
      state.expiry.tombstone?.tombstone === tombstone.tombstone
        ? { type: 'ExpiryDone', tombstone: tombstone.tombstone, atMs: this.#nowMs }
        : null,
    );
    // The list of another tombstone may lie there by now.
    if (seq !== null) {
      await this.#file.remove();
      await this.#forget(noted, log);
    }
    return { ...NOTHING_SETTLED, deleted };
  }

  /**
   * Forgets labels and deletions of backups that are gone for good: not while a tombstone stands, which
   * may be taken back, nor by what the catalog hides, for it may know of a later one by now.
   */
  async #forget(noted: readonly string[], log: InstanceLog): Promise<void> {
    const { instance } = this.#request;
    await log.append(({ backups: known, expiry: { tombstone, floors } }) => {
      if (tombstone !== null) return null;
      const backups = this.#ports.catalog
        .retention((ask) => ask.goneBackups(instance, floors, noted))
        .filter((backup) => noteOf(known, backup) !== null)
        .slice(0, FORGOTTEN_PER_ENTRY_MAX);
      if (backups.length === 0) return null;
      return { type: 'BackupsForgotten', backups, atMs: this.#nowMs };
    });
  }

  /** Marks what is needed no more; only says so in a dry run. */
  async mark(): Promise<Marked | null> {
    const { instance, dryRun, graceMs } = this.#request;
    const { expiry } = this.#state;
    const plan = this.#plan(this.#state);
    const floors = plan.steps.map(({ floor }) => floor);
    const cuts = (await findCuts(instance, floors, this.#ports)).slice(0, TOMBSTONE_WRITERS_MAX);
    const [unnamed, isCut] = await this.#unnamed();
    const dueMs = this.#nowMs + graceMs;
    const limited = plan.limited || isCut;
    const marked = { ...plan, limited, dueMs, cuts, unnamed: amountOf(unnamed), tombstone: null };
    const backups = plan.dropped.map(({ backup }) => backup);
    if (plan.steps.length + cuts.length + backups.length === 0 && unnamed === null)
      return limited ? marked : null;
    if (dryRun) return marked;
    const tombstone = `ts-${makeId(this.#nowMs, this.#ports.random)}`;
    if (unnamed !== null) await this.#file.write(unnamed);
    const log = await openLog(instance, this.#ports);
    const seq = await log.append((state) => {
      const now = this.#plan(state);
      const same = JSON.stringify(comparable(now)) === JSON.stringify(comparable(plan));
      // A reader came meanwhile, or somebody else marked something: another run will do it.
      if (!same || state.expiry.tombstone !== null || expiry.tombstone !== null) return null;
      return {
        ...{ type: 'ExpiryTombstoned', tombstone, floors, dueMs, atMs: this.#nowMs },
        cuts: cuts.map(({ writer, seq: at }) => ({ writer, seq: at })),
        unnamed: unnamed && {
          objects: unnamed.objects,
          bytes: unnamed.bytes,
          digest: unnamed.digest,
        },
        ...(backups.length > 0 && { backups }),
        ...{ retainSeconds: this.retainSeconds, forced: this.#request.shareMax >= 1 },
        ...plan.amount,
      };
    });
    return seq === null ? null : { ...marked, tombstone };
  }

  /**
   * The last look: what was marked may be needed by now.
   * @returns What was logged; null when another process was faster.
   */
  async #begin(
    tombstone: Tombstone,
    log: InstanceLog,
  ): Promise<'ExpiryBegun' | 'ExpiryRevoked' | null> {
    const { instance } = this.#request;
    const name = tombstone.tombstone;
    let type: 'ExpiryBegun' | 'ExpiryRevoked' | null = null;
    const seq = await log.append((state) => {
      if (!isPending(state, tombstone)) return null;
      const leases = state.leases.filter((lease) => isLive(lease, this.#nowMs));
      const { retainSeconds } = this;
      const rules = { retainSeconds, keepLast: keepLastOf(state, this.#request), leases };
      const shards = this.#ports.catalog
        .retention((ask) => ask.shards(instance, true, state))
        .map((shard) => withFloors(shard, tombstone.before));
      const free = isFree(shards, state.expiry.floors, rules, tombstone.backups);
      type = free ? 'ExpiryBegun' : 'ExpiryRevoked';
      return { type, tombstone: name, atMs: this.#nowMs };
    });
    return seq === null ? null : type;
  }

  /**
   * Objects without a name, held to the share of one run as well: where a log did not tell of what is
   * kept, nearly everything would be without a name. True: there are more.
   */
  async #unnamed(): Promise<readonly [FoundUnnamed | null, boolean]> {
    const { instance, shareMax } = this.#request;
    const total = this.#ports.catalog.retention((ask) => ask.total(instance));
    const bytesMax = shareMax >= 1 ? Infinity : total.bytes * shareMax;
    const found = await findUnnamed(instance, bytesMax, this.#ports);
    return [found.unnamed, found.limited];
  }

  #plan(state: InstanceState): RetentionPlan {
    const { leases, policy } = state;
    const { instance, shareMax, retainSeconds } = this.#request;
    return this.#ports.catalog.retention((ask) =>
      planRetention({
        shards: ask.shards(instance, false, state),
        retainSeconds: policy?.retainSeconds ?? retainSeconds,
        keepLast: keepLastOf(state, this.#request),
        leases,
        nowMs: this.#nowMs,
        shareMax,
        ...{ writersMax: TOMBSTONE_WRITERS_MAX, backupsMax: TOMBSTONE_BACKUPS_MAX },
        sizes: {
          total: ask.total(instance),
          below: (floor) => ask.below(instance, floor),
          ofBackup: (backup, writer) => ask.ofBackup(instance, backup, writer),
        },
      }),
    );
  }

  get #state(): InstanceState {
    return this.#ports.catalog.instance(this.#request.instance);
  }
}

/** A policy that says nothing of it, of an early release, leaves it to the host. */
function keepLastOf({ policy }: InstanceState, { keepLast = 1 }: RetentionRequest): number {
  return policy?.keepLast ?? keepLast;
}

function comparable({ steps, dropped }: RetentionPlan): unknown {
  const floors = steps.map(({ floor: { writer, timeline, offset } }) => [
    ...[writer, timeline, `${offset}`],
  ]);
  return [floors, dropped.map(({ backup }) => backup)];
}

function amountOf(found: FoundUnnamed | null): Amount | null {
  return found && { objects: found.objects, bytes: found.bytes };
}

function isPending({ expiry }: InstanceState, { tombstone }: Tombstone): boolean {
  return expiry.tombstone?.tombstone === tombstone && !expiry.tombstone.begun;
}

async function openLog(iid: string, ports: RetentionPorts): Promise<InstanceLog> {
  const { store, keys, clock, random, signal } = ports;
  const logKey = await keys.logKey(iid);
  return openKnownLog({ store, iid, logKey, clock, random, signal });
}
