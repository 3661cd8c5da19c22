import { chmod, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, expect, it, vi } from 'vitest';
import { restoreIntoScratch } from '../../../../services/restorer/src/scratch/scratch-server.ts';
import type { RestoreEnvironment } from '../../../../services/restorer/src/run/environment.ts';
import { TempDir } from '../../../support/temp-dir.ts';

afterEach(() => vi.unstubAllEnvs());

it('says what a scratch server said that did not start, and leaves no folder', async () => {
  await using temp = await TempDir.create();
  const program = join(temp.path, 'redis-server');
  await writeFile(program, '#!/bin/sh\necho "Bad directive \'enable-debug-command\'"\nexit 1\n');
  await chmod(program, 0o755);
  vi.stubEnv('PATH', `${temp.path}:${process.env['PATH'] ?? ''}`);
  vi.stubEnv('TMPDIR', temp.path);
  // Nothing of it is asked for before the server runs.
  const environment = {} as RestoreEnvironment;
  const backup = { kind: 'backup', backup: 'bk' } as const;
  await expect(
    restoreIntoScratch({ instance: 'a', point: backup }, environment),
  ).rejects.toMatchObject({
    code: 'TM_SERVER_START',
    hint: "redis-server of the PATH must be Redis 7.0, Valkey 7.2 or newer; it said: Bad directive 'enable-debug-command'",
  });
  expect(await readdir(temp.path)).toEqual(['redis-server']);
});
