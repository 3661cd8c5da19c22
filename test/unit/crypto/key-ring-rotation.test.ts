import { link, readFile, readdir, stat, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { createKeyRing, openKeyRing, type KeyProvider, type KeyRing } from '@tidemark/crypto';
import { describe, expect, it } from 'vitest';
import { seededRandom, standingClock } from '../../support/crypto-ports.ts';
import { TempDir } from '../../support/temp-dir.ts';

type Ring = KeyProvider & KeyRing;

const clock = standingClock(1_790_000_000_000);
let rings = 0;
const optionsOf = (dir: string) => ({ dir, random: seededRandom(`ring ${rings++}`), clock });
const create = (dir: string): Promise<Ring> => createKeyRing(optionsOf(dir));
const open = (dir: string): Promise<Ring> => openKeyRing(optionsOf(dir));

async function modeOf(path: string): Promise<string> {
  return ((await stat(path)).mode & 0o7777).toString(8);
}

describe('rotate()', () => {
  it('adds a version for new keys, opens the old ones and keeps the log key', async () => {
    await using temp = await TempDir.create();
    const dir = join(temp.path, 'ring');
    const ring = await create(dir);
    const context = { instance: 'orders', purpose: 'segments' } as const;
    const before = await ring.generateDataKey(context);
    const logKey = await ring.logKey('orders');
    await ring.rotate();
    const after = await ring.generateDataKey(context);
    expect([before.wrapped.keyVersion, after.wrapped.keyVersion, ring.revision]).toEqual([1, 2, 2]);
    for (const each of [ring, await open(dir)]) {
      expect(await each.unwrapDataKey(before.wrapped, before.wrapped.context)).toEqual(
        before.dataKey,
      );
      expect(await each.unwrapDataKey(after.wrapped, after.wrapped.context)).toEqual(after.dataKey);
      expect(await each.logKey('orders')).toEqual(logKey);
    }
    const [description] = await ring.listKeys();
    expect(description).toMatchObject({ provider: 'ring', keyId: before.wrapped.keyId });
    expect(description?.versions.map(({ version }) => version)).toEqual([1, 2]);
    expect(await ring.describeKey(before.wrapped.keyId)).toEqual(description);
    await expect(ring.describeKey('other')).rejects.toMatchObject({ code: 'TM_KEY_MISSING' });
  });

  it('keeps the ring before it as ring.json.1, which opens', async () => {
    await using temp = await TempDir.create();
    const dir = join(temp.path, 'ring');
    const ring = await create(dir);
    const first = await readFile(join(dir, 'ring.json'));
    await ring.rotate();
    expect((await readFile(join(dir, 'ring.json.1'))).equals(first)).toBe(true);
    expect(await modeOf(join(dir, 'ring.json.1'))).toBe('600');
    await ring.rotate();
    expect((await readdir(dir)).sort()).toEqual(['ring.json', 'ring.json.1', 'root.key']);
    await writeFile(join(dir, 'ring.json'), await readFile(join(dir, 'ring.json.1')));
    expect((await open(dir)).revision).toBe(2);
  });

  it('is seen by a process that opened the ring before', async () => {
    await using temp = await TempDir.create();
    const dir = join(temp.path, 'ring');
    const archiver = await create(dir);
    const operator = await open(dir);
    await operator.rotate();
    const made = await operator.generateDataKey({ instance: 'orders', purpose: 'canary' });
    expect(archiver.revision).toBe(1);
    const opened = await archiver.unwrapDataKey(made.wrapped, made.wrapped.context);
    expect(opened).toEqual(made.dataKey);
    expect(archiver.revision).toBe(2);
  });

  it('loses no version when many ask at once', async () => {
    await using temp = await TempDir.create();
    const dir = join(temp.path, 'ring');
    const [one, two] = [await create(dir), await open(dir)];
    const runs = [one.rotate(), two.rotate(), one.rotate(), two.rotate()];
    const settled = await Promise.allSettled(runs);
    const done = settled.filter(({ status }) => status === 'fulfilled').length;
    for (const result of settled) {
      if (result.status === 'rejected') expect(result.reason).toMatchObject({ code: 'TM_BUSY' });
    }
    expect(done).toBeGreaterThanOrEqual(1);
    expect((await open(dir)).revision).toBe(1 + done);
  });

  it('refuses to go on from a ring that was put back to an older one', async () => {
    await using temp = await TempDir.create();
    const dir = join(temp.path, 'ring');
    const ring = await create(dir);
    await ring.rotate();
    await writeFile(join(dir, 'ring.json'), await readFile(join(dir, 'ring.json.1')));
    await expect(ring.rotate()).rejects.toMatchObject({
      code: 'TM_KEY_RING',
      context: { revision: 1, revisionMin: 2 },
    });
    const { wrapped } = await ring.generateDataKey({ instance: 'a', purpose: 'log' });
    expect(wrapped.keyVersion).toBe(2); // what is in memory still works
  });

  it('takes over the lock of a dead process but not of a living one', async () => {
    await using temp = await TempDir.create();
    const dir = join(temp.path, 'ring');
    const ring = await create(dir);
    const lock = join(dir, 'ring.lock');
    const hold = (pid: number, host: string): Promise<void> =>
      writeFile(lock, `${pid} ${'0'.repeat(32)} ${host}`, { mode: 0o600 });
    await hold(process.ppid, hostname());
    const busy = { code: 'TM_BUSY', context: { path: lock, pid: String(process.ppid) } };
    await expect(ring.rotate()).rejects.toMatchObject(busy);
    await hold(2 ** 22 + 1, 'another-host');
    await expect(ring.rotate()).rejects.toMatchObject({ code: 'TM_BUSY' });
    await hold(2 ** 22 + 1, hostname()); // above the highest process id of Linux
    await ring.rotate();
    await hold(process.pid, hostname()); // this process, in an earlier life with the same id
    await ring.rotate();
    expect(ring.revision).toBe(3);
    expect(await readdir(dir)).not.toContain('ring.lock');
  });

  it('is not hindered by what a crash left behind', async () => {
    await using temp = await TempDir.create();
    const dir = join(temp.path, 'ring');
    const ring = await create(dir);
    await writeFile(join(dir, 'ring.json.tmp'), 'half', { mode: 0o600 });
    await link(join(dir, 'ring.json'), join(dir, 'ring.json.1'));
    await ring.rotate();
    expect((await open(dir)).revision).toBe(2);
  });
});

describe('rewrapDataKey()', () => {
  it('wraps the same key with the newest version', async () => {
    await using temp = await TempDir.create();
    const ring = await create(join(temp.path, 'ring'));
    const context = { instance: 'orders', purpose: 'segments' } as const;
    const { dataKey, wrapped } = await ring.generateDataKey(context);
    await ring.rotate();
    const again = await ring.rewrapDataKey(wrapped, wrapped.context);
    expect(again.keyVersion).toBe(2);
    expect(again.wrapped).not.toBe(wrapped.wrapped);
    expect(await ring.unwrapDataKey(again, wrapped.context)).toEqual(dataKey);
    const other = { ...wrapped.context, instance: 'other' };
    await expect(ring.rewrapDataKey(wrapped, other)).rejects.toMatchObject({
      code: 'TM_KEY_WRONG',
    });
  });
});
