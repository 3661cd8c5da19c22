import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readSecret, secretSource } from '../../../services/cli/src/config/secret.ts';
import { keepSecret } from '../../../services/cli/src/commands/keep-secret.ts';
import { TempDir } from '../../support/temp-dir.ts';

const NAME = 'TIDEMARK_TEST_SECRET';

describe('where a password comes from', () => {
  it('makes paths absolute and leaves what is no path', () => {
    expect(secretSource('a.pass', '/etc/tidemark')).toBe('/etc/tidemark/a.pass');
    expect(secretSource('/run/a.pass', '/etc')).toBe('/run/a.pass');
    expect(secretSource('env:A', '/etc')).toBe('env:A');
    expect(secretSource('-', '/etc')).toBe('-');
  });

  it('is the first line of a file', async () => {
    await using temp = await TempDir.create('tidemark-secret-');
    const path = join(temp.path, 'pass');
    await writeFile(path, 'with space \r\nmore\n');
    expect(await readSecret(path)).toBe('with space ');
    await expect(readSecret(join(temp.path, 'none'))).rejects.toMatchObject({
      code: 'TM_CONFIG',
      message: expect.stringContaining(join(temp.path, 'none')) as unknown,
    });
  });

  it('is an environment variable, which has to hold one', async () => {
    process.env[NAME] = 'of the environment';
    expect(await readSecret(`env:${NAME}`)).toBe('of the environment');
    process.env[NAME] = '';
    await expect(readSecret(`env:${NAME}`)).rejects.toMatchObject({ code: 'TM_CONFIG' });
    Reflect.deleteProperty(process.env, NAME);
    await expect(readSecret(`env:${NAME}`)).rejects.toMatchObject({ code: 'TM_CONFIG' });
  });

  it('is not asked for where there is no terminal', async () => {
    await using temp = await TempDir.create('tidemark-secret-');
    await expect(readSecret('-')).rejects.toMatchObject({ code: 'TM_CONFIG' });
    await expect(keepSecret('-', temp.path, 'one')).rejects.toMatchObject({ code: 'TM_CONFIG' });
  });
});
