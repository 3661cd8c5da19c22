import type { ByteSource } from '@tidemark/core';

const AUX = 0xfa;
const HEADER_BYTES = 9;
const HEAD_BYTES_MAX = 64 * 1024;
const NAME = 'repl-stream-db';

/**
 * Database that is selected in the stream behind an RDB of replication. A primary selects one first
 * of all; a replica passes on what its primary sends, which selects none.
 * @returns 0 where the RDB does not say.
 * @see redis src/rdb.c, `rdbSaveInfoAuxFields`
 */
export async function streamDatabase(rdb: ByteSource): Promise<number> {
  const parts: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of rdb) {
    parts.push(Buffer.from(chunk));
    bytes += chunk.length;
    if (bytes >= HEAD_BYTES_MAX) break;
  }
  return databaseIn(Buffer.concat(parts));
}

function databaseIn(head: Buffer): number {
  let at = HEADER_BYTES;
  while (head[at] === AUX) {
    const name = stringAt(head, at + 1);
    const value = name === null ? null : stringAt(head, name.end);
    if (name === null || value === null) return 0;
    const db = Number(value.text);
    if (name.text === NAME) return Number.isSafeInteger(db) && db > 0 ? db : 0;
    at = value.end;
  }
  return 0;
}

/** A string as the length encoding has it, or a small whole number; null for another form. */
function stringAt(
  head: Buffer,
  at: number,
): { readonly text: string; readonly end: number } | null {
  const first = head[at];
  if (first === undefined) return null;
  const rest = head.length - at;
  if (first === 0xc0 && rest > 1) return { text: String(head.readInt8(at + 1)), end: at + 2 };
  if (first === 0xc1 && rest > 2) return { text: String(head.readInt16LE(at + 1)), end: at + 3 };
  if (first === 0xc2 && rest > 4) return { text: String(head.readInt32LE(at + 1)), end: at + 5 };
  if (first >= 0x80 || (first >= 0x40 && rest < 2)) return null;
  const start = first < 0x40 ? at + 1 : at + 2;
  const length = first < 0x40 ? first : ((first & 0x3f) << 8) | (head[at + 1] as number);
  const end = start + length;
  return end > head.length ? null : { text: head.toString('latin1', start, end), end };
}
