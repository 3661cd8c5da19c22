import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { parseWrappedDataKey } from '@tidemark/crypto';
import { bytesOf } from '@tidemark/core';
import { openFileStore, type ObjectStore } from '@tidemark/store';
import { systemRandom } from '@tidemark/system';
import { describe, expect, it } from 'vitest';
import { DamageBench } from '../../support/damage/damage-bench.ts';
import { TINY_INSTANCE } from '../../support/damage/tiny-archive.ts';
import { collect } from '../../support/segments.ts';
import { TempDir } from '../../support/temp-dir.ts';

const CHILD = fileURLToPath(new URL('../../support/rewrap/rewrap-child.js', import.meta.url));
const DATA_KEYS = 3;
/**
 * Changes that each run makes before it is killed; others may be under way then. In all, three new
 * generations are written and three old ones removed. (Every single step is killed in the unit tests.)
 */
const RUNS = [0, 1, 1, 2];

describe('a rewrapping in a process that is killed', () => {
  it('again and again after a few changes: all backups restore in between, and it comes to its end', async () => {
    await using dir = await TempDir.create('tidemark-killed-');
    const bench = await DamageBench.build('killed', dir.path);
    await bench.keys.rotate();
    const root = join(dir.path, 'store');
    const store = await openFileStore({ root, random: systemRandom });
    for (const [key, bytes] of bench.store.objects) await store.putIfAbsent(key, bytesOf(bytes));
    const run = async (changes: number): Promise<{ signal: string | null; said: string }> => {
      const ring = join(dir.path, 'ring');
      const child = spawn(
        process.execPath,
        [CHILD, TINY_INSTANCE, root, ring, changes.toString()],
        { stdio: ['ignore', 'pipe', 'inherit'] },
      );
      const ended = once(child, 'close') as Promise<[number | null, string | null]>;
      const said = await text(child.stdout);
      const [, signal] = await ended;
      return { signal, said };
    };
    let kills = 0;
    for (const changes of RUNS) {
      const { signal } = await run(changes);
      if (signal === 'SIGKILL') kills += 1;
      await copyBack(store, bench);
      await bench.dryRun();
      await bench.dryRunOf({ kind: 'backup', backup: 'bk-1' });
      expect((await bench.verify()).faults).toEqual([]);
    }
    expect(kills).toBeGreaterThanOrEqual(2);
    const { said } = await run(1_000);
    expect(JSON.parse(said)).toMatchObject({ keys: DATA_KEYS, faultCount: 0 });
    await copyBack(store, bench);
    const keys = bench.store.keys('v1/keys/').map((key) => bench.store.objects.get(key)!);
    expect(keys.map((bytes) => parseWrappedDataKey(bytes).keyVersion)).toEqual([2, 2, 2]);
  });
});

/** What the store on the disk holds now, as the bench sees it. */
async function copyBack(store: ObjectStore, bench: DamageBench): Promise<void> {
  for (const key of bench.store.keys('v1/keys/')) bench.store.tamper(key, null);
  for await (const batch of store.list('v1/keys/')) {
    for (const { key } of batch) bench.store.tamper(key, await collect(store.get(key)));
  }
}
