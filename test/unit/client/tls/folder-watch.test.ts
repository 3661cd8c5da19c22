import { mkdir, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { FolderWatch } from '../../../../libs/client/src/tls/folder-watch.ts';
import { TempDir } from '../../../support/temp-dir.ts';

const WAIT = { timeout: 15_000, interval: 10 };

describe('FolderWatch', () => {
  it('looks once when events have settled, and after each later change', async () => {
    await using temp = await TempDir.create();
    const path = join(temp.path, 'a.pem');
    await writeFile(path, '1');
    const look = vi.fn();
    using watch = new FolderWatch([path], { settleMs: 30, pollMs: 600_000 }, look);
    await watch.refresh();
    for (let i = 0; i < 20; i++) await writeFile(path, `${i}`);
    await vi.waitFor(() => expect(look).toHaveBeenCalled(), WAIT);
    const calls = look.mock.calls.length;
    expect(calls).toBeLessThan(20);
    await writeFile(`${path}.new`, 'renamed over it');
    await rename(`${path}.new`, path);
    await vi.waitFor(() => expect(look.mock.calls.length).toBeGreaterThan(calls), WAIT);
  });

  it('looks without any event too, and finds a folder that was not there', async () => {
    await using temp = await TempDir.create();
    const folder = join(temp.path, 'later');
    const look = vi.fn();
    using watch = new FolderWatch([join(folder, 'a.pem')], { settleMs: 1, pollMs: 50 }, look);
    await watch.refresh();
    await vi.waitFor(() => expect(look.mock.calls.length).toBeGreaterThan(1), WAIT);
    await mkdir(folder);
    await writeFile(join(folder, 'a.pem'), '1');
    const calls = look.mock.calls.length;
    await vi.waitFor(() => expect(look.mock.calls.length).toBeGreaterThan(calls + 1), WAIT);
  });

  it('is silent once it is disposed of', async () => {
    await using temp = await TempDir.create();
    const path = join(temp.path, 'a.pem');
    await writeFile(path, '1');
    const look = vi.fn();
    const watch = new FolderWatch([path], { settleMs: 200, pollMs: 600_000 }, look);
    await watch.refresh();
    await writeFile(path, '2');
    watch[Symbol.dispose]();
    await new Promise((resolve) => setTimeout(resolve, 400));
    expect(look).not.toHaveBeenCalled();
  });
});
