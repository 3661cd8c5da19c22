import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { probeAofDir, type AofDirFacts } from '@tidemark/aof';
import type { NodeClient, NodeFacts } from '@tidemark/client';
import { TidemarkError, UsageError } from '@tidemark/core';

/** How often sizes are compared: a rewrite or a write may fall between two looks. */
const ATTEMPTS = 5;
const PAUSE_MS = 200;

/** How it was found that a folder belongs to a server. */
export type AofPlace = 'same-folder' | 'same-sizes';

/**
 * Makes sure that an AOF folder is the one the server writes to: the archive of another server's log
 * would be a wrong one, and nothing later would tell.
 *
 * By device and inode where the folder that the server names can be seen here; else (a container,
 * another mount) by the sizes of its files against those that the server counts.
 * @throws UsageError `TM_AOF_DIR` when it is another folder, or it cannot be told.
 */
export async function checkAofPlace(
  client: NodeClient,
  { config }: Pick<NodeFacts, 'config'>,
  probe: AofDirFacts,
): Promise<AofPlace> {
  const named = folderOf(config, probe);
  if (named !== null && (await isSameFolder(named, probe.dir))) return 'same-folder';
  if (named !== null && (await holdsAof(named))) {
    throw refusal(`the server writes to ${named}, not to ${probe.dir}`, probe.dir, [
      `name that folder: --aof-dir ${named}`,
    ]);
  }
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    if (attempt > 0) await delay(PAUSE_MS);
    if (await sizesAgree(client, probe)) return 'same-sizes';
  }
  throw refusal(`nothing shows that ${probe.dir} is the folder of this server`, probe.dir, [
    named === null ? '' : `the server itself calls its folder ${named};`,
    'the sizes of the files are not those that it counts. If it is the right one, run BGREWRITEAOF on the server once and try again',
  ]);
}

function refusal(message: string, dir: string, hints: readonly string[]): UsageError {
  return new UsageError('TM_AOF_DIR', message, {
    context: { dir },
    hint: hints.filter((part) => part !== '').join(' '),
  });
}

function folderOf(config: NodeFacts['config'], { layout }: AofDirFacts): string | null {
  const { dir, appenddirname } = config ?? {};
  if (dir === undefined) return null;
  return layout === 'single-file' ? dir : join(dir, appenddirname ?? 'appendonlydir');
}

async function isSameFolder(one: string, other: string): Promise<boolean> {
  try {
    const [a, b] = await Promise.all([stat(one, { bigint: true }), stat(other, { bigint: true })]);
    return a.dev === b.dev && a.ino === b.ino;
  } catch {
    return false; // it cannot be seen from here
  }
}

/** Whether a folder of that name here is one that a server writes to: then it is another one. */
async function holdsAof(dir: string): Promise<boolean> {
  try {
    await probeAofDir(dir);
    return true;
  } catch (cause) {
    if (cause instanceof TidemarkError) return false;
    throw cause;
  }
}

/** The files before and after the server was asked must enclose what it counts. */
async function sizesAgree(client: NodeClient, { dir }: AofDirFacts): Promise<boolean> {
  const before = await probeAofDir(dir);
  const counted = (await client.info('persistence')).number('aof_current_size', -1);
  const after = await probeAofDir(dir);
  if (before.base?.name !== after.base?.name) return false;
  // A server that made its log at this start does not count the first base (redis src/aof.c).
  const encloses = (base: number): boolean =>
    base + before.incrBytes <= counted && counted <= base + after.incrBytes;
  return encloses(after.baseBytes) || (after.baseBytes > 0 && encloses(0));
}
