import type { Statement } from 'better-sqlite3';
import type { Connection } from './database.ts';
import type { Row } from './rows.ts';

/** A value that can be bound. */
export type Bound = string | number | bigint | Buffer | null;

/** Prepared statements of one connection, each compiled once. */
export class Statements {
  readonly #db: Connection;
  readonly #plain = new Map<string, Statement<Bound[]>>();
  readonly #exact = new Map<string, Statement<Bound[], Row>>();

  constructor(db: Connection) {
    this.#db = db;
  }

  /** A statement whose integers come back as numbers; only for columns below 2^53. */
  prepare<R>(sql: string): Statement<Bound[], R> {
    let statement = this.#plain.get(sql);
    if (statement === undefined) {
      statement = this.#db.prepare<Bound[]>(sql);
      this.#plain.set(sql, statement);
    }
    return statement as Statement<Bound[], R>;
  }

  /** A query whose integers come back as bigint. */
  rows(sql: string): Statement<Bound[], Row> {
    let statement = this.#exact.get(sql);
    if (statement === undefined) {
      statement = this.#db.prepare<Bound[], Row>(sql).safeIntegers(true);
      this.#exact.set(sql, statement);
    }
    return statement;
  }

  /** Runs questions in one transaction: all are answered from the same state of the file. */
  together<T>(questions: () => T): T {
    return this.#db.transaction(questions).deferred();
  }

  /**
   * Runs work in one transaction that holds the write lock from its first statement: of two
   * processes that bring the catalog up to date one waits for the other.
   */
  exclusively<T>(work: () => T): T {
    return this.#db.transaction(work).immediate();
  }
}
