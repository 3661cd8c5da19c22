import { closeSync, openSync, renameSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import type Database from 'better-sqlite3';
import { CatalogError, TidemarkError } from '@tidemark/core';
import { parseCanonicalJson, WireFault } from '../model/wire/canonical-json.ts';
import type { Shape } from '../model/wire/shape.ts';
import { APPLICATION_ID, SCHEMA, SCHEMA_VERSION, TABLES } from './schema.ts';

/** How long a process waits for another one that writes. */
const BUSY_MS = 10_000;

/** A connection of better-sqlite3. */
export type Connection = Database.Database;

type Sqlite = typeof Database;

let loaded: Sqlite | null = null;

/** Loaded with the first catalog: a process that opens none has no SQLite in it. */
function sqlite(): Sqlite {
  loaded ??= createRequire(import.meta.url)('better-sqlite3') as Sqlite;
  return loaded;
}

/**
 * Opens the projection's database, and makes it when it is absent, damaged or of another version.
 * A damaged file is moved aside to `.damaged`: it is a cache.
 *
 * @throws CatalogError `TM_CATALOG_DB` when the file belongs to somebody else or cannot be used.
 */
export function openDatabase(path: string): Connection {
  return guarded(path, () => {
    try {
      return openOnce(path);
    } catch (error) {
      if (!isDamage(error)) throw error;
      moveAside(path);
      return openOnce(path);
    }
  });
}

/** Closes a damaged database, moves it aside and makes a new one. */
export function replaceDatabase(path: string, damaged: Connection): Connection {
  damaged.close();
  return guarded(path, () => {
    moveAside(path);
    return openOnce(path);
  });
}

/**
 * Reads a fold back from a row.
 *
 * @throws CatalogError `TM_CATALOG_DB` when the row does not hold one: the file is damaged.
 */
export function readFold<T>(text: string, shape: Shape<T>): T {
  try {
    return shape.decode(parseCanonicalJson(Buffer.from(text, 'utf8')), '$');
  } catch (cause) {
    if (!(cause instanceof WireFault)) throw cause;
    throw new CatalogError('TM_CATALOG_DB', 'a row of the catalog is damaged', { cause });
  }
}

/** Whether the file is damaged, by SQLite's word or by what a row holds. */
export function isDamage(error: unknown): boolean {
  if (error instanceof TidemarkError) return isDamage(error.cause);
  if (error instanceof WireFault) return true;
  if (!isSqliteError(error)) return false;
  return error.code.startsWith('SQLITE_CORRUPT') || error.code === 'SQLITE_NOTADB';
}

/** Runs work on the database; SQLite's errors become `TM_CATALOG_DB`. */
export function guarded<T>(path: string, work: () => T): T {
  try {
    return work();
  } catch (cause) {
    if (cause instanceof TidemarkError) throw cause;
    if (!isSqliteError(cause) && !isSystemError(cause)) throw cause;
    throw new CatalogError('TM_CATALOG_DB', `the catalog database failed: ${cause.message}`, {
      context: { path, reason: cause.code ?? '' },
      hint: 'it is a cache: stop what uses it, delete the file, and it is built again',
      cause,
    });
  }
}

/** As `guarded`, for work that also waits for the store. */
export async function guardedAsync<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    return guarded(path, () => {
      throw error;
    });
  }
}

function isSqliteError(error: unknown): error is InstanceType<Sqlite['SqliteError']> {
  return loaded !== null && error instanceof loaded.SqliteError;
}

function isSystemError(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && 'syscall' in error;
}

function openOnce(path: string): Connection {
  // Made here, so that it and the files beside it are private from their first byte.
  if (path !== ':memory:') closeSync(openSync(path, 'a', 0o600));
  const db = new (sqlite())(path, { timeout: BUSY_MS });
  try {
    db.pragma('journal_mode = WAL');
    db.pragma('synchronous = FULL');
    db.pragma('foreign_keys = ON');
    db.pragma('trusted_schema = OFF');
    db.transaction(() => prepare(db, path)).immediate();
    return db;
  } catch (error) {
    db.close();
    throw error;
  }
}

function prepare(db: Connection, path: string): void {
  const applicationId = db.pragma('application_id', { simple: true });
  const version = db.pragma('user_version', { simple: true });
  if (applicationId === APPLICATION_ID && version === SCHEMA_VERSION) return;
  const tables = db
    .prepare<[], { name: string }>(`SELECT name FROM sqlite_schema WHERE type = 'table'`)
    .all();
  if (applicationId !== APPLICATION_ID && tables.length > 0) {
    throw new CatalogError('TM_CATALOG_DB', 'the file is another program’s database', {
      context: { path },
      hint: 'choose another state folder',
    });
  }
  for (const table of TABLES) db.exec(`DROP TABLE IF EXISTS ${table}`);
  db.exec(SCHEMA);
  db.pragma(`application_id = ${APPLICATION_ID}`);
  db.pragma(`user_version = ${SCHEMA_VERSION}`);
}

function moveAside(path: string): void {
  for (const suffix of ['-wal', '-shm']) rmSync(path + suffix, { force: true });
  renameSync(path, `${path}.damaged`);
}
