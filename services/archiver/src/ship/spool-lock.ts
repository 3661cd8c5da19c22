import Database from 'better-sqlite3';
import { CatalogError } from '@tidemark/core';

/**
 * Holds the spool folder for one process.
 *
 * SQLite's exclusive lock is an advisory file lock of the operating system: it ends with the
 * process, however the process ends, and needs no other native code.
 * @throws CatalogError `TM_LOG_OWNER` when another process holds it.
 */
export class SpoolLock implements Disposable {
  readonly #database: Database.Database;

  constructor(path: string) {
    this.#database = new Database(path, { timeout: 0 });
    try {
      this.#database.pragma('journal_mode = DELETE');
      this.#database.pragma('locking_mode = EXCLUSIVE');
      this.#database.exec('BEGIN EXCLUSIVE');
    } catch (cause) {
      this.#database.close();
      throw new CatalogError('TM_LOG_OWNER', 'another archiver on this host uses this spool', {
        hint: 'stop it first, or give this one a state folder of its own',
        cause,
      });
    }
  }

  [Symbol.dispose](): void {
    this.#database.close();
  }
}
