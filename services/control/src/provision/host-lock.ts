import { closeSync, mkdirSync, openSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type Database from 'better-sqlite3';
import { CatalogError } from '@tidemark/core';

const AGAIN_MS = 25;
/** The work under it is a look at folders and a small file. */
const PATIENCE_MS = 60_000;

/**
 * Does work that no other process of this host does at the same time. Node has no flock: the lock is that of an
 * empty SQLite file, which the system gives back whatever becomes of its holder.
 * @param path - Of the file; it is made (0600).
 * @throws CatalogError `TM_BUSY` when it is held for a minute; `TM_STATE_DB` when the file cannot be used.
 */
export async function withHostLock<T>(path: string, work: () => Promise<T>): Promise<T> {
  const held = await takeLock(path);
  try {
    return await work();
  } finally {
    held.close();
  }
}

async function takeLock(path: string): Promise<Database.Database> {
  const sqlite = createRequire(import.meta.url)('better-sqlite3') as typeof Database;
  const endMs = performance.now() + PATIENCE_MS;
  for (;;) {
    const held = tryLock(path, sqlite);
    if (held !== null) return held;
    if (performance.now() > endMs) {
      throw new CatalogError('TM_BUSY', 'new servers are counted by another process', {
        context: { path },
        hint: 'again in a moment',
      });
    }
    await delay(AGAIN_MS);
  }
}

/** Null: somebody has it. Never waits here, since that would hold up who has it in this process. */
function tryLock(path: string, sqlite: typeof Database): Database.Database | null {
  let held: Database.Database | null = null;
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    closeSync(openSync(path, 'a', 0o600));
    held = new sqlite(path, { timeout: 0 });
    held.exec('BEGIN EXCLUSIVE');
    return held;
  } catch (cause) {
    held?.close();
    const { code = '' } = cause as { readonly code?: string };
    if (code.startsWith('SQLITE_BUSY') || code === 'SQLITE_LOCKED') return null;
    throw new CatalogError('TM_STATE_DB', 'the lock of new servers cannot be taken', {
      context: { path, reason: code },
      hint: 'is the state folder there, and may this user write to it?',
      cause,
    });
  }
}
