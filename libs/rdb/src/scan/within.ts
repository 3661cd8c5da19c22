/**
 * Passing elements that lie wholly inside one chunk: plain indexed code for the hot loop.
 *
 * Every function takes `bytes`, a position and the chunk's end and gives the position after the
 * element, or -1 when the element is not whole here or not well formed; then the step-by-step
 * reader (steps.ts) takes over at the same place and waits for bytes or names the fault.
 */

/** Position after a length, or -1. */
export function lengthEnd(bytes: Uint8Array, at: number, end: number): number {
  if (at >= end) return -1;
  const first = bytes[at] as number;
  let next = -1;
  if (first < 0x40) next = at + 1;
  else if (first < 0x80) next = at + 2;
  else if (first === 0x80) next = at + 5;
  else if (first === 0x81) next = at + 9;
  return next <= end ? next : -1;
}

/** Value of a length that `lengthEnd` found whole; above 2^53 it is rounded. */
export function lengthValue(bytes: Uint8Array, at: number): number {
  const first = bytes[at] as number;
  if (first < 0x40) return first;
  if (first < 0x80) return ((first & 0x3f) << 8) | (bytes[at + 1] as number);
  const high = uint32Be(bytes, at + 1);
  return first === 0x80 ? high : high * 4_294_967_296 + uint32Be(bytes, at + 5);
}

/** Position after a string, or -1. */
export function stringEnd(bytes: Uint8Array, at: number, end: number): number {
  if (at >= end) return -1;
  const first = bytes[at] as number;
  let next: number;
  if (first < 0x40) {
    next = at + 1 + first;
  } else if (first < 0x80) {
    if (at + 2 > end) return -1;
    next = at + 2 + (((first & 0x3f) << 8) | (bytes[at + 1] as number));
  } else {
    next = longStringEnd(bytes, at, end);
  }
  return next <= end ? next : -1;
}

function longStringEnd(bytes: Uint8Array, at: number, end: number): number {
  const first = bytes[at] as number;
  if (first === 0xc0) return at + 2;
  if (first === 0xc1) return at + 3;
  if (first === 0xc2) return at + 5;
  if (first === 0xc3) {
    const packed = lengthEnd(bytes, at + 1, end);
    if (packed < 0) return -1;
    const plain = lengthEnd(bytes, packed, end);
    return plain < 0 ? -1 : plain + lengthValue(bytes, at + 1);
  }
  const next = lengthEnd(bytes, at, end);
  return next < 0 ? -1 : next + lengthValue(bytes, at);
}

/** Position after a score written as text: a size byte, of which 253 to 255 stand for a value. */
export function textScoreEnd(bytes: Uint8Array, at: number, end: number): number {
  if (at >= end) return -1;
  const size = bytes[at] as number;
  const next = size >= 253 ? at + 1 : at + 1 + size;
  return next <= end ? next : -1;
}

export function uint32Be(bytes: Uint8Array, at: number): number {
  return (
    (((bytes[at] as number) << 24) |
      ((bytes[at + 1] as number) << 16) |
      ((bytes[at + 2] as number) << 8) |
      (bytes[at + 3] as number)) >>>
    0
  );
}

export function int32Le(bytes: Uint8Array, at: number): number {
  return (
    (bytes[at] as number) |
    ((bytes[at + 1] as number) << 8) |
    ((bytes[at + 2] as number) << 16) |
    ((bytes[at + 3] as number) << 24)
  );
}

/** A signed 64-bit integer; beyond 2^53 it is rounded. */
export function int64Le(bytes: Uint8Array, at: number): number {
  return int32Le(bytes, at + 4) * 4_294_967_296 + (int32Le(bytes, at) >>> 0);
}
