import { createHash } from 'node:crypto';
import type { AdaptPayload } from '@tidemark/aof';
import type { UndoKey } from '@tidemark/archive';
import type { Side } from '../compare/side.ts';
import { contentDigest } from '../value/content-digest.ts';
import { PieceSum } from '../value/piece-sum.ts';
import { sameExpiry } from '../write/make-tasks.ts';
import type { Present, WantedPieces, WantedValue, WriteTask } from '../write/write-task.ts';
import type { WriteTally } from '../write/write-tally.ts';
import { openUndoPart, type UndoPartPlace, type UndoSource } from './undo-objects.ts';

/** Servers before 7.0 tell no expiry, only the time that is left: reckoned, it is off by a little. */
const RECKONED_OFF_MS = 5;

/** What a pack is put back with. */
export interface UndoTaskSource {
  readonly side: Side;
  readonly adapt: AdaptPayload;
  readonly tally: WriteTally;
  readonly source: UndoSource;
  /** The time of the original, Unix milliseconds. */
  readonly nowMs: number;
}

/** Keys of which later parts say that earlier ones are void. */
export class VoidKeys {
  readonly #names = new Set<string>();

  /** Whether an item counts; what it says of earlier parts is heeded from now on. */
  takes({ db, key, standing }: UndoKey): boolean {
    const name = `${db.toString()} ${createHash('sha256').update(key).digest('base64')}`;
    const counts = !this.#names.has(name);
    if (standing !== 'first') this.#names.add(name);
    return counts && standing !== 'void';
  }
}

/**
 * Reads a part to its end, so that it is proven whole before anything of it is used.
 * @returns What is to be done to put its keys back. Memory: the values of the part that are not
 *   in pieces.
 */
export async function tasksOfPart(
  place: UndoPartPlace,
  voidKeys: VoidKeys,
  options: UndoTaskSource,
): Promise<readonly WriteTask[]> {
  const items: UndoKey[] = [];
  {
    await using part = await openUndoPart(place, options.source);
    for await (const item of part.items()) {
      if (item.kind === 'key' && voidKeys.takes(item)) items.push(item);
    }
  }
  const sizes = await presentSizes(options.side, items);
  const tasks: WriteTask[] = [];
  for (const [i, item] of items.entries()) {
    const want = wantedOf(item, place, options);
    if (want === undefined) continue;
    tasks.push({
      ...{ db: item.db, key: item.key, want, vanishes: false, again: false },
      presentBytes: sizes[i] ?? 0,
      conflict: (present) => conflictOf(item, present, options),
      settled: (present) => isSettled(item, present, options),
    });
  }
  return tasks;
}

async function presentSizes(side: Side, items: readonly UndoKey[]): Promise<readonly number[]> {
  const sizes: number[] = [];
  for (let start = 0; start < items.length;) {
    const db = items[start]?.db ?? 0;
    let end = start;
    while (end < items.length && items[end]?.db === db) end += 1;
    const commands = items
      .slice(start, end)
      .map(({ key }) => ['MEMORY', 'USAGE', key, 'SAMPLES', 100] as const);
    for (const reply of await side.askAll(db, commands)) {
      sizes.push(typeof reply === 'number' ? reply : 0);
    }
    start = end;
  }
  return sizes;
}

/** Undefined for a value that the original does not take any more; it is counted as refused. */
function wantedOf(
  { db, key, before }: UndoKey,
  place: UndoPartPlace,
  { adapt, tally, source }: UndoTaskSource,
): WantedValue | null | undefined {
  if (before === null) return null;
  const { type, expiryMs, payload } = before;
  if (payload === null) {
    const open = (): WantedPieces => storedPieces(place, key, type, source);
    return { type, expiryMs, bytes: 0, value: { kind: 'pieces', open } };
  }
  const adapted = adapt(payload, 'value') ?? payload;
  if (Buffer.isBuffer(adapted)) {
    return {
      ...{ type, expiryMs, bytes: payload.length },
      value: { kind: 'dump', payload: adapted },
    };
  }
  tally.left('refused', db, key, adapted.refused);
  return undefined;
}

/** The pieces of a key, read once more from the store. */
function storedPieces(
  place: UndoPartPlace,
  key: Buffer,
  type: string,
  source: UndoSource,
): WantedPieces {
  const sum = new PieceSum(type);
  return {
    async *pieces() {
      await using part = await openUndoPart(place, source);
      let inside = false;
      for await (const item of part.items()) {
        if (item.kind === 'key') inside = item.key.equals(key);
        else if (inside) {
          sum.add(item);
          yield item;
        }
      }
    },
    digest: () => sum.digest(),
  };
}

function conflictOf(
  { written }: UndoKey,
  present: Present | null,
  { nowMs, side }: UndoTaskSource,
): string | null {
  if (written === null) return present === null ? null : 'it was made since';
  if (present === null) {
    const expired = written.expiryMs !== null && written.expiryMs <= nowMs;
    return expired ? null : 'it was deleted since';
  }
  const offMs = side.abilities.exactExpiry ? 0 : RECKONED_OFF_MS;
  if (!sameExpiry(written.expiryMs, present.expiryMs, offMs)) return 'its expiry was changed since';
  const digest = present.payload === null ? present.piecesDigest : contentDigest(present.payload);
  // Null: a large value, of which the pieces were not read yet.
  return digest === null || digest.equals(written.digest) ? null : 'its value was changed since';
}

/** Whether a key is as it was: put back before, or never written. */
function isSettled(
  { before }: UndoKey,
  present: Present | null,
  { nowMs, side }: UndoTaskSource,
): boolean {
  if (present === null) {
    return before === null || (before.expiryMs !== null && before.expiryMs <= nowMs);
  }
  if (before === null || before.payload === null || present.payload === null) return false;
  const offMs = side.abilities.exactExpiry ? 0 : RECKONED_OFF_MS;
  if (!sameExpiry(before.expiryMs, present.expiryMs, offMs)) return false;
  return contentDigest(before.payload).equals(contentDigest(present.payload));
}
