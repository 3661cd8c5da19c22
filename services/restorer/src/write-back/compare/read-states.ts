import { createHash } from 'node:crypto';
import type { Argument } from '@tidemark/client';
import type { KeyState } from '../key-difference.ts';
import type { Side } from './side.ts';

/** RDB version and CRC64 at the end of a DUMP payload: they differ between servers. */
export const DUMP_TAIL_BYTES = 10;
/** Values over this are never dumped: a DUMP of them would hold a server up. */
export const DUMP_BYTES_MAX = 8 * 1024 * 1024;
/** Elements that MEMORY USAGE looks at: smaller collections are measured whole. */
const SIZE_SAMPLES = 100;
/** What a key and its reply take on the way, about. */
const COMMAND_BYTES = 64;

/** TYPE of a key that is not there, and of one that has expired and is kept by a replica. */
export const HIDDEN = 'none';

/** How large a value is, before anything of it is read. */
export interface KeySize {
  readonly bytes: number;
  /** Null when it was not asked for. */
  readonly type: string | null;
}

/** A key with its value, if it is small. */
export interface FoundKey {
  readonly type: string;
  readonly expiryMs: number | null;
  readonly bytes: number;
  /** As DUMP gives it; null for a large or hidden value. */
  readonly payload: Buffer | null;
}

/** A key as it is reported. */
export function stateOf({ type, expiryMs, bytes, payload }: FoundKey): KeyState {
  return { type, expiryMs, bytes, digest: payload === null ? null : digestOf(payload) };
}

/**
 * How large the values of some keys are.
 * @returns Null for a key that is not there; an expired one that a replica keeps has a size.
 */
export async function readSizes(
  side: Side,
  db: number,
  keys: readonly Buffer[],
  withTypes: boolean,
): Promise<readonly (KeySize | null)[]> {
  const perKey = withTypes ? 2 : 1;
  const replies = await side.askAll(
    db,
    keys.flatMap((key) => {
      const usage = ['MEMORY', 'USAGE', key, 'SAMPLES', SIZE_SAMPLES] as const;
      return withTypes ? [usage, ['TYPE', key]] : [usage];
    }),
    keys.length * COMMAND_BYTES * perKey,
  );
  return keys.map((_, i) => {
    const bytes = replies[perKey * i];
    if (typeof bytes !== 'number') return null;
    return { bytes, type: withTypes ? String(replies[perKey * i + 1]) : null };
  });
}

/**
 * Type, expiry and, where the value is small, DUMP of keys whose sizes are known. Keys and the sum
 * of their sizes are bounded by the caller.
 * @returns Null for a key that is not there, or not any more.
 */
export async function readStates(
  side: Side,
  db: number,
  keys: readonly Buffer[],
  sizes: readonly (KeySize | null)[],
): Promise<readonly (FoundKey | null)[]> {
  const commands: (readonly Argument[])[] = [];
  const starts: number[] = [];
  let bytes = 0;
  for (const [i, key] of keys.entries()) {
    starts.push(commands.length);
    const size = sizes[i] ?? null;
    if (size === null) continue;
    commands.push(['TYPE', key], ...expiryCommands(side, key));
    bytes += COMMAND_BYTES;
    if (size.bytes > DUMP_BYTES_MAX) continue;
    commands.push(['DUMP', key]);
    bytes += size.bytes;
  }
  if (commands.length === 0) return keys.map(() => null);
  const replies = await side.askAll(db, commands, bytes);
  return keys.map((_, i) => {
    const size = sizes[i] ?? null;
    if (size === null) return null;
    return foundKey(side, size, replies.slice(starts[i], starts[i + 1]));
  });
}

function expiryCommands(side: Side, key: Buffer): (readonly Argument[])[] {
  return side.abilities.exactExpiry ? [['PEXPIRETIME', key]] : [['TIME'], ['PTTL', key]];
}

function foundKey(side: Side, size: KeySize, replies: readonly unknown[]): FoundKey | null {
  const type = String(replies[0]);
  const at = side.abilities.exactExpiry ? 1 : 2;
  const { bytes } = size;
  if (type === HIDDEN) return { type, expiryMs: null, bytes, payload: null };
  const expiryMs = side.abilities.exactExpiry
    ? positive(replies[at])
    : reckonedExpiry(replies[1], replies[at]);
  const dump = replies[at + 1] ?? null;
  const payload = Buffer.isBuffer(dump) ? dump : null;
  // It was there a moment ago: what is gone now counts as gone.
  if (bytes <= DUMP_BYTES_MAX && payload === null) return null;
  return { type, expiryMs, bytes, payload };
}

function positive(reply: unknown): number | null {
  return typeof reply === 'number' && reply >= 0 ? reply : null;
}

function reckonedExpiry(time: unknown, left: unknown): number | null {
  const leftMs = positive(left);
  if (leftMs === null) return null;
  const [seconds = 0, micros = 0] = (time as readonly Buffer[]).map(Number);
  return seconds * 1000 + Math.floor(micros / 1000) + leftMs;
}

/** SHA-256 (hex) of a payload without its tail. */
export function digestOf(payload: Buffer): string {
  return createHash('sha256').update(valueOf(payload)).digest('hex');
}

/** A payload without its tail. */
export function valueOf(payload: Buffer): Buffer {
  return payload.subarray(0, Math.max(0, payload.length - DUMP_TAIL_BYTES));
}
