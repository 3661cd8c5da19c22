import { createHash } from 'node:crypto';

/** Partitions of the topic of writers. Fixed: another number would count instances otherwise. */
export const SLOTS = 64;

/** The slot of an instance: the first four bytes of the SHA-256 of its id, modulo 64. */
export function slotOf(instance: string): number {
  return createHash('sha256').update(instance, 'utf8').digest().readUInt32BE(0) % SLOTS;
}
