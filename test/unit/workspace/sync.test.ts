import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInstance } from '@tidemark/catalog';
import { createKeyRing } from '@tidemark/crypto';
import { systemClock, systemRandom } from '@tidemark/system';
import { Workspace } from '@tidemark/workspace';
import { expect, it } from 'vitest';
import { CountingStore } from '../../support/counting-store.ts';
import { TempDir } from '../../support/temp-dir.ts';

const ports = { clock: systemClock, random: systemRandom };
const { signal } = new AbortController();

it('who asks for one instance asks the store for nothing of the others', async () => {
  await using temp = await TempDir.create();
  const at = (name: string): string => join(temp.path, name);
  (await createKeyRing({ dir: at('ring'), ...ports })).close();
  await mkdir(at('store'));
  const lines = [
    'version = 1',
    `[store]\nurl = "file://${at('store')}"`,
    `[state]\ndir = "${at('state')}"`,
    `[keys]\nring = "${at('ring')}"`,
  ];
  await writeFile(at('tidemark.toml'), lines.join('\n'));
  let counting: CountingStore | null = null;
  using workspace = await Workspace.open({
    configPath: at('tidemark.toml'),
    through: (store, keys) => ({ store: (counting = new CountingStore(store)), keys }),
  });
  const store = counting!;
  const make = async (iid: string): Promise<unknown> =>
    createInstance({
      ...{ ...ports, store, iid, name: iid, createdMs: 1 },
      logKey: await workspace.keys.logKey(iid),
    });
  const readsOf = async (iid: string): Promise<number> => {
    const before = store.reads;
    await workspace.sync(signal, iid);
    return store.reads - before;
  };
  await make('one');
  await readsOf('one');
  const alone = await readsOf('one');
  for (let i = 0; i < 8; i++) await make(`other-${i}`);
  expect(await readsOf('one')).toBe(alone);
  for (const unknown of ['nobody', 'No Id', '../one', '']) {
    expect(await readsOf(unknown), unknown).toBeLessThanOrEqual(1);
  }
  expect(workspace.catalog.instances().map(({ iid }) => iid)).toEqual(['one']);
  await workspace.sync(signal);
  expect(workspace.catalog.instances()).toHaveLength(9);

  // As a mount that is gone: what is known is no answer, and nothing is begun in its place.
  await rename(at('store'), at('away'));
  await mkdir(at('store'));
  for (const only of [null, 'one']) {
    await expect(workspace.sync(signal, only)).rejects.toMatchObject({
      ...{ code: 'TM_STORE_IO', context: { instance: expect.stringMatching(/^o/) as unknown } },
      hint: expect.stringContaining('is it mounted') as unknown,
    });
  }
  expect(await workspace.sync(signal, 'nobody')).toBe(0);
  await rm(at('store'), { recursive: true });
  await rename(at('away'), at('store'));
  await workspace.sync(signal);
});
