import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { readSecret, secretSource } from '@tidemark/workspace';
import { describe, expect, it } from 'vitest';
import { TempDir } from '../../support/temp-dir.ts';

describe('a password that systemd gives', () => {
  it('is a credential of the service, and no file outside its folder', async () => {
    await using temp = await TempDir.create('tidemark-secret-');
    await writeFile(join(temp.path, 'secret_orders.pass'), 'of systemd\n', { mode: 0o400 });
    const before = process.env['CREDENTIALS_DIRECTORY'];
    try {
      process.env['CREDENTIALS_DIRECTORY'] = temp.path;
      const source = secretSource('credential:secret_orders.pass', '/etc');
      expect(source).toBe('credential:secret_orders.pass');
      expect(await readSecret(source)).toBe('of systemd');
      for (const name of ['', '..', '../secret_orders.pass', '/etc/passwd', 'none']) {
        await expect(readSecret(`credential:${name}`)).rejects.toMatchObject({ code: 'TM_CONFIG' });
      }
      Reflect.deleteProperty(process.env, 'CREDENTIALS_DIRECTORY');
      await expect(readSecret(source)).rejects.toMatchObject({ code: 'TM_CONFIG' });
    } finally {
      if (before !== undefined) process.env['CREDENTIALS_DIRECTORY'] = before;
    }
  });
});
