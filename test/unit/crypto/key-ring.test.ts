import { chmod, readFile, readdir, stat, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  createKeyRing,
  openKeyRing,
  type KeyContext,
  type KeyProvider,
  type KeyPurpose,
  type KeyRing,
  type WrappedDataKey,
} from '@tidemark/crypto';
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

/** Changes ring.json with its mode kept. */
async function editRing(dir: string, edit: (text: string) => string): Promise<void> {
  const path = join(dir, 'ring.json');
  await writeFile(path, edit(await readFile(path, 'utf8')));
}

function changed(base64: string, at: number): string {
  const bytes = Buffer.from(base64, 'base64');
  bytes[at] = (bytes[at] ?? 0) ^ 1;
  return bytes.toString('base64');
}

describe('createKeyRing()', () => {
  it('makes a folder 0700 with ring.json and root.key 0600, and nothing else', async () => {
    await using temp = await TempDir.create();
    const dir = join(temp.path, 'etc', 'ring');
    const ring = await create(dir);
    expect(ring.revision).toBe(1);
    expect(await modeOf(dir)).toBe('700');
    expect((await readdir(dir)).sort()).toEqual(['ring.json', 'root.key']);
    expect(await modeOf(join(dir, 'ring.json'))).toBe('600');
    expect(await modeOf(join(dir, 'root.key'))).toBe('600');
    expect((await stat(join(dir, 'root.key'))).size).toBe(32);
  });

  it('never overwrites a ring or a root key', async () => {
    await using temp = await TempDir.create();
    const dir = join(temp.path, 'ring');
    await create(dir);
    const before = await readFile(join(dir, 'ring.json'));
    await expect(create(dir)).rejects.toMatchObject({ code: 'TM_KEY_RING', exitCode: 12 });
    await unlink(join(dir, 'ring.json'));
    await expect(create(dir)).rejects.toMatchObject({
      code: 'TM_KEY_RING',
      context: { path: join(dir, 'root.key') },
    });
    await writeFile(join(dir, 'ring.json'), before, { mode: 0o600 });
    expect((await open(dir)).revision).toBe(1);
  });

  it('uses a root key file outside the folder and then needs it', async () => {
    await using temp = await TempDir.create();
    const dir = join(temp.path, 'ring');
    const rootKeyFile = join(temp.path, 'credential');
    await writeFile(rootKeyFile, Buffer.alloc(32, 9), { mode: 0o600 });
    await createKeyRing({ ...optionsOf(dir), rootKeyFile });
    expect(await readdir(dir)).toEqual(['ring.json']);
    expect((await openKeyRing({ ...optionsOf(dir), rootKeyFile })).revision).toBe(1);
    const without = { code: 'TM_KEY_RING', context: { path: join(dir, 'root.key') } };
    await expect(open(dir)).rejects.toMatchObject(without);
    await writeFile(rootKeyFile, Buffer.alloc(32, 8));
    const other = openKeyRing({ ...optionsOf(dir), rootKeyFile });
    await expect(other).rejects.toMatchObject({ code: 'TM_KEY_RING' });
  });

  it('keeps no key in clear', async () => {
    await using temp = await TempDir.create();
    const dir = join(temp.path, 'ring');
    const ring = await create(dir);
    const root = await readFile(join(dir, 'root.key'));
    const { key } = await ring.logKey('orders');
    const text = await readFile(join(dir, 'ring.json'), 'utf8');
    for (const secret of [root, key]) {
      expect(text).not.toContain(secret.toString('hex'));
      expect(text).not.toContain(secret.toString('base64').slice(0, 40));
    }
  });
});

