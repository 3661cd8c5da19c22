import { readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { wireDirOf } from '../instance-writers.ts';

/** What another host goes on with is of no use here after so long. */
const AGE_MS_MAX = 86_400_000;

/** Which spools are looked at. */
export interface IdleSpools {
  readonly stateDir: string;
  /** Instances that are not captured here. */
  readonly idle: readonly string[];
  readonly nowMs: number;
  /** Upper bound of what idle spools may take together; the oldest go first. */
  readonly bytesMax: number;
  /** Default a day. */
  readonly ageMsMax?: number;
}

interface Left {
  readonly instance: string;
  readonly bytes: number;
  /** When something was written last. */
  readonly atMs: number;
}

/**
 * Removes what captures left that go on elsewhere: sealed bytes of which the log tells whether they
 * are of use when the instance comes back. They may be lost at any time.
 * @returns Instances of which something was removed.
 */
export async function sweepIdle(options: IdleSpools): Promise<readonly string[]> {
  const { stateDir, idle, nowMs, bytesMax, ageMsMax = AGE_MS_MAX } = options;
  const found = await Promise.all(idle.map((instance) => leftOf(instance, stateDir)));
  const left = found.filter((one) => one !== null).sort((a, b) => b.atMs - a.atMs);
  const swept: string[] = [];
  let bytes = 0;
  for (const one of left) {
    bytes += one.bytes;
    if (nowMs - one.atMs < ageMsMax && bytes <= bytesMax) continue;
    bytes -= one.bytes;
    for (const dir of foldersOf(one.instance, stateDir)) {
      await rm(dir, { recursive: true, force: true });
    }
    swept.push(one.instance);
  }
  return swept;
}

function foldersOf(instance: string, stateDir: string): readonly string[] {
  const spool = join(stateDir, 'spool', `${instance}.psync`);
  return [wireDirOf(instance, stateDir), spool, `${spool}.copies`];
}

async function leftOf(instance: string, stateDir: string): Promise<Left | null> {
  let bytes = 0;
  let atMs = 0;
  for (const dir of foldersOf(instance, stateDir)) {
    const names = await readdir(dir).catch(() => [] as string[]);
    for (const name of names) {
      // Gone meanwhile: then it takes no room.
      const facts = await stat(join(dir, name)).catch(() => null);
      if (facts === null || !facts.isFile()) continue;
      bytes += facts.size;
      atMs = Math.max(atMs, facts.mtimeMs);
    }
  }
  return bytes === 0 ? null : { instance, bytes, atMs };
}
