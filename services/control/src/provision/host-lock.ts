import { closeSync, mkdirSync, openSync, realpathSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type Database from 'better-sqlite3';
import { CatalogError } from '@tidemark/core';

const AGAIN_MS = 25;
/** The work under it is a look at folders and a small file. */
const PATIENCE_MS = 60_000;

/** By path: when all that asked in this process before have let go. */
const queues = new Map<string, Promise<void>>();

/**
 * Does work that nobody else of this host does at the same time. Node has no flock: between processes the lock is
 * that of an empty SQLite file, which the system gives back whatever becomes of its holder. Within a process one
 * goes after the other, since the system gives that lock back with the first descriptor of the file that is closed.
 * @param path - Of the file; it is made (0600).
 * @throws CatalogError `TM_BUSY` when it is held for a minute; `TM_STATE_DB` when the file cannot be used.
 * @see fcntl(2), advisory record locking
 */
export async function withHostLock<T>(path: string, work: () => Promise<T>): Promise<T> {
  const endMs = performance.now() + PATIENCE_MS;
  const file = makeFile(path);
  const { turn, leave } = queueUp(file);
  try {
    await waitFor(turn, file);
    const held = await takeLock(file, endMs);
    try {
      return await work();
    } finally {
      held.close();
    }
  } finally {
    leave();
  }
}

function queueUp(file: string): { readonly turn: Promise<void>; readonly leave: () => void } {
  const turn = queues.get(file) ?? Promise.resolve();
  let leave = (): void => undefined;
  const left = new Promise<void>((resolve) => {
    leave = () => {
      if (queues.get(file) === after) queues.delete(file);
      resolve();
    };
  });
  const after = turn.then(() => left);
  queues.set(file, after);
  return { turn, leave };
}

async function waitFor(turn: Promise<void>, path: string): Promise<void> {
  const stop = new AbortController();
  const late = delay(PATIENCE_MS, true, { signal: stop.signal });
  const isLate = await Promise.race([turn, late]).finally(() => stop.abort());
  if (isLate === true) throw busy(path);
}

/** Makes it when it is absent. One that is there is not opened here: closing that would give back its lock. */
function makeFile(path: string): string {
  try {
    const dir = dirname(path);
    mkdirSync(dir, { recursive: true, mode: 0o700 });
    const file = join(realpathSync(dir), basename(path));
    closeSync(openSync(file, 'wx', 0o600));
    return file;
  } catch (cause) {
    const { code = '' } = cause as { readonly code?: string };
    if (code === 'EEXIST') return join(realpathSync(dirname(path)), basename(path));
    throw unusable(path, code, cause);
  }
}

async function takeLock(path: string, endMs: number): Promise<Database.Database> {
  const sqlite = createRequire(import.meta.url)('better-sqlite3') as typeof Database;
  for (;;) {
    const held = tryLock(path, sqlite);
    if (held !== null) return held;
    if (performance.now() > endMs) throw busy(path);
    await delay(AGAIN_MS);
  }
}

/** Null: somebody has it. Never waits here, since that would hold up who has it in this process. */
function tryLock(path: string, sqlite: typeof Database): Database.Database | null {
  let held: Database.Database | null = null;
  try {
    held = new sqlite(path, { timeout: 0 });
    held.exec('BEGIN EXCLUSIVE');
    return held;
  } catch (cause) {
    held?.close();
    const { code = '' } = cause as { readonly code?: string };
    if (code.startsWith('SQLITE_BUSY') || code === 'SQLITE_LOCKED') return null;
    throw unusable(path, code, cause);
  }
}

function busy(path: string): CatalogError {
  return new CatalogError('TM_BUSY', 'new servers are counted by somebody else', {
    context: { path },
    hint: 'again in a moment',
  });
}

function unusable(path: string, reason: string, cause: unknown): CatalogError {
  return new CatalogError('TM_STATE_DB', 'the lock of new servers cannot be taken', {
    context: { path, reason },
    hint: 'is the state folder there, and may this user write to it?',
    cause,
  });
}
