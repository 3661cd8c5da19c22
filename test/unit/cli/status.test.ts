import { mkdir, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInstance } from '@tidemark/catalog';
import { createKeyRing } from '@tidemark/crypto';
import { systemClock, systemRandom } from '@tidemark/system';
import { Workspace } from '@tidemark/workspace';
import { afterEach, expect, it, vi } from 'vitest';
import { showStatus } from '../../../services/cli/src/commands/status.ts';
import { Printer } from '../../../services/cli/src/output/printer.ts';
import { TempDir } from '../../support/temp-dir.ts';

const ports = { clock: systemClock, random: systemRandom };
const { signal } = new AbortController();
let exitCode: typeof process.exitCode;

afterEach(() => {
  process.exitCode = exitCode;
  vi.restoreAllMocks();
});

it('status tells of a store that is away, and shows what is known all the same', async () => {
  exitCode = process.exitCode;
  await using temp = await TempDir.create();
  const at = (name: string): string => join(temp.path, name);
  (await createKeyRing({ dir: at('ring'), ...ports })).close();
  await mkdir(at('store'));
  const configPath = at('tidemark.toml');
  const lines = [
    'version = 1',
    `[store]\nurl = "file://${at('store')}"`,
    `[state]\ndir = "${at('state')}"`,
    `[keys]\nring = "${at('ring')}"`,
  ];
  await writeFile(configPath, lines.join('\n'));
  using workspace = await Workspace.open({ configPath });
  const { store, keys } = workspace;
  const logKey = await keys.logKey('one');
  await createInstance({ ...ports, store, iid: 'one', name: 'one', createdMs: 1, logKey });
  await workspace.sync(signal);
  await rename(at('store'), at('away'));
  let [out, err] = ['', ''];
  vi.spyOn(process.stdout, 'write').mockImplementation((text) => ((out += String(text)), true));
  vi.spyOn(process.stderr, 'write').mockImplementation((text) => ((err += String(text)), true));
  await showStatus({}, { configPath, printer: new Printer('text'), signal });
  expect(process.exitCode).toBe(16);
  expect(err).toMatch(/^warning: the store does not hold one, .+ as it was last seen\n$/);
  expect(out).toMatch(/^archiver: not running\nINSTANCE +STATE .+\none +not captured /);
});
