import { closeSync, fstatSync, openSync, renameSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import type Database from 'better-sqlite3';
import type { Logger } from '@tidemark/archiver';
import { CatalogError, TidemarkError, type Clock } from '@tidemark/core';
import { APPLICATION_ID, SCHEMA, SCHEMA_VERSION } from './schema.ts';

/** How long a process waits for another one that writes, in milliseconds. */
const BUSY_MS = 10_000;
const PAGE_BYTES = 4096;
/** A database never grows over this: old rows are let go long before. */
const BYTES_MAX = 1 << 30;

/** A connection of better-sqlite3. */
export type Connection = Database.Database;
type Sqlite = typeof Database;
/** What SQLite binds. */
export type Bound = string | number | bigint | null;

let loaded: Sqlite | null = null;

/** Loaded with the first database: a command that opens none has no SQLite in it. */
function sqlite(): Sqlite {
  loaded ??= createRequire(import.meta.url)('better-sqlite3') as Sqlite;
  return loaded;
}

/** A question that can be asked. */
export interface Query<T> {
  /** The first row. */
  get(...values: readonly Bound[]): T | undefined;
  all(...values: readonly Bound[]): readonly T[];
}

/** That the file was damaged, and what became of it. */
export interface Replacement {
  readonly atMs: number;
  /** Where the damaged file lies now. */
  readonly movedTo: string;
  /** Whether what the store knows of jobs was put back. */
  readonly rebuilt: boolean;
}

/** What a database of jobs is opened with. */
export interface StateOptions {
  readonly path: string;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Largest size in bytes. Default 1 GiB. */
  readonly bytesMax?: number;
}

/**
 * The database of a host: jobs, audit and what else the control plane keeps (`docs/formats/control-db.md`).
 *
 * Several processes use one file. One that is damaged is moved aside and made anew, whoever finds it;
 * the others notice and open the new one.
 */
export class StateDatabase implements Disposable {
  readonly path: string;
  readonly #options: StateOptions;
  #db: Connection;
  #inode: bigint;
  #statements = new Map<string, Database.Statement>();

  private constructor(options: StateOptions, opened: Opened) {
    this.path = options.path;
    this.#options = options;
    this.#db = opened.db;
    this.#inode = opened.inode;
  }

  /**
   * Opens the file, and makes it (0600) when it is absent or damaged.
   * @throws CatalogError `TM_STATE_DB` when it belongs to somebody else or cannot be used,
   *   `TM_STATE_FULL`.
   */
  static open(options: StateOptions): StateDatabase {
    return guarded(options.path, () => {
      const inode = inodeOf(options.path);
      try {
        return new StateDatabase(options, openOnce(options, true));
      } catch (error) {
        if (!isDamage(error)) throw error;
        const moved = moveAside(options, inode);
        const database = new StateDatabase(options, openOnce(options, true));
        if (moved !== null) database.#note(moved);
        return database;
      }
    });
  }

  /** Reads. @throws CatalogError `TM_STATE_DB`. */
  read<T>(work: () => T): T {
    return this.#guarded(work);
  }

  /**
   * Runs work in one transaction, durable when it returns; within another one it is a part of that.
   * @throws CatalogError `TM_STATE_DB`, `TM_STATE_FULL`.
   */
  write<T>(work: () => T): T {
    return this.#guarded(() => {
      if (this.#db.inTransaction) return work();
      return this.#db.transaction(work).immediate();
    });
  }

  /** Runs one statement. */
  run(sql: string, ...values: readonly Bound[]): number {
    return this.#statement(sql).run(...values).changes;
  }

  /** A question; asked within `read` or `write`. */
  query<T>(sql: string): Query<T> {
    return this.#statement(sql) as unknown as Query<T>;
  }

  /** The last replacement of a damaged file; null = there was none. */
  get replacement(): Replacement | null {
    const row = this.read(() =>
      this.query<{ value: string }>(`SELECT value FROM meta WHERE name = 'replacement'`).get(),
    );
    return row === undefined ? null : (JSON.parse(row.value) as Replacement);
  }

  /** Says that the jobs that the store knows were put back. */
  noteRebuilt(): void {
    const known = this.replacement;
    if (known !== null) this.#note({ ...known, rebuilt: true });
  }

  /** Closes the file. */
  [Symbol.dispose](): void {
    this.#db.close();
  }

  #note(replacement: Replacement): void {
    this.write(() =>
      this.run(
        `INSERT INTO meta (name, value) VALUES ('replacement', ?)
         ON CONFLICT (name) DO UPDATE SET value = excluded.value`,
        JSON.stringify(replacement),
      ),
    );
  }

  #statement(sql: string): Database.Statement {
    let statement = this.#statements.get(sql);
    if (statement === undefined) {
      statement = this.#db.prepare(sql);
      this.#statements.set(sql, statement);
    }
    return statement;
  }

  #guarded<T>(work: () => T): T {
    return guarded(this.path, () => {
      if (!this.#db.inTransaction) this.#followFile();
      try {
        return work();
      } catch (error) {
        if (!isDamage(error)) throw error;
        this.#replace();
        throw new CatalogError('TM_STATE_DB', 'the database of jobs was damaged: it is made anew', {
          context: { path: this.path },
          hint: 'jobs that were under way are read back from the store',
          cause: error,
        });
      }
    });
  }

  /** Another process may have put a new file in place of a damaged one. */
  #followFile(): void {
    if (inodeOf(this.path) === this.#inode) return;
    this.#db.close();
    this.#adopt(openOnce(this.#options, false));
  }

  #replace(): void {
    const moved = moveAside(this.#options, this.#inode);
    this.#db.close();
    this.#adopt(openOnce(this.#options, false));
    if (moved !== null) this.#note(moved);
  }

  #adopt({ db, inode }: Opened): void {
    this.#db = db;
    this.#inode = inode;
    this.#statements = new Map();
  }
}

