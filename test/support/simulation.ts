import type { Clock } from '@tidemark/core';
import type { FaultHook, StoreFault } from './memory-store.ts';
import { storeDown } from './memory-store.ts';

/** How often calls of a simulated process go wrong, each from 0 to 1. */
export interface FaultRates {
  readonly before: number;
  readonly after: number;
  readonly later: number;
}

/** A process of a simulation: it can be killed at any await. */
export interface SimProcess {
  readonly name: string;
  killed: boolean;
}

interface Waiting {
  readonly process: SimProcess;
  readonly resume: () => void;
}

/**
 * Runs simulated processes one step at a time in an order that a seed decides. Every call on the
 * store and every sleep is a point where another process may go on, where the call may fail, and
 * where its process may be killed.
 */
export class Simulation {
  /** Virtual Unix milliseconds. */
  nowMs: number;
  /** Once true, nothing goes wrong any more. */
  healed = false;
  #state: number;
  #waiting: Waiting[] = [];
  readonly #rates: FaultRates;

  constructor(seed: number, rates: FaultRates, startMs: number) {
    this.#state = (seed * 2654435761) >>> 0 || 1;
    this.#rates = rates;
    this.nowMs = startMs;
  }

  /** A number from 0 up to 1, exclusive. */
  random(): number {
    this.#state ^= this.#state << 13;
    this.#state ^= this.#state >>> 17;
    this.#state ^= this.#state << 5;
    return (this.#state >>> 0) / 0x1_0000_0000;
  }

  /** Waits until the simulation lets this process go on; for ever once it was killed. */
  pause(process: SimProcess): Promise<void> {
    return new Promise((resume) => {
      if (!process.killed) this.#waiting.push({ process, resume });
    });
  }

  /** The clock that a process sees. */
  clockOf(process: SimProcess): Clock {
    return {
      nowMs: () => this.nowMs,
      monotonicMs: () => this.nowMs,
      sleep: (delayMs) => {
        this.nowMs += Math.ceil(delayMs);
        return this.pause(process);
      },
    };
  }

  /** The faults that a process meets at a store. */
  hookOf(process: SimProcess): FaultHook {
    return ({ op, key }) => {
      const luck = this.healed ? 1 : this.random();
      const { before, after, later } = this.#rates;
      const pause = (): Promise<void> => this.pause(process);
      if (luck < before) return { before: () => this.#failing(process, key) };
      if (luck < before + after) return { before: pause, after: () => this.#failing(process, key) };
      const fault: StoreFault = { before: pause, after: pause };
      if (op !== 'put' || luck >= before + after + later) return fault;
      // The request outlives whoever sent it: no kill can stop it.
      return { before: pause, appliesLater: () => this.pause({ name: 'network', killed: false }) };
    };
  }

  /** Kills a process: it never goes on from where it waits. */
  kill(process: SimProcess): void {
    process.killed = true;
    this.#waiting = this.#waiting.filter((each) => each.process !== process);
  }

  /** Lets one waiting process go on. False when none waits. */
  async step(): Promise<boolean> {
    await new Promise(setImmediate);
    const index = Math.floor(this.random() * this.#waiting.length);
    const [next] = this.#waiting.splice(index, 1);
    if (next === undefined) return false;
    this.nowMs += 1;
    next.resume();
    await new Promise(setImmediate);
    return true;
  }

  async #failing(process: SimProcess, key: string): Promise<void> {
    await this.pause(process);
    throw storeDown(key);
  }
}
