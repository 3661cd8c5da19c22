import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { openCatalog } from '@tidemark/catalog';
import { openFileStore, type ObjectStore } from '@tidemark/store';
import { systemRandom } from '@tidemark/system';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { dumpCatalog, openTestInstance, syncTest } from '../support/catalog-harness.ts';
import { readTestLog } from '../support/log-harness.ts';
import { TempDir } from '../support/temp-dir.ts';
import { spawnTypeScript } from '../support/ts-child.ts';

/** A process of log-child.ts and what it has said so far. */
class Child {
  readonly process: ChildProcess;
  readonly lines: string[] = [];
  readonly ended: Promise<number | null>;

  constructor(...args: readonly string[]) {
    this.process = spawnTypeScript(new URL('../support/log-child.ts', import.meta.url), args);
    this.ended = once(this.process, 'close').then(([code]) => code as number | null);
    if (this.process.stdout === null) throw new Error('standard output is a pipe');
    createInterface({ input: this.process.stdout }).on('line', (line) => this.lines.push(line));
  }

  /** Waits until it has said this many lines. */
  async said(count: number): Promise<void> {
    while (this.lines.length < count && this.process.exitCode === null) {
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }

  /** Sequence numbers that it was told are durable. */
  get seqs(): number[] {
    return this.lines.flatMap((line) => (line.startsWith('seq ') ? [Number(line.slice(4))] : []));
  }

  get generation(): number {
    return Number(this.lines[0]?.replace('claimed ', ''));
  }

  async kill(): Promise<void> {
    this.process.kill('SIGKILL');
    await this.ended;
  }
}

describe('processes on one store in a folder', () => {
  let dir: TempDir;
  let root: string;
  let store: ObjectStore;
  beforeEach(async () => {
    dir = await TempDir.create();
    root = join(dir.path, 'store');
    store = await openFileStore({ root, random: systemRandom, durable: false });
    await openTestInstance(store).then((log) => log.release());
  });
  afterEach(() => dir[Symbol.asyncDispose]());

  async function expectInLog(...children: readonly Child[]): Promise<void> {
    const entries = await readTestLog(store);
    expect(entries.map(({ seq }) => seq)).toEqual(entries.map((_, seq) => seq));
    for (const child of children) {
      for (const seq of child.seqs) expect(entries[seq]?.generation).toBe(child.generation);
    }
  }

  it('an owner that was frozen past a take-over stops with its first append', async () => {
    const first = new Child('own', root, 'spool-1', 'no');
    await first.said(10);
    first.process.kill('SIGSTOP');
    const refused = new Child('own', root, 'spool-2', 'no');
    expect(await refused.ended).toBe(11);
    expect(refused.lines).toEqual(['TM_LOG_OWNER']);
    const second = new Child('own', root, 'spool-2', 'yes');
    await second.said(10);
    const before = first.lines.length;
    first.process.kill('SIGCONT');
    expect(await first.ended).toBe(11);
    expect(first.lines.at(-1)).toBe('TM_LOG_OWNER');
    // At most what it had said and not yet been heard saying.
    expect(first.lines.length).toBeLessThanOrEqual(before + 2);
    await second.said(second.lines.length + 5);
    await second.kill();
    await expectInLog(first, second);
  });

  it('an owner that is killed again and again loses nothing it was told is durable', async () => {
    const children: Child[] = [];
    for (let round = 0; round < 3; round++) {
      const child = new Child('own', root, 'spool-1', 'no');
      children.push(child);
      await child.said(2 + round * 7);
      await child.kill();
    }
    expect(children.map(({ generation }) => generation)).toEqual([2, 3, 4]);
    await expectInLog(...children);
  });

  it('a catalog that two processes write and one of them dies over is still right', async () => {
    const path = join(dir.path, 'catalog.db');
    const owner = new Child('own', root, 'spool-1', 'no');
    await owner.said(5);
    const steady = new Child('sync', root, path);
    const doomed = new Child('sync', root, path);
    await doomed.said(2);
    await doomed.kill();
    await steady.said(5);
    expect(steady.process.exitCode).toBeNull();
    await Promise.all([owner.kill(), steady.kill()]);
    using shared = openCatalog({ path });
    using fresh = openCatalog({ path: join(dir.path, 'fresh.db') });
    await syncTest(shared, store);
    await syncTest(fresh, store);
    expect(dumpCatalog(shared)).toEqual(dumpCatalog(fresh));
  });
});
