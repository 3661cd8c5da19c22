import { createHash } from 'node:crypto';

/**
 * How long after its time a run of an instance begins, so that not all servers of a host fork at once:
 * always the same for one instance, spread evenly over many.
 * @param spanMs - Less than this, in milliseconds; 0: at its time.
 * @returns Milliseconds, whole seconds of them.
 */
export function staggerOf(instance: string, spanMs: number): number {
  const digest = createHash('sha256').update(`tidemark/stagger/${instance}`).digest();
  const share = digest.readUIntBE(0, 6) / 2 ** 48;
  return Math.floor((share * spanMs) / 1000) * 1000;
}
