import { digestOf, type TailCursor } from '@tidemark/aof';
import { TidemarkError } from '@tidemark/core';
import type { WireSpool } from '../../wire/wire-spool.ts';
import type { KeptHistory, WirePlace } from '../../wire/wire-types.ts';

/** Far above what a cursor names. */
const DIGEST_BYTES_MAX = 65_536;

/**
 * Whether the bytes behind a place in the log are those that the spool holds behind it. They may not
 * be: the archiver of another host captured meanwhile, perhaps past a failover, and what is here is
 * of the branch that lost. The offsets, and the length of commands, are the same in both.
 * @param place - Where reading is to begin, not after the cursor.
 * @throws TidemarkError `TM_SPOOL` when the disk fails.
 */
export async function holdsPlace(
  spool: WireSpool,
  place: WirePlace,
  cursor: TailCursor,
): Promise<boolean> {
  const kept = spool.kept(cursor.ino);
  if (kept === null || kept.from > place.position || kept.to < place.position) return false;
  if (!idsAt(kept, BigInt(cursor.position)).includes(cursor.file)) return false;
  return digestFits(spool, kept, cursor);
}

/** Ids in force at an offset: two where one ends there and the next begins. */
function idsAt({ ids, to }: KeptHistory, offset: bigint): readonly string[] {
  const last = ids.at(-1)?.replid ?? '';
  // What is not here yet comes under the last one.
  if (offset > to) return [last];
  const found = ids.filter(({ start }, index) => {
    const end = ids[index + 1]?.start ?? to;
    return start <= offset && offset <= end;
  });
  return found.map(({ replid }) => replid);
}

async function digestFits(
  spool: WireSpool,
  { from, to }: KeptHistory,
  { seq, ino, position, digest, digestBytes }: TailCursor,
): Promise<boolean> {
  const start = BigInt(position - digestBytes);
  const isHere = from <= start && to >= BigInt(position);
  if (digestBytes === 0 || digestBytes > DIGEST_BYTES_MAX || !isHere) return true;
  const bytes = await bytesFrom(spool, { seq, ino, position: start }, digestBytes);
  return bytes !== null && digestOf(bytes) === digest;
}

/** @returns Null when they do not lie there one after the other. */
async function bytesFrom(
  spool: WireSpool,
  place: WirePlace,
  count: number,
): Promise<Buffer | null> {
  await using reader = spool.read(place);
  const { signal } = new AbortController();
  const parts: Buffer[] = [];
  let at = place.position;
  try {
    while (at < place.position + BigInt(count)) {
      const item = await reader.next(signal);
      if (item.kind === 'idle' || (item.kind !== 'renamed' && item.position !== at)) return null;
      if (item.kind !== 'bytes') continue;
      parts.push(item.data);
      at += BigInt(item.data.length);
    }
  } catch (cause) {
    if (cause instanceof TidemarkError && cause.code === 'TM_SPOOL_DAMAGED') return null;
    throw cause;
  }
  return Buffer.concat(parts).subarray(0, count);
}
