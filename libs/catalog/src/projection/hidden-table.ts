import type { InstanceState } from '../model/instance-state.ts';
import { OFFSET_MAX } from '../model/wire/shape.ts';
import type { RetentionFloor } from '../retention/history.ts';
import type { Statements } from './statements.ts';

/** What is hidden of a timeline: all of it, or what lies below an offset. */
interface HiddenTimeline {
  readonly id: bigint;
  readonly below: bigint;
}

/**
 * Hides what retention has marked, and forgets it once it is deleted. Runs at the end of every sync,
 * within a transaction of its own.
 */
export class HiddenTable {
  readonly #db: Statements;

  constructor(db: Statements) {
    this.#db = db;
  }

  /** Makes the tables of an instance show what its log says is left. */
  apply(iid: string, { expiry }: InstanceState): void {
    this.#drop(iid, expiry);
    const wanted = expiry.floors.flatMap((floor) => this.#hiddenBy(iid, floor));
    const forgets = expiry.tombstone === null && wanted.length > 0;
    if (this.#isSame(iid, wanted) && !(forgets && this.#holdsHidden(iid))) return;
    this.#db.exclusively(() => {
      this.#db
        .prepare(
          `DELETE FROM hidden WHERE timeline_id IN (
             SELECT t.id FROM timelines t JOIN writers w ON w.id = t.writer_id WHERE w.iid = ?)`,
        )
        .run(iid);
      for (const { id, below } of wanted) {
        this.#db.prepare('INSERT INTO hidden (timeline_id, below) VALUES (?, ?)').run(id, below);
      }
      if (forgets) this.#forget(wanted);
    });
  }

  /** Backups above the floors that were let go of singly. */
  #drop(iid: string, { dropped, tombstone }: InstanceState['expiry']): void {
    const pending = new Set(tombstone?.backups);
    const wanted = dropped.map((backup) => ({ backup, pending: pending.has(backup) ? 1 : 0 }));
    const known = this.#db
      .prepare<{ backup: string; pending: number }>(
        'SELECT backup, pending FROM dropped WHERE iid = ? ORDER BY backup',
      )
      .all(iid);
    if (JSON.stringify(known) === JSON.stringify(wanted)) return;
    this.#db.exclusively(() => {
      this.#db.prepare('DELETE FROM dropped WHERE iid = ?').run(iid);
      for (const one of wanted) {
        this.#db
          .prepare('INSERT INTO dropped (iid, backup, pending) VALUES (?, ?, ?)')
          .run(iid, one.backup, one.pending);
      }
    });
  }

  #hiddenBy(iid: string, { writer, timeline, offset }: RetentionFloor): HiddenTimeline[] {
    const rows = this.#db
      .rows(
        `SELECT t.id, t.timeline FROM timelines t JOIN writers w ON w.id = t.writer_id
         WHERE w.iid = ? AND w.writer = ? ORDER BY t.id`,
      )
      .all(iid, writer);
    const at = rows.findIndex((row) => row['timeline'] === timeline);
    return rows.slice(0, at + 1).map((row, index) => ({
      id: row['id'] as bigint,
      below: index === at ? offset : OFFSET_MAX,
    }));
  }

  #isSame(iid: string, wanted: readonly HiddenTimeline[]): boolean {
    const rows = this.#db
      .rows(
        `SELECT h.timeline_id, h.below FROM hidden h JOIN timelines t ON t.id = h.timeline_id
         JOIN writers w ON w.id = t.writer_id WHERE w.iid = ?`,
      )
      .all(iid);
    const known = new Map(rows.map((row) => [row['timeline_id'], row['below']]));
    return known.size === wanted.length && wanted.every(({ id, below }) => known.get(id) === below);
  }

  #holdsHidden(iid: string): boolean {
    const row = this.#db
      .prepare(
        `SELECT 1 FROM hidden h JOIN timelines t ON t.id = h.timeline_id
         JOIN writers w ON w.id = t.writer_id WHERE w.iid = ? AND (
           EXISTS (SELECT 1 FROM segments s WHERE s.timeline_id = t.id AND s.end_offset <= h.below)
           OR EXISTS (
             SELECT 1 FROM snapshots p WHERE p.timeline_id = t.id AND p.stream_offset < h.below))`,
      )
      .get(iid);
    return row !== undefined;
  }

  #forget(hidden: readonly HiddenTimeline[]): void {
    for (const { id, below } of hidden) {
      this.#db
        .prepare('DELETE FROM segments WHERE timeline_id = ? AND end_offset <= ?')
        .run(id, below);
      this.#db
        .prepare('DELETE FROM snapshots WHERE timeline_id = ? AND stream_offset < ?')
        .run(id, below);
    }
  }
}
