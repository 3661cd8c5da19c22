import { fstat, read } from 'node:fs';
import { promisify } from 'node:util';

const statFd = promisify(fstat);
const readFd = promisify(read);

/** How the server selects a database before the first command after a fork (redis 6.0 src/aof.c). */
const SELECT = Buffer.from('*2\r\n$6\r\nSELECT\r\n', 'latin1');
/** Between two samples; more than a server writes in that time, or samples were missing. */
const WINDOW_BYTES_MAX = 64 * 1024 * 1024;
const CHUNK_BYTES = 1 << 20;
/** Places that agree so far that they are compared to the end. */
const COMPARED_MAX = 8;
const QUICK_BYTES = 4_096;

/** Positions in the old file between which a rewrite forked. */
export interface ForkBounds {
  /** Of the last sample before the fork. */
  readonly from: number;
  /** Of the first sample after it. */
  readonly to: number;
}

/** A file and where its part in question begins and ends. */
export interface FilePart {
  readonly fd: number;
  readonly start: number;
}

/**
 * Finds where in the old log a rewrite of a server before 7.0 forked.
 *
 * From the fork on the server appends the same bytes to the old log and behind the RDB of the new
 * one, the first of them a SELECT. So the fork is where the rest of the old log stands, byte for
 * byte, at the start of the new one. It must be the only such place, also of those behind the second
 * sample: a rewrite that failed may have been followed by another one unseen. And the old log must
 * have grown after that sample: else its end, of which an empty rest would stand anywhere, could be
 * the place as well.
 * @param end - Where the old log ends.
 * @param next - The new log from its first command on.
 * @returns The position in the old log, or `null` when it cannot be proven.
 */
export async function findFork(
  oldFd: number,
  end: number,
  bounds: ForkBounds,
  next: FilePart,
): Promise<number | null> {
  const { from, to } = bounds;
  if (from > to || to >= end || to - from > WINDOW_BYTES_MAX) return null;
  const head = await readPart(next.fd, next.start, next.start + QUICK_BYTES);
  let found: number | null = null;
  let compared = 0;
  for (let start = from; start < end; start += CHUNK_BYTES) {
    const chunk = await readPart(oldFd, start, Math.min(end, start + CHUNK_BYTES + QUICK_BYTES));
    for (const at of likeHead(chunk, head)) {
      if (++compared > COMPARED_MAX) return null;
      if (!(await isSame(oldFd, start + at, end, next))) continue;
      if (found !== null || start + at > to) return null;
      found = start + at;
    }
  }
  return found;
}

/** Places in the first `CHUNK_BYTES` of a chunk from which on it looks like the head of a log. */
function likeHead(chunk: Buffer, head: Buffer): number[] {
  const places: number[] = [];
  let at = chunk.indexOf(SELECT);
  for (; at >= 0 && at < CHUNK_BYTES; at = chunk.indexOf(SELECT, at + 1)) {
    const length = Math.min(head.length, chunk.length - at);
    if (chunk.compare(head, 0, length, at, at + length) === 0) places.push(at);
  }
  return places;
}

/** Whether the rest of the old log is the start of the new one. */
async function isSame(oldFd: number, place: number, end: number, next: FilePart): Promise<boolean> {
  const { size } = await statFd(next.fd);
  if (size - next.start < end - place) return false;
  for (let at = place; at < end; at += CHUNK_BYTES) {
    const upTo = Math.min(end, at + CHUNK_BYTES);
    const there = next.start + at - place;
    const [left, right] = await Promise.all([
      readPart(oldFd, at, upTo),
      readPart(next.fd, there, there + upTo - at),
    ]);
    if (left.length !== upTo - at || !left.equals(right)) return false;
  }
  return true;
}

async function readPart(fd: number, start: number, end: number): Promise<Buffer> {
  const buffer = Buffer.alloc(Math.max(0, end - start));
  let length = 0;
  while (length < buffer.length) {
    const { bytesRead } = await readFd(fd, buffer, length, buffer.length - length, start + length);
    if (bytesRead === 0) break;
    length += bytesRead;
  }
  return buffer.subarray(0, length);
}