describe('openKeyRing()', () => {
  it('gives the same keys again', async () => {
    await using temp = await TempDir.create();
    const dir = join(temp.path, 'ring');
    const first = await create(dir);
    const { dataKey, wrapped } = await first.generateDataKey({
      instance: 'orders',
      purpose: 'snapshot',
    });
    const second = await open(dir);
    const opened = await second.unwrapDataKey(wrapped, wrapped.context);
    expect(opened).toEqual(dataKey);
    expect(await second.logKey('orders')).toEqual(await first.logKey('orders'));
  });

  it('refuses every byte of ring.json changed and every truncation', async () => {
    await using temp = await TempDir.create();
    const dir = join(temp.path, 'ring');
    await create(dir);
    const path = join(dir, 'ring.json');
    const bytes = await readFile(path);
    const accepted: string[] = [];
    const attempt = async (name: string, content: Buffer): Promise<void> => {
      await writeFile(path, content);
      const error: unknown = await open(dir).then(
        () => null,
        (reason: unknown) => reason,
      );
      const code = error !== null && typeof error === 'object' && 'code' in error && error.code;
      if (code !== 'TM_KEY_RING') accepted.push(`${name}: ${String(code)}`);
    };
    for (let at = 0; at < bytes.length; at++) {
      const flipped = Buffer.from(bytes);
      flipped[at] = (flipped[at] ?? 0) ^ (1 << (at % 8));
      await attempt(`flip ${at}`, flipped);
    }
    for (let length = 0; length < bytes.length; length += 7) {
      await attempt(`cut ${length}`, bytes.subarray(0, length));
    }
    await attempt('too large', Buffer.alloc(1_100_000, 0x20));
    expect(accepted).toEqual([]);
  });

  it('refuses a changed field even when the JSON is well formed', async () => {
    await using temp = await TempDir.create();
    const dir = join(temp.path, 'ring');
    await create(dir);
    await editRing(dir, (text) => text.replace('"revision": 1', '"revision": 2'));
    await expect(open(dir)).rejects.toMatchObject({
      code: 'TM_KEY_RING',
      context: { path: join(dir, 'ring.json') },
    });
  });

  it('refuses a revision below the one the catalog has seen', async () => {
    await using temp = await TempDir.create();
    const dir = join(temp.path, 'ring');
    await create(dir);
    const opened = await openKeyRing({ ...optionsOf(dir), revisionMin: 1 });
    expect(opened.revision).toBe(1);
    await expect(openKeyRing({ ...optionsOf(dir), revisionMin: 2 })).rejects.toMatchObject({
      code: 'TM_KEY_RING',
      context: { revision: 1, revisionMin: 2 },
    });
  });

  it('refuses files and folder that are open to others, with the command to run', async () => {
    await using temp = await TempDir.create();
    const dir = join(temp.path, 'ring');
    await create(dir);
    const cases = [
      [dir, 0o750, '700'],
      [dir, 0o701, '700'],
      [join(dir, 'ring.json'), 0o640, '600'],
      [join(dir, 'ring.json'), 0o604, '600'],
      [join(dir, 'root.key'), 0o620, '600'],
    ] as const;
    for (const [path, mode, right] of cases) {
      await chmod(path, mode);
      await expect(open(dir)).rejects.toMatchObject({
        code: 'TM_KEY_RING',
        context: { path, mode: `0${mode.toString(8)}` },
        hint: `run: chmod ${right} ${path}`,
      });
      await chmod(path, path === dir ? 0o700 : 0o600);
    }
    expect((await open(dir)).revision).toBe(1);
  });

  it('says that a ring does not exist', async () => {
    await using temp = await TempDir.create();
    await expect(open(join(temp.path, 'none'))).rejects.toMatchObject({ code: 'TM_KEY_RING' });
  });
});

