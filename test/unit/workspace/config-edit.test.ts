import { chmod, readdir, readFile, stat, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { nextOf } from '@tidemark/system';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  addInstance,
  changeInstance,
  removeInstance,
} from '../../../services/workspace/src/config/edit.ts';
import { loadConfig } from '../../../services/workspace/src/config/load.ts';
import { TempDir } from '../../support/temp-dir.ts';

const TEXT = `# our tide, do not touch
version = 1   # the only one

[store]
url = "file:///store"   # on the NAS
[state]
dir = "state"
[keys]
ring = "ring"

# the shop
[[instance]]
id = "shop"
# its node moves in May
url = "redis://127.0.0.1:1"
aof_dir = "/a"

# the orders
[[instance]]
url = "redis://127.0.0.1:2"
id = 'orders'   # id = "shop"
aof_dir = "/b"

[policy]
days = [
  "mon",
]
# the end
`;

let temp: TempDir;
let path: string;
beforeEach(async () => {
  temp = await TempDir.create();
  path = join(temp.path, 'tidemark.toml');
  await writeFile(path, TEXT);
  await chmod(path, 0o640);
});
afterEach(() => temp[Symbol.asyncDispose]());

const text = (): Promise<string> => readFile(path, 'utf8');
const ids = async (): Promise<string[]> => (await loadConfig(path)).instances.map(({ id }) => id);
const ENTRY = { id: 'new', url: 'redis://127.0.0.1:3', source: 'aof', aof_dir: '/c "d"' } as const;

describe('addInstance()', () => {
  it('adds at the end and changes no other byte', async () => {
    await addInstance(path, ENTRY);
    expect(await text()).toBe(
      `${TEXT}\n[[instance]]\nid = "new"\nurl = "redis://127.0.0.1:3"\nsource = "aof"\naof_dir = "/c \\"d\\""\n`,
    );
    expect((await loadConfig(path)).instances.at(-1)).toEqual(ENTRY);
    expect((await stat(path)).mode & 0o777).toBe(0o640);
    expect(await readdir(temp.path)).toEqual(['tidemark.toml']);
  });

  it('leaves the file as it is when the new one could not be read', async () => {
    const { aof_dir: _, ...wrong } = ENTRY;
    await expect(addInstance(path, wrong)).rejects.toMatchObject({
      ...{ code: 'TM_CONFIG', message: expect.stringContaining('aof_dir') as unknown },
    });
    expect(await text()).toBe(TEXT);
    expect(await readdir(temp.path)).toEqual(['tidemark.toml']);
  });

  it('adds no instance twice', async () => {
    const again = addInstance(path, { ...ENTRY, id: 'shop' });
    await expect(again).rejects.toMatchObject({ code: 'TM_EXISTS' });
    expect(await text()).toBe(TEXT);
  });

  it('says what is in its way, and goes on once an editor that was killed is long gone', async () => {
    await writeFile(nextOf(path), 'half of');
    await expect(addInstance(path, ENTRY)).rejects.toMatchObject({
      ...{ code: 'TM_CONFIG', hint: expect.stringContaining('.next') as unknown },
    });
    await utimes(nextOf(path), 0, 0);
    await addInstance(path, ENTRY);
    expect(await ids()).toEqual(['shop', 'orders', 'new']);
  });
});

describe('changeInstance()', () => {
  it('changes the settings of one instance and no other line', async () => {
    await changeInstance(path, 'shop', { user: 'capture', password_file: '/p "1"' });
    const added = 'aof_dir = "/a"\nuser = "capture"\npassword_file = "/p \\"1\\""\n';
    expect(await text()).toBe(TEXT.replace('aof_dir = "/a"\n', added));
    await changeInstance(path, 'shop', { user: 'other', password_file: null });
    expect(await text()).toBe(TEXT.replace('aof_dir = "/a"\n', 'aof_dir = "/a"\nuser = "other"\n'));
    await changeInstance(path, 'shop', { user: null });
    expect(await text()).toBe(TEXT);
  });

  it('leaves the file as it is for an instance that is not there', async () => {
    const change = changeInstance(path, 'nobody', { user: 'x' });
    await expect(change).rejects.toMatchObject({ code: 'TM_NOT_FOUND' });
    expect(await text()).toBe(TEXT);
  });
});

describe('removeInstance()', () => {
  it('takes out one instance and no comment of another', async () => {
    await removeInstance(path, 'shop');
    expect(await ids()).toEqual(['orders']);
    expect(await text()).toBe(
      TEXT.replace(/\[\[instance\]\]\nid = "shop"\n[^]*?aof_dir = "\/a"\n\n/, ''),
    );
    expect(await text()).toContain('# the orders\n[[instance]]\n');
  });

  it('finds an id wherever it stands in its table, however it is quoted', async () => {
    await removeInstance(path, 'orders');
    expect(await ids()).toEqual(['shop']);
    const left = await text();
    for (const kept of ['# its node moves in May', '[policy]', '# the end', '# on the NAS']) {
      expect(left).toContain(kept);
    }
  });

  it('is the reverse of adding', async () => {
    await addInstance(path, ENTRY);
    await removeInstance(path, 'new');
    expect((await text()).trimEnd()).toBe(TEXT.trimEnd());
    await removeInstance(path, 'shop');
    await removeInstance(path, 'orders');
    expect(await ids()).toEqual([]);
  });

  it.each(['unknown', 'sho', 'sh.p', '.*', '(', 'mon'])(
    'refuses %s, which is not there',
    async (id) => {
      await expect(removeInstance(path, id)).rejects.toMatchObject({
        ...{ code: 'TM_NOT_FOUND', exitCode: 10 },
      });
      expect(await text()).toBe(TEXT);
    },
  );
});
