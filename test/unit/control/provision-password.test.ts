import { mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemRandom } from '@tidemark/system';
import { describe, expect, it } from 'vitest';
import { checkPassword } from '../../../services/control/src/provision/password-rules.ts';
import { SecretFolder } from '../../../services/control/src/provision/secrets.ts';

describe('the password of a new server', () => {
  it.each(['Abcdefg1', 'abcdefg1!', 'ABC123!@#$%^&*()_+-=', `Aa1${'x'.repeat(29)}`])(
    'may be %j',
    (password) => {
      expect(() => checkPassword(password)).not.toThrow();
    },
  );

  it.each([
    ['Abcde1!', 'length'],
    [`Aa1${'x'.repeat(30)}`, 'length'],
    ['', 'length'],
    ['abcdefgh', 'classes'],
    ['abcdefg1', 'classes'],
    ['ABCDEFG!', 'classes'],
    ['Abcdefg1 ', 'characters'],
    ['Abcdefg1"', 'characters'],
    ['Abcdefg1\n', 'characters'],
    ['Äbcdefg1', 'characters'],
  ])('is not %j: %s', (password, rule) => {
    let thrown: unknown;
    try {
      checkPassword(password);
    } catch (cause) {
      thrown = cause;
    }
    expect(thrown).toMatchObject({ code: 'TM_PASSWORD', context: { rule } });
    if (password !== '') expect(JSON.stringify(thrown)).not.toContain(JSON.stringify(password));
  });
});

describe('the folder of secrets', () => {
  it.each([
    '',
    '.',
    '..',
    '../ring',
    'a/b',
    '/etc/passwd',
    'a..b',
    '.hidden',
    'a\0b',
    'x'.repeat(129),
  ])('has no file %j', (name) => {
    expect(() => new SecretFolder({ secretsDir: '/etc/tidemark/secrets' }).path(name)).toThrow(
      expect.objectContaining({ code: 'TM_USAGE' }),
    );
  });

  it('keeps a password for this user alone, under a name that tells nothing', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'tidemark-test-'));
    try {
      const secrets = new SecretFolder({ secretsDir: join(dir, 'secrets') });
      const name = await secrets.keep('Secret-1', 'clone', systemRandom);
      expect((await stat(secrets.path(name))).mode & 0o777).toBe(0o600);
      expect((await stat(secrets.dir)).mode & 0o777).toBe(0o700);
      expect(await secrets.read(name)).toBe('Secret-1');
      // Whoever asks first makes the key; one that a kill has left empty is made anew.
      const askAll = async (): Promise<string[]> =>
        Promise.all([1, 2, 3].map(async () => (await digestKeyOf(dir)).toString('hex')));
      await rm(join(secrets.dir, '.key'));
      expect(new Set(await askAll()).size).toBe(1);
      await writeFile(join(secrets.dir, '.key'), '');
      await digestKeyOf(dir);
      expect(new Set(await askAll()).size).toBe(1);
      expect((await stat(join(secrets.dir, '.key'))).size).toBe(32);
      expect((await readdir(secrets.dir)).sort()).toEqual(['.key', name]);
      await secrets.forget(name);
      await expect(secrets.read(name)).rejects.toMatchObject({ code: 'TM_NOT_FOUND' });
    } finally {
      await rm(dir, { recursive: true });
    }
  });
});

async function digestKeyOf(dir: string): Promise<Buffer> {
  return new SecretFolder({ secretsDir: join(dir, 'secrets') }).digestKey(systemRandom);
}
