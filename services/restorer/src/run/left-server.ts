import { readdir, readFile, readlink, realpath } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { NodeError } from '@tidemark/core';
import type { RestoreEnvironment } from './environment.ts';
import { removeLeftFiles } from './open-target.ts';

const SERVERS = /^(redis|valkey)-server/;
/** How long one that was killed is waited for, in looks of 20 ms. */
const LOOKS_MAX = 250;
const LOOK_MS = 20;

/**
 * Ends the server that a restore had started when its process was killed before the restore was on
 * record, and takes away its files. One that runs in another folder, and a folder that holds data, are
 * left alone.
 *
 * A restore that is on record is called off (`abortRestore`), and one that is whole is nobody's to end.
 * @param id - Of the restore.
 * @param dir - Folder that was named for its server; null: the one that it has by its id.
 * @returns Whether a server was found.
 * @throws NodeError `TM_SERVER_START` when it does not end.
 */
export async function endLeftServer(
  id: string,
  dir: string | null,
  environment: RestoreEnvironment,
): Promise<boolean> {
  const named = resolve(dir ?? join(environment.stateDir, 'servers', id));
  // Its process tells where it works with no links in it.
  const folder = await realpath(named).catch(() => named);
  let found = false;
  for (let look = 0; ; look++) {
    const pids = await serversIn(folder);
    if (pids.length === 0) break;
    if (look >= LOOKS_MAX) {
      throw new NodeError('TM_SERVER_START', `a server in ${folder} does not end`, {
        context: { pid: pids[0] ?? 0 },
      });
    }
    found = true;
    // It holds nothing that anybody was given.
    for (const pid of pids) kill(pid);
    await pause(LOOK_MS);
  }
  await removeLeftFiles(folder, environment);
  return found;
}

/** Processes of servers that work in a folder. */
async function serversIn(folder: string): Promise<readonly number[]> {
  const names = await readdir('/proc').catch((): string[] => []);
  const pids: number[] = [];
  for (const name of names) {
    if (!/^\d+$/.test(name)) continue;
    const place = await readlink(`/proc/${name}/cwd`).catch(() => '');
    if (place !== folder) continue;
    const program = await readFile(`/proc/${name}/comm`, 'utf8').catch(() => '');
    if (SERVERS.test(program)) pids.push(Number(name));
  }
  return pids;
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It has ended meanwhile.
  }
}
