import type { Argument } from '@tidemark/client';
import { NodeError } from '@tidemark/core';
import { OWN_TYPES } from '../../compare/key-facts.ts';
import { readStates, type FoundKey } from '../compare/read-states.ts';
import type { Side } from '../compare/side.ts';
import { throwIfStopped } from './exec-batch.ts';
import { LARGE_BYTES, MODULE_BYTES_MAX, type Present, type WriteTask } from './write-task.ts';

/** Whether a value of this size travels in pieces. */
export function isLarge(bytes: number): boolean {
  return bytes > LARGE_BYTES;
}

/**
 * Watches keys and reads what they hold, without values over 8 MiB.
 * @returns Null for a key that is not there.
 * @throws NodeError, PlanError as `throwIfStopped`.
 */
export async function watchAndRead(
  side: Side,
  tasks: readonly WriteTask[],
): Promise<readonly (Present | null)[]> {
  const db = tasks[0]?.db ?? 0;
  const keys = tasks.map(({ key }) => key);
  const [watched] = await side.tryAll(db, [['WATCH', ...keys]], 0);
  if (watched instanceof NodeError) {
    throwIfStopped(watched);
    throw watched;
  }
  const sizes = await presentSizes(side, db, tasks);
  const found = await readStates(side, db, keys, sizes);
  return tasks.map((_, i) => presentOf(found[i] ?? null, sizes[i]?.bytes ?? 0));
}

/**
 * The size that was seen before is good for what is small: a value that has grown since is in conflict
 * anyway. A large one is measured again, and may be dumped all the same when it is a module's.
 */
async function presentSizes(
  side: Side,
  db: number,
  tasks: readonly WriteTask[],
): Promise<readonly { readonly bytes: number; readonly type: null }[]> {
  const large = tasks.filter(({ presentBytes }) => isLarge(presentBytes));
  if (large.length === 0) {
    return tasks.map(({ presentBytes: bytes }) => ({ bytes, type: null }));
  }
  const commands = large.flatMap(({ key }): readonly (readonly Argument[])[] => [
    ['TYPE', key],
    ['MEMORY', 'USAGE', key, 'SAMPLES', 100],
  ]);
  const replies = await side.askAll(db, commands);
  const measured = new Map(
    large.map((task, i) => [task, bytesToRead(String(replies[2 * i]), replies[2 * i + 1])]),
  );
  return tasks.map((task) => ({ bytes: measured.get(task) ?? task.presentBytes, type: null }));
}

function bytesToRead(type: string, usage: unknown): number {
  const bytes = typeof usage === 'number' ? usage : 0;
  return !OWN_TYPES.has(type) && bytes <= MODULE_BYTES_MAX ? Math.min(bytes, LARGE_BYTES) : bytes;
}

function presentOf(found: FoundKey | null, bytes: number): Present | null {
  if (found === null || found.type === 'none') return null;
  const { type, expiryMs, payload } = found;
  return { type, expiryMs, payload, piecesDigest: null, bytes: payload === null ? bytes : 0 };
}

/** The time of the server, Unix milliseconds: it decides what has expired. */
export async function serverTimeMs(side: Side): Promise<number> {
  const [seconds, micros] = (await side.client.call('TIME')) as [string, string];
  return Number(seconds) * 1000 + Math.floor(Number(micros) / 1000);
}
