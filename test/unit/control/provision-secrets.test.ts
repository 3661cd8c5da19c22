import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemRandom } from '@tidemark/system';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { runHook } from '../../../services/control/src/provision/run-hook.ts';
import { SecretFolder } from '../../../services/control/src/provision/secrets.ts';

let dir: string;
let secrets: SecretFolder;

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'tidemark-secrets-'));
  secrets = new SecretFolder({ secretsDir: join(dir, 'secrets') });
  await mkdir(secrets.dir, { mode: 0o700 });
});

afterEach(() => rm(dir, { recursive: true, force: true }));

const put = (name: string, mode = 0o600): Promise<void> =>
  writeFile(join(secrets.dir, name), 'Secret-1\n', { mode });

describe('the folder of secrets', () => {
  it('says how it is put elsewhere, where it cannot be made', async () => {
    await put('no-folder');
    const below = new SecretFolder({ secretsDir: join(secrets.path('no-folder'), 'secrets') });
    await expect(below.digestKey(systemRandom)).rejects.toMatchObject({
      code: 'TM_CONFIG',
      hint: expect.stringContaining('secrets_dir') as unknown,
    });
  });

  it.each(['recycle-orders.pass', 'clone-0123.pass', 'loader-job-1.pass', 'restore-job-1.pass'])(
    'gives %s, which Tidemark wrote for itself, to no request',
    async (name) => {
      await put(name);
      await expect(secrets.requireNamed(name)).rejects.toMatchObject({ code: 'TM_TARGET_DENIED' });
      expect(await secrets.read(name)).toBe('Secret-1');
    },
  );

  it('gives a file of the owner', async () => {
    await put('target.pass');
    expect(await secrets.requireNamed('target.pass')).toBe(join(secrets.dir, 'target.pass'));
  });

  it.each([0o644, 0o640, 0o660])('reads no file that others may read (%o)', async (mode) => {
    await put('open.pass');
    await chmod(join(secrets.dir, 'open.pass'), mode);
    await expect(secrets.read('open.pass')).rejects.toMatchObject({
      ...{ code: 'TM_CONFIG', context: { mode: `0${mode.toString(8)}` } },
    });
  });
});

it('a hook is given nothing of the environment but where programs, home and language are', async () => {
  const program = join(dir, 'hook');
  await writeFile(program, '#!/bin/sh\nprintf "[\\"%s\\", \\"%s\\"]" "$PATH" "$HOOK_SECRET"\n', {
    mode: 0o755,
  });
  process.env['HOOK_SECRET'] = 'Secret-1';
  try {
    const { signal } = new AbortController();
    const said = await runHook({ program, document: {}, timeoutMs: 20_000, signal });
    expect(said).toEqual([process.env['PATH'], '']);
  } finally {
    delete process.env['HOOK_SECRET'];
  }
});
