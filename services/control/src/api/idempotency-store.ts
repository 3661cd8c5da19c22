import type { Clock } from '@tidemark/core';
import type { StateDatabase } from '../state/database.ts';
import { ApiProblem } from './problem-types.ts';
import type { IdempotencyKey } from './types.ts';

/** How long an answer is given again, in milliseconds. */
const KEPT_MS = 24 * 3_600_000;
/** After this a request that has no answer is taken for one whose process died. */
const RUNNING_MS = 120_000;
/** A longer answer is not kept: it is made again, of the job that knows the key. */
const BODY_MAX = 16 * 1024;
/** Answers that are kept; older ones go. A job knows its key for as long all the same. */
const ANSWERS_MAX = 20_000;

/** An answer that was given. */
export interface GivenAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/**
 * Which requests were answered, so that one that is sent again starts nothing twice. Kept in the database of
 * the host: it holds for every API process on it, and outlasts a restart.
 *
 * Only answers of a success are kept. A request that was refused has begun nothing and may be sent again
 * with the same key.
 */
export class IdempotencyStore {
  readonly #db: StateDatabase;
  readonly #clock: Clock;

  constructor(db: StateDatabase, clock: Clock) {
    this.#db = db;
    this.#clock = clock;
  }

  /**
   * Begins a request.
   * @param digest - Of method, path and body.
   * @returns The answer that was given before; null when the request is to be done.
   * @throws ApiProblem `idempotency-mismatch`, `idempotency-conflict`; CatalogError `TM_STATE_FULL`.
   */
  begin({ actor, key }: IdempotencyKey, digest: string): GivenAnswer | null {
    const nowMs = this.#clock.nowMs();
    return this.#db.write(() => {
      this.#db.run('DELETE FROM answers WHERE until_ms <= ?', nowMs);
      const row = this.#db
        .query<Row>('SELECT digest, status, headers, body FROM answers WHERE actor = ? AND key = ?')
        .get(actor, key);
      if (row === undefined) {
        this.#db.run(
          `DELETE FROM answers WHERE status IS NOT NULL AND until_ms <=
             (SELECT until_ms FROM answers ORDER BY until_ms DESC LIMIT 1 OFFSET ?)`,
          ANSWERS_MAX - 1,
        );
        this.#db.run(
          'INSERT INTO answers (actor, key, digest, at_ms, until_ms) VALUES (?, ?, ?, ?, ?)',
          ...[actor, key, digest, nowMs, nowMs + RUNNING_MS],
        );
        return null;
      }
      if (row.digest !== digest) {
        throw new ApiProblem(
          'idempotency-mismatch',
          'this Idempotency-Key was used for another request; take a new one',
        );
      }
      if (row.status === null) {
        throw new ApiProblem('idempotency-conflict', 'a request with this key is being answered', {
          headers: { 'retry-after': '1' },
        });
      }
      const headers = JSON.parse(row.headers ?? '{}') as Record<string, string>;
      return { status: row.status, headers, body: row.body ?? '' };
    });
  }

  /** Keeps the answer of a request that was begun. */
  end({ actor, key }: IdempotencyKey, { status, headers, body }: GivenAnswer): void {
    if (body.length > BODY_MAX) {
      this.forget({ actor, key });
      return;
    }
    const untilMs = this.#clock.nowMs() + KEPT_MS;
    this.#db.write(() =>
      this.#db.run(
        `UPDATE answers SET status = ?, headers = ?, body = ?, until_ms = ?
         WHERE actor = ? AND key = ?`,
        ...[status, JSON.stringify(headers), body, untilMs, actor, key],
      ),
    );
  }

  /** The request was not done: its key is free again. */
  forget({ actor, key }: IdempotencyKey): void {
    this.#db.write(() =>
      this.#db.run(
        'DELETE FROM answers WHERE actor = ? AND key = ? AND status IS NULL',
        ...[actor, key],
      ),
    );
  }
}

interface Row {
  readonly digest: string;
  readonly status: number | null;
  readonly headers: string | null;
  readonly body: string | null;
}
