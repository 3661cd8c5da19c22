import { setTimeout as delay } from 'node:timers/promises';
import { takeLease, type Catalog, type HeldLease } from '@tidemark/catalog';
import { TidemarkError } from '@tidemark/core';
import type { WantedPoint } from '@tidemark/restorer';
import { systemClock, systemRandom } from '@tidemark/system';
import type { Workspace } from './workspace.ts';

/**
 * A command that is over sooner than this reads nothing that could be deleted meanwhile: what is
 * marked stays for the grace.
 */
const SHORT_MS = 5_000;

/** A second that no history has. */
const NEVER = 2 ** 40;

/** Told that the work goes on without a lease. */
export interface LeaseNotes {
  warn(message: string): void;
}

/** Of a workspace what a lease is taken with. */
interface LeaseParts extends Pick<Workspace, 'store' | 'catalog'> {
  readonly keys: Pick<Workspace['keys'], 'logKey'>;
}

/** What a command is going to read. */
export interface Reading {
  readonly instance: string;
  /** First second that it reads, as far as can be told; null = from the beginning. */
  readonly fromSecond: number | null;
  /** A long one takes its lease before it begins, others when they turn out not to be short. */
  readonly isLong: boolean;
  readonly purpose?: 'restore' | 'backup';
  /** The undo pack that it reads, and no history; absent = none. */
  readonly undoes?: string;
}

/**
 * Runs work that reads objects of an instance under a lease, so that retention lets go of nothing of
 * it. A store that takes no lease is warned of; the work goes on.
 */
export async function withLease<T>(
  reading: Reading,
  workspace: LeaseParts,
  notes: LeaseNotes,
  work: () => Promise<T>,
): Promise<T> {
  const over = new AbortController();
  const held = hold(reading, workspace, notes, over.signal);
  try {
    if (reading.isLong) await held;
    return await work();
  } finally {
    over.abort();
    await (await held)?.[Symbol.asyncDispose]();
  }
}

/** The first second that a restore to a point asks for. */
export function readFrom(
  catalog: Pick<Catalog, 'snapshots'>,
  instance: string,
  point: WantedPoint,
): number | null {
  if (point.kind === 'second') return point.second;
  const snapshots = catalog.snapshots(instance);
  if (point.kind === 'latest') return snapshots.at(-1)?.from ?? null;
  if (point.kind === 'backup') {
    return snapshots.find(({ backup }) => backup === point.backup)?.from ?? null;
  }
  const { timeline, offset } = point;
  const own = snapshots.filter((one) => timeline === null || one.timeline === timeline);
  const starts = own.filter((one) => one.offset <= offset).map(({ from }) => from);
  return starts.length === 0 ? null : Math.min(...starts);
}

async function hold(
  { instance, fromSecond, isLong, purpose = 'restore', undoes }: Reading,
  { store, keys, catalog }: LeaseParts,
  notes: LeaseNotes,
  over: AbortSignal,
): Promise<HeldLease | null> {
  const known = catalog.instances().find(({ iid }) => iid === instance);
  if (known === undefined) return null; // the work itself says so
  if (!isLong) {
    const isShort = await delay(SHORT_MS, false, { signal: over }).catch(() => true);
    if (isShort) return null;
  }
  const warn = (cause: TidemarkError): void =>
    notes.warn(
      `no lease is held, so retention may delete what is read here once its grace is over: ${cause.message}`,
    );
  try {
    const logKey = await keys.logKey(instance);
    return await takeLease({
      ...{ store, iid: instance, logKey, clock: systemClock, random: systemRandom },
      ...{ purpose, known, onLost: warn, retry: { attempts: 2 } },
      ...(undoes !== undefined && { undoes }),
      fromSecond: undoes === undefined ? (fromSecond ?? firstSecond(catalog, instance)) : NEVER,
    });
  } catch (cause) {
    if (!(cause instanceof TidemarkError)) throw cause;
    warn(cause);
    return null;
  }
}

function firstSecond(catalog: Catalog, instance: string): number {
  return Math.min(...catalog.snapshots(instance).map(({ from }) => from), NEVER);
}
