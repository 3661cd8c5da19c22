import { createHash } from 'node:crypto';
import { link, lstat, open, readdir, rm } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import type { Random } from '@tidemark/core';
import { errnoOf } from './fs-errors.ts';

const STALE_AFTER_MS = 60 * 60 * 1000;
const STAGED_NAME = /^([0-9a-f]{8})-(\d{1,10})-[0-9a-f]{24}$/;

const HOST = createHash('sha256').update(hostname()).digest('hex').slice(0, 8);

/** A fresh name for a staged file: host, process, 12 random bytes. */
export function stagedName(random: Random): string {
  return `${HOST}-${process.pid}-${random.bytes(12).toString('hex')}`;
}

/**
 * Proves that the file system can hold a store: files, hard links, exclusive names. Removes what
 * dead writers left more than an hour ago.
 *
 * The hour is measured by the clock of the file system itself. A staged file is kept while a process
 * of its number runs on this host.
 */
export async function prepareStaging(folder: string, random: Random): Promise<void> {
  const probe = join(folder, stagedName(random));
  const second = join(folder, stagedName(random));
  let nowMs: number;
  const file = await open(probe, 'wx', 0o600);
  try {
    nowMs = (await file.stat()).mtimeMs;
    await link(probe, second);
  } finally {
    await file.close();
    await rm(probe, { force: true });
    await rm(second, { force: true });
  }
  for (const name of await readdir(folder)) {
    if (isOwnedByLiving(name)) continue;
    const path = join(folder, name);
    try {
      if (nowMs - (await lstat(path)).mtimeMs > STALE_AFTER_MS) await rm(path, { force: true });
    } catch (error) {
      if (errnoOf(error) !== 'ENOENT') throw error; // its writer was faster
    }
  }
}

/** Also true for names that are not ours: these are left alone. */
function isOwnedByLiving(name: string): boolean {
  const match = STAGED_NAME.exec(name);
  if (match === null) return true;
  if (match[1] !== HOST) return false;
  try {
    process.kill(Number(match[2]), 0);
    return true;
  } catch (error) {
    return errnoOf(error) !== 'ESRCH';
  }
}