describe('unwrapDataKey()', () => {
  const instance = 'orders';

  async function setUp(dir: string, purpose: KeyPurpose = 'segments') {
    const ring = await create(dir);
    return { ring, ...(await ring.generateDataKey({ instance, purpose })) };
  }

  it('opens only for the instance, purpose and id it was made for', async () => {
    await using temp = await TempDir.create();
    const { ring, wrapped } = await setUp(join(temp.path, 'ring'));
    const others: KeyContext[] = [
      { ...wrapped.context, instance: 'orderz' },
      { ...wrapped.context, purpose: 'snapshot' },
      { ...wrapped.context, dekId: '00'.repeat(16) },
    ];
    for (const context of others) {
      const wrong = { code: 'TM_KEY_WRONG', exitCode: 12 };
      await expect(ring.unwrapDataKey(wrapped, context)).rejects.toMatchObject(wrong);
      // Also when the stored context was edited to fit.
      const edited: WrappedDataKey = { ...wrapped, context };
      await expect(ring.unwrapDataKey(edited, wrapped.context)).rejects.toMatchObject(wrong);
      await expect(ring.unwrapDataKey(edited, context)).rejects.toMatchObject(wrong);
    }
  });

  it('tells a missing key from a wrong one', async () => {
    await using temp = await TempDir.create();
    const { ring, wrapped } = await setUp(join(temp.path, 'one'));
    const other = await setUp(join(temp.path, 'two'));
    const { context } = wrapped;
    const missing = { code: 'TM_KEY_MISSING' };
    const wrong = { code: 'TM_KEY_WRONG' };
    const unwrap = (change: Partial<WrappedDataKey>) =>
      ring.unwrapDataKey({ ...wrapped, ...change }, context);
    await expect(ring.unwrapDataKey(other.wrapped, other.wrapped.context)).rejects.toMatchObject(
      missing,
    );
    await expect(unwrap({ provider: 'aws-kms' })).rejects.toMatchObject(missing);
    await expect(unwrap({ keyVersion: 2 })).rejects.toMatchObject({
      ...missing,
      context: { keyVersion: 2, newest: 1 },
    });
    await expect(unwrap({ wrapped: other.wrapped.wrapped })).rejects.toMatchObject(wrong);
    await expect(unwrap({ createdMs: wrapped.createdMs + 1 })).rejects.toMatchObject(wrong);
    await expect(unwrap({ wrapped: 'AAAA' })).rejects.toMatchObject(wrong);
    await expect(unwrap({ wrapped: 'A'.repeat(16_000) })).rejects.toMatchObject(wrong);
    const bytes = Buffer.from(wrapped.wrapped, 'base64').length;
    for (let at = 0; at < bytes; at += 3) {
      const damaged = unwrap({ wrapped: changed(wrapped.wrapped, at) });
      await expect(damaged).rejects.toMatchObject(wrong);
    }
  });

  it('refuses a context that is not well formed', async () => {
    await using temp = await TempDir.create();
    const { ring, wrapped } = await setUp(join(temp.path, 'ring'));
    const context = { ...wrapped.context, instance: '../x' };
    const usage = { code: 'TM_USAGE' };
    await expect(ring.unwrapDataKey(wrapped, context)).rejects.toMatchObject(usage);
    await expect(ring.generateDataKey(context)).rejects.toMatchObject(usage);
    await expect(ring.logKey('A')).rejects.toMatchObject(usage);
  });

  it('answers no more after close', async () => {
    await using temp = await TempDir.create();
    const { ring, wrapped } = await setUp(join(temp.path, 'ring'));
    ring.close();
    const missing = { code: 'TM_KEY_MISSING' };
    await expect(ring.unwrapDataKey(wrapped, wrapped.context)).rejects.toMatchObject(missing);
    await expect(ring.generateDataKey(wrapped.context)).rejects.toMatchObject(missing);
    await expect(ring.logKey(instance)).rejects.toMatchObject(missing);
  });
});

describe('logKey()', () => {
  it('is another one for every instance and ring', async () => {
    await using temp = await TempDir.create();
    const one = await create(join(temp.path, 'one'));
    const two = await create(join(temp.path, 'two'));
    const keys = [await one.logKey('a'), await one.logKey('b'), await two.logKey('a')];
    expect(new Set(keys.map(({ id }) => id)).size).toBe(3);
    expect(new Set(keys.map(({ key }) => key.toString('hex'))).size).toBe(3);
    for (const { id, key } of keys) expect([id.length, key.length]).toEqual([32, 32]);
  });
});
