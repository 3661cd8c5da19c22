import { readdirSync } from 'node:fs';
import { getPriority, setPriority } from 'node:os';

/** Nice value of the archiver: a ninth of the weight of an ordinary process (sched(7)). */
const NICE = 10;

/**
 * Lets every other process go first, above all the server beside which this one runs (I7): on a
 * machine whose cores are all busy the server would else wait for a slice of ours to end.
 *
 * On Linux a nice value belongs to a thread, so those that run already are lowered too; later ones
 * inherit it. Somebody who chose a still higher value keeps it.
 */
export function stepBack(): void {
  for (const thread of threadsOfThisProcess()) {
    try {
      if (getPriority(thread) < NICE) setPriority(thread, NICE);
    } catch {
      // The thread has ended, or the system has no such thing: then all stays as it was.
    }
  }
}

function threadsOfThisProcess(): readonly number[] {
  try {
    return readdirSync('/proc/self/task').map(Number);
  } catch {
    return [0];
  }
}
