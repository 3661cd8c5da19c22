import type { Clock } from '@tidemark/core';
import type { Actor } from '../jobs/job.ts';
import type { StateDatabase } from '../state/database.ts';

/** Lines that are kept, and how many more there may be until some go. */
const KEPT_MAX = 100_000;
const MORE_MAX = 1_000;
const DETAIL_MAX = 1024;

/** Something that somebody asked for; without dataset content. */
export interface AuditNote {
  readonly actor: Actor;
  /** What, e.g. `job.submit`, `policy.set`. */
  readonly action: string;
  readonly instance: string | null;
  readonly job: string | null;
  readonly detail: string;
}

/** A note that was kept; `seq` grows. */
export interface AuditEntry extends AuditNote {
  readonly seq: number;
  readonly atMs: number;
}

/** Which entries are wanted, newest first. */
export interface AuditQuestion {
  readonly instance?: string;
  /** 1 to 500. */
  readonly pageSize: number;
  readonly pageToken?: string;
}

/** Who asked for what, on this host. */
export class Audit {
  readonly #db: StateDatabase;
  readonly #clock: Clock;
  readonly #limits: { readonly kept: number; readonly more: number };

  /** @param limits - Lines that are kept, and how many more there may be for a time. */
  constructor(
    db: StateDatabase,
    clock: Clock,
    limits: { readonly kept: number; readonly more: number } = { kept: KEPT_MAX, more: MORE_MAX },
  ) {
    this.#db = db;
    this.#clock = clock;
    this.#limits = limits;
  }

  /** Keeps a note; durable when it returns. */
  append({ actor, action, instance, job, detail }: AuditNote): void {
    this.#db.write(() => {
      this.#db.run(
        `INSERT INTO audit (at_ms, actor, via, action, instance, job, detail)
         VALUES (?, ?, ?, ?, ?, ?, ?)`,
        ...[this.#clock.nowMs(), actor.name, actor.via, action, instance, job],
        detail.slice(0, DETAIL_MAX),
      );
      const { seq = 0 } = this.#db.query<SeqRow>('SELECT max(seq) AS seq FROM audit').get() ?? {};
      if (seq % this.#limits.more === 0) this.#makeRoom();
    });
  }

  /** The oldest lines of whoever has the most of them go: nobody drives out what is known of others. */
  #makeRoom(): void {
    const all = this.#db.query<LinesRow>('SELECT count(*) AS lines FROM audit').get();
    for (let over = (all?.lines ?? 0) - this.#limits.kept; over > 0;) {
      const most = this.#db
        .query<LinesRow>(
          `SELECT actor, via, count(*) AS lines FROM audit
           GROUP BY actor, via ORDER BY lines DESC, max(seq) DESC LIMIT 1`,
        )
        .get();
      if (most === undefined) return;
      const gone = this.#db.run(
        `DELETE FROM audit WHERE seq IN
           (SELECT seq FROM audit WHERE actor = ? AND via = ? ORDER BY seq LIMIT ?)`,
        ...[most.actor, most.via, Math.min(over, most.lines)],
      );
      if (gone === 0) return;
      over -= gone;
    }
  }

  /** Entries, newest first. */
  list({ instance, pageSize, pageToken }: AuditQuestion): {
    readonly entries: readonly AuditEntry[];
    readonly nextPageToken: string | null;
  } {
    const before = pageToken === undefined ? Number.MAX_SAFE_INTEGER : Number(pageToken);
    const size = Math.max(1, Math.min(500, Math.floor(pageSize)));
    const entries = this.#db.read(() =>
      this.#db
        .query<Row>(
          `SELECT * FROM audit WHERE seq < ? AND (? IS NULL OR instance = ?)
           ORDER BY seq DESC LIMIT ?`,
        )
        .all(
          ...[Number.isSafeInteger(before) ? before : 0, instance ?? null, instance ?? null, size],
        )
        .map(entryOf),
    );
    const last = entries.at(-1);
    const more = entries.length === size && last !== undefined;
    return { entries, nextPageToken: more ? last.seq.toString() : null };
  }
}

interface SeqRow {
  readonly seq: number;
}

interface LinesRow {
  readonly actor: string;
  readonly via: string;
  readonly lines: number;
}

interface Row {
  readonly seq: number;
  readonly at_ms: number;
  readonly actor: string;
  readonly via: Actor['via'];
  readonly action: string;
  readonly instance: string | null;
  readonly job: string | null;
  readonly detail: string;
}

function entryOf({ seq, at_ms: atMs, actor, via, ...rest }: Row): AuditEntry {
  const { action, instance, job, detail } = rest;
  return { seq, atMs, actor: { name: actor, via }, action, instance, job, detail };
}
