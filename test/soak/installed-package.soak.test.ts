import { execFile } from 'node:child_process';
import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { TempDir } from '../support/temp-dir.ts';

const run = promisify(execFile);
const root = fileURLToPath(new URL('../..', import.meta.url));

it('tidemark runs from installed packages, without the checkout', async () => {
  await using temp = await TempDir.create();
  const packs = join(temp.path, 'packs');
  const home = join(temp.path, 'home');
  await mkdir(packs);
  await mkdir(home);
  await run('npm', ['pack', '--workspaces', '--pack-destination', packs, '--loglevel=error'], {
    cwd: root,
  });
  const tarballs = (await readdir(packs)).filter((name) => !name.startsWith('tidemark-test-'));
  await writeFile(join(home, 'package.json'), '{"private":true}');
  const files = tarballs.map((name) => join(packs, name));
  await run('npm', ['install', '--no-audit', '--no-fund', '--loglevel=error', ...files], {
    cwd: home,
  });
  const { stdout } = await run('npx', ['tidemark', 'init', '--dir', 'conf', '-o', 'json'], {
    cwd: home,
  });
  expect(JSON.parse(stdout)).toMatchObject({ config: join(home, 'conf', 'tidemark.toml') });
  const help = await run('npx', ['tidemark', '--help'], { cwd: home });
  expect(help.stdout).toContain('restore');
});
