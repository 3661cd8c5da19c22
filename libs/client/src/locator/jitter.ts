import type { Random } from '@tidemark/core';

/** A random share of a pause, so that many clients do not come back at the same moment. */
export function jittered(random: Random, fromMs: number, toMs: number): number {
  return fromMs + (random.bytes(4).readUInt32BE(0) / 2 ** 32) * (toMs - fromMs);
}
