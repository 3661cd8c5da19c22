import type { StateDatabase } from '../state/database.ts';
import type { PolicyRun, PolicyRunState } from './policy.ts';

/** `docs/formats/control-db.md` says what stands in it. */
export const POLICY_TABLES = `
CREATE TABLE IF NOT EXISTS policy_runs (
  instance TEXT NOT NULL,
  due_ms INTEGER NOT NULL,
  state TEXT NOT NULL,
  job TEXT,
  reason TEXT NOT NULL,
  at_ms INTEGER NOT NULL,
  PRIMARY KEY (instance, due_ms)
) STRICT, WITHOUT ROWID;
`;

/** Runs that are kept of one instance; older ones go. */
const KEPT_MAX = 1000;
const REASON_MAX = 512;

interface Row {
  readonly due_ms: number;
  readonly state: PolicyRunState;
  readonly job: string | null;
  readonly reason: string;
  readonly at_ms: number;
}

/** Runs whose time has come, in the database of this host: one row for each, whoever notes it first. */
export class RunRows {
  readonly #db: StateDatabase;

  constructor(db: StateDatabase) {
    this.#db = db;
  }

  /** Notes runs, all or none. One that is noted already stays as it is. */
  note(runs: readonly PolicyRun[]): void {
    this.#db.write(() => {
      for (const { instance, dueMs, state, job, reason, atMs } of runs) {
        this.#db.run(
          `INSERT INTO policy_runs (instance, due_ms, state, job, reason, at_ms)
           VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
          ...[instance, dueMs, state, job, reason.slice(0, REASON_MAX), atMs],
        );
        this.#db.run(
          `DELETE FROM policy_runs WHERE instance = ? AND due_ms <= (SELECT due_ms FROM policy_runs
           WHERE instance = ? ORDER BY due_ms DESC LIMIT 1 OFFSET ?)`,
          ...[instance, instance, KEPT_MAX],
        );
      }
    });
  }

  /** Whether a run is noted. */
  has(instance: string, dueMs: number): boolean {
    const sql = 'SELECT 1 AS known FROM policy_runs WHERE instance = ? AND due_ms = ?';
    return this.#db.read(() => this.#db.query(sql).get(instance, dueMs) !== undefined);
  }

  /** The newest run that is noted, not after an instant; null = none. */
  newest(instance: string, atMs: number): number | null {
    const sql = 'SELECT max(due_ms) AS due FROM policy_runs WHERE instance = ? AND due_ms <= ?';
    return this.#db.read(
      () => this.#db.query<{ due: number | null }>(sql).get(instance, atMs)?.due ?? null,
    );
  }

  /** What became of a run that was asked for, when its job has ended without a backup. */
  change({ instance, dueMs, state, job, reason }: Omit<PolicyRun, 'atMs'>): void {
    const sql = `UPDATE policy_runs SET state = ?, job = ?, reason = ?
                 WHERE instance = ? AND due_ms = ? AND state = 'submitted'`;
    const text = reason.slice(0, REASON_MAX);
    this.#db.write(() => this.#db.run(sql, state, job, text, instance, dueMs));
  }

  /** A run whose job was refused by who was to make the backup. */
  refuse({ instance, dueMs, reason }: Pick<PolicyRun, 'instance' | 'dueMs' | 'reason'>): void {
    const sql = `UPDATE policy_runs SET state = 'skipped', reason = ?
                 WHERE instance = ? AND due_ms = ? AND state = 'submitted'`;
    this.#db.write(() => this.#db.run(sql, reason.slice(0, REASON_MAX), instance, dueMs));
  }

  /** Lets go of runs after an instant: a clock that was wrong has noted them. */
  forgetAfter(instance: string, atMs: number): number {
    const sql = 'DELETE FROM policy_runs WHERE instance = ? AND due_ms > ?';
    return this.#db.write(() => this.#db.run(sql, instance, atMs));
  }

  /** Newest first. */
  list(instance: string, max: number): readonly PolicyRun[] {
    const sql = 'SELECT * FROM policy_runs WHERE instance = ? ORDER BY due_ms DESC LIMIT ?';
    const rows = this.#db.read(() => this.#db.query<Row>(sql).all(instance, max));
    return rows.map(({ due_ms: dueMs, at_ms: atMs, state, job, reason }) => ({
      ...{ instance, dueMs, state, job, reason, atMs },
    }));
  }

  /** How many were not made. */
  missedCount(instance: string): number {
    const sql = `SELECT count(*) AS n FROM policy_runs
                 WHERE instance = ? AND state IN ('missed', 'skipped')`;
    return this.#db.read(() => this.#db.query<{ n: number }>(sql).get(instance)?.n ?? 0);
  }
}
