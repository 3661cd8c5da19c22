import type { JobFold } from './job-machine.ts';

/**
 * Which wish for a job is meant, of those that its host had one after the other: it is asked for, called off,
 * resumed. Orders and cancels name it, so that no clock says which of two was later.
 */
export interface Wish {
  /** Attempts that the job had then. It grows also where the database that counts wishes is lost. */
  readonly ordered: number;
  /** 1 at first, one more at each resume; 0: an earlier release said only when. */
  readonly count: number;
  /** When, by the clock of its host. */
  readonly atMs: number;
}

/** Below zero: `a` is the earlier one; zero: they are the same. */
export function compareWishes(a: Wish, b: Wish): number {
  if (a.count === 0 || b.count === 0) return a.atMs - b.atMs;
  return a.ordered - b.ordered || a.count - b.count;
}

/** The wish that a job stands for now. */
export function wishOf({ ordered, wishes, wishedMs = 0, foreign }: JobFold): Wish {
  return { ordered, count: wishes ?? (foreign ? 0 : 1), atMs: wishedMs };
}
