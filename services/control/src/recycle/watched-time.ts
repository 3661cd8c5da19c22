import { TidemarkError, type Clock } from '@tidemark/core';
import type { StateDatabase } from '../state/database.ts';

const NAME = 'recycle-watched';
/** More are not remembered over a restart. */
const REMEMBERED_MAX = 4_096;

/** What lies in the bin, and since when. */
export interface InBin {
  readonly instance: string;
  readonly sinceMs: number;
}

/** Time that was watched, in milliseconds, of an instance that came into the bin at `sinceMs`. */
type Watched = Readonly<Record<string, { readonly sinceMs: number; readonly ms: number }>>;

/**
 * How long instances were seen to lie in the bin, counted by what passes for this host while it runs, which no
 * wall clock can make longer. It outlasts restarts; of several processes of a host the one that saw
 * the most counts.
 */
export class WatchedTime {
  readonly #clock: Clock;
  readonly #db: StateDatabase | null;
  readonly #begun = new Map<string, { sinceMs: number; baseMs: number; fromMs: number }>();

  /** @param db - Where it is remembered; null: nowhere. */
  constructor(clock: Clock, db: StateDatabase | null) {
    this.#clock = clock;
    this.#db = db;
  }

  /** Notes all that lies in the bin now. What cannot be written down is counted from a later look on. */
  see(all: readonly InBin[]): void {
    const kept = this.#read();
    const nowMs = this.#clock.monotonicMs();
    const next: [string, Watched[string]][] = [];
    const begun = [...this.#begun.keys()];
    for (const instance of begun) {
      if (!all.some((one) => one.instance === instance)) this.#begun.delete(instance);
    }
    for (const { instance, sinceMs } of all) {
      const before = kept[instance];
      const keptMs = before?.sinceMs === sinceMs ? before.ms : 0;
      if (this.#begun.get(instance)?.sinceMs !== sinceMs) {
        this.#begun.set(instance, { sinceMs, baseMs: keptMs, fromMs: nowMs });
      }
      next.push([instance, { sinceMs, ms: Math.max(keptMs, this.of(instance)) }]);
    }
    this.#write(Object.fromEntries(next.slice(0, REMEMBERED_MAX)));
  }

  /** How long an instance was seen in the bin, in milliseconds. */
  of(instance: string): number {
    const begun = this.#begun.get(instance);
    return begun === undefined ? 0 : begun.baseMs + this.#clock.monotonicMs() - begun.fromMs;
  }

  #read(): Watched {
    const db = this.#db;
    if (db === null) return {};
    const sql = 'SELECT value FROM meta WHERE name = ?';
    const row = db.read(() => db.query<{ value: string }>(sql).get(NAME));
    return row === undefined ? {} : (JSON.parse(row.value) as Watched);
  }

  #write(watched: Watched): void {
    const db = this.#db;
    if (db === null) return;
    try {
      db.write(() =>
        db.run(
          `INSERT INTO meta (name, value) VALUES (?, ?)
           ON CONFLICT (name) DO UPDATE SET value = excluded.value`,
          ...[NAME, JSON.stringify(watched)],
        ),
      );
    } catch (cause) {
      if (!(cause instanceof TidemarkError)) throw cause;
    }
  }
}
