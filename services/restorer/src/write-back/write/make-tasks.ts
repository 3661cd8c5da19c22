import { createHash } from 'node:crypto';
import type { AdaptPayload } from '@tidemark/aof';
import { OWN_TYPES } from '../../compare/key-facts.ts';
import { DUMP_TAIL_BYTES } from '../compare/read-states.ts';
import type { Side } from '../compare/side.ts';
import type { KeyDifference, KeyState } from '../key-difference.ts';
import type { EarlierWrites } from '../undo/earlier-writes.ts';
import { readPieces } from '../value/read-pieces.ts';
import { isLarge } from './read-present.ts';
import {
  LARGE_BYTES,
  MODULE_BYTES_MAX,
  type Present,
  type WantedValue,
  type WriteTask,
} from './write-task.ts';
import type { WriteTally } from './write-tally.ts';

/** Values that are held at once. */
const GROUP_BYTES = 8 * 1024 * 1024;
/** Servers before 7.0 tell no expiry, only the time that is left: reckoned, it is off by a little. */
const RECKONED_OFF_MS = 5;

/** Where wanted values come from, and in which form they go. */
export interface TaskSource {
  /** The scratch server. */
  readonly then: Side;
  /** Whether the original tells expiries exactly. */
  readonly exactExpiry: boolean;
  readonly adapt: AdaptPayload;
  readonly tally: WriteTally;
  /** What an earlier run has written; null: there was none. */
  readonly earlier: Pick<EarlierWrites, 'conflict'> | null;
}

/** Turns differences into tasks with the values that the keys are to get, a few MiB at a time. */
export async function* makeTasks(
  differences: readonly KeyDifference[],
  source: TaskSource,
): AsyncGenerator<readonly WriteTask[]> {
  let group: KeyDifference[] = [];
  let bytes = 0;
  for (const difference of differences) {
    const more = Math.min(difference.then?.bytes ?? 0, LARGE_BYTES);
    const other = group.length > 0 && group[0]?.db !== difference.db;
    if (group.length > 0 && (other || bytes + more > GROUP_BYTES)) {
      yield await tasksOf(group, source);
      [group, bytes] = [[], 0];
    }
    group.push(difference);
    bytes += more;
  }
  if (group.length > 0) yield await tasksOf(group, source);
}

async function tasksOf(
  group: readonly KeyDifference[],
  source: TaskSource,
): Promise<readonly WriteTask[]> {
  const whole = group.filter((one) => isWritten(one) && travelsWhole(one.then));
  const payloads = await source.then.askAll(
    group[0]?.db ?? 0,
    whole.map(({ key }) => ['DUMP', key]),
  );
  const tasks: WriteTask[] = [];
  for (const difference of group) {
    const { db, key, outcome, then, live } = difference;
    const at = whole.indexOf(difference);
    const want =
      then === null || !isWritten(difference)
        ? null
        : wantedOf(difference, then, at < 0 ? null : payloads[at], source);
    if (want === undefined) continue;
    const { earlier, exactExpiry } = source;
    const offMs = exactExpiry ? 0 : RECKONED_OFF_MS;
    tasks.push({
      ...{ db, key, want, again: earlier !== null, vanishes: outcome === 'expired' },
      presentBytes: live?.bytes ?? 0,
      conflict: (present) =>
        conflictOf(live, present, offMs) ?? earlier?.conflict({ db, key }, present, offMs) ?? null,
      // There is nothing to be taken away: not a conflict, whatever was there before.
      settled: (present) => want === null && present === null && live === null,
    });
  }
  return tasks;
}

function isWritten({ outcome }: KeyDifference): boolean {
  return outcome === 'changed' || outcome === 'missing';
}

function travelsWhole(then: KeyState | null): boolean {
  if (then === null) return false;
  return !isLarge(then.bytes) || (!OWN_TYPES.has(then.type) && then.bytes <= MODULE_BYTES_MAX);
}

/** Undefined for a value that the original cannot be given; it is counted as refused. */
function wantedOf(
  { db, key }: KeyDifference,
  then: KeyState,
  payload: unknown,
  { then: side, adapt, tally }: TaskSource,
): WantedValue | undefined {
  const { type, expiryMs, bytes } = then;
  if (!travelsWhole(then)) {
    if (!OWN_TYPES.has(type)) {
      tally.left('refused', db, key, 'a value of a module that is too large to travel whole');
      return undefined;
    }
    const open = (): ReturnType<typeof readPieces> => readPieces(side, db, key, type);
    return { type, expiryMs, bytes, value: { kind: 'pieces', open } };
  }
  if (!Buffer.isBuffer(payload)) {
    tally.left('refused', db, key, 'the scratch server does not have it any more');
    return undefined;
  }
  const adapted = adapt(payload, 'value') ?? payload;
  if (!Buffer.isBuffer(adapted)) {
    tally.left('refused', db, key, adapted.refused);
    return undefined;
  }
  return { type, expiryMs, bytes, value: { kind: 'dump', payload: adapted } };
}

/**
 * Why a key is not as the comparison saw it; null when it is. Of a large value type, expiry and size
 * are known.
 */
function conflictOf(seen: KeyState | null, present: Present | null, offMs: number): string | null {
  if (seen === null) return present === null ? null : 'it was made after the comparison';
  if (present === null) return mayHaveExpired(seen) ? null : 'it was deleted after the comparison';
  if (present.type !== seen.type) return 'it got another type after the comparison';
  if (!sameExpiry(seen.expiryMs, present.expiryMs, offMs)) {
    return 'its expiry was changed after the comparison';
  }
  const { payload } = present;
  if (seen.digest === null || payload === null) {
    const both = seen.digest === null && payload === null;
    if (both && seen.bytes === present.bytes) return null;
  } else if (digestOf(payload) === seen.digest) return null;
  return 'its value was changed after the comparison';
}

/** Nobody need have touched it then. */
function mayHaveExpired({ expiryMs }: KeyState): boolean {
  return expiryMs !== null;
}

/** Whether two expiries are the same, to within some milliseconds where they were reckoned. */
export function sameExpiry(a: number | null, b: number | null, offMs: number): boolean {
  return a === null || b === null ? a === b : Math.abs(a - b) <= offMs;
}

function digestOf(payload: Buffer): string {
  const end = Math.max(0, payload.length - DUMP_TAIL_BYTES);
  return createHash('sha256').update(payload.subarray(0, end)).digest('hex');
}
