import { performance } from 'node:perf_hooks';
import { setTimeout as delay } from 'node:timers/promises';
import type { NodeClient } from '@tidemark/client';
import { NodeError } from '@tidemark/core';

const TICK_MS = 10;
const KEYS = 26;

/** What clients wrote while something else went on. */
export interface LoadResult {
  readonly commands: number;
  readonly perSecond: number;
  /** What each key must hold: how often it was counted up. */
  readonly counts: ReadonlyMap<string, number>;
}

/** The keys that a load counts up; no pattern of the random selectors fits them. */
export function loadKeys(): readonly string[] {
  return Array.from({ length: KEYS }, (_, i) => `Z${String.fromCharCode(65 + i)}`);
}

/** Clients that count up keys of their own in database 0, at a steady rate, until told to stop. */
export class ClientLoad {
  readonly #client: NodeClient;
  readonly #perSecond: number;
  readonly #counts = new Map<string, number>();
  #stopped = false;
  #commands = 0;
  #run: Promise<number> | null = null;

  constructor(client: NodeClient, perSecond: number) {
    this.#client = client;
    this.#perSecond = perSecond;
  }

  start(): void {
    this.#run = this.#write();
    this.#run.catch(() => undefined); // `stop` tells
  }

  async stop(): Promise<LoadResult> {
    this.#stopped = true;
    const elapsedMs = (await this.#run) ?? 0;
    const perSecond = (this.#commands * 1000) / elapsedMs;
    return { commands: this.#commands, perSecond, counts: this.#counts };
  }

  /** Sends what is due in each tick; what was late is made up for. */
  async #write(): Promise<number> {
    const fromMs = performance.now();
    const names = loadKeys();
    let next = 0;
    while (!this.#stopped) {
      const due = ((performance.now() - fromMs) * this.#perSecond) / 1000 - this.#commands;
      const batch = Array.from({ length: Math.floor(due) }, () => names[next++ % KEYS] ?? '');
      const replies = await this.#client.pipeline(batch.map((key) => ['INCR', key]));
      for (const reply of replies) if (reply instanceof NodeError) throw reply;
      for (const key of batch) this.#counts.set(key, (this.#counts.get(key) ?? 0) + 1);
      this.#commands += batch.length;
      await delay(TICK_MS);
    }
    return performance.now() - fromMs;
  }
}