interface Opened {
  readonly db: Connection;
  readonly inode: bigint;
}

function openOnce(options: StateOptions, check: boolean): Opened {
  const { path, bytesMax = BYTES_MAX } = options;
  // Made here, so that it and the files beside it are private from their first byte.
  const file = openSync(path, 'a', 0o600);
  const inode = fstatSync(file, { bigint: true }).ino;
  closeSync(file);
  const db = new (sqlite())(path, { timeout: BUSY_MS });
  try {
    db.pragma('journal_mode = WAL');
    db.pragma('synchronous = FULL');
    db.pragma('trusted_schema = OFF');
    db.pragma(`max_page_count = ${Math.floor(bytesMax / PAGE_BYTES)}`);
    if (check && db.pragma('quick_check(1)', { simple: true }) !== 'ok') throw new Damage();
    db.transaction(() => prepare(db, path)).immediate();
    return { db, inode };
  } catch (error) {
    db.close();
    throw error;
  }
}

/** What SQLite finds only when it looks. */
class Damage extends Error {}

function prepare(db: Connection, path: string): void {
  const applicationId = db.pragma('application_id', { simple: true });
  const version = db.pragma('user_version', { simple: true });
  const tables = db.prepare(`SELECT 1 FROM sqlite_schema WHERE type = 'table'`).all();
  const isForeign = applicationId !== APPLICATION_ID && tables.length > 0;
  if (isForeign || (typeof version === 'number' && version > SCHEMA_VERSION)) {
    const what = isForeign ? 'another program’s database' : 'one of a later release';
    throw new CatalogError('TM_STATE_DB', `the file of jobs is ${what}`, {
      context: { path },
      hint: 'choose another state folder',
    });
  }
  for (const sql of SCHEMA) db.exec(sql);
  if (applicationId !== APPLICATION_ID) db.pragma(`application_id = ${APPLICATION_ID}`);
  if (version !== SCHEMA_VERSION) db.pragma(`user_version = ${SCHEMA_VERSION}`);
}

/**
 * Moves a damaged file aside, with what lies beside it.
 * @returns Null when somebody else did so before.
 */
function moveAside({ path, clock, logger }: StateOptions, inode: bigint): Replacement | null {
  if (inodeOf(path) !== inode) return null;
  const atMs = clock.nowMs();
  const movedTo = `${path}.damaged-${atMs}`;
  for (const suffix of ['-wal', '-shm']) moveIfThere(path + suffix, movedTo + suffix);
  moveIfThere(path, movedTo);
  logger.error('state-replaced', { path, movedTo });
  return { atMs, movedTo, rebuilt: false };
}

function moveIfThere(from: string, to: string): void {
  try {
    renameSync(from, to);
  } catch (error) {
    if (!isSystemError(error) || error.code !== 'ENOENT') throw error;
  }
}

function inodeOf(path: string): bigint {
  return statSync(path, { bigint: true, throwIfNoEntry: false })?.ino ?? -1n;
}

function guarded<T>(path: string, work: () => T): T {
  try {
    return work();
  } catch (cause) {
    if (cause instanceof TidemarkError || !(isSqliteError(cause) || isSystemError(cause))) {
      throw cause;
    }
    const { code = '', message } = cause;
    if (code === 'SQLITE_FULL' || code === 'ENOSPC' || code === 'SQLITE_IOERR_WRITE') {
      throw new CatalogError('TM_STATE_FULL', 'there is no room for the database of jobs', {
        context: { path, reason: code },
        hint: 'make room on the disk of the state folder; what is kept can still be read',
        cause,
      });
    }
    throw new CatalogError('TM_STATE_DB', `the database of jobs failed: ${message}`, {
      context: { path, reason: code },
      hint: 'is the state folder there, and may this user write to it?',
      cause,
    });
  }
}

function isDamage(error: unknown): boolean {
  if (error instanceof Damage || error instanceof SyntaxError) return true; // JSON of a row
  if (!isSqliteError(error)) return false;
  return error.code.startsWith('SQLITE_CORRUPT') || error.code === 'SQLITE_NOTADB';
}

function isSqliteError(error: unknown): error is InstanceType<Sqlite['SqliteError']> {
  return loaded !== null && error instanceof loaded.SqliteError;
}

function isSystemError(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && 'syscall' in error;
}
