import { chmod, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { systemRandom } from '@tidemark/system';
import { createToken } from '../../../services/control/src/api/make-token.ts';
import { holds } from '../../../services/control/src/api/auth.ts';
import {
  addToken,
  listTokens,
  revokeToken,
  TokensFile,
} from '../../../services/control/src/api/tokens-file.ts';
import {
  digestOfToken,
  parseTokens,
  tokenLine,
} from '../../../services/control/src/api/tokens-text.ts';
import { TempDir } from '../../support/temp-dir.ts';

const DIGEST = digestOfToken('tidemark_x').toString('hex');
const logger = {
  warned: [] as string[],
  info: () => undefined,
  error: () => undefined,
  warn: (message: string) => void logger.warned.push(message),
  child: () => logger,
};

it('a line of the tokens file is read as it was written, key:read and times with colons included', () => {
  const text = `# who\nci:${DIGEST}:read,key:read:2027-01-31T10:11:12Z\ncert:${DIGEST}:key:read:never\n`;
  const { credentials, faults } = parseTokens(text);
  expect(faults).toEqual([]);
  expect(credentials.map(({ name, scopes, expiresMs }) => ({ name, scopes, expiresMs }))).toEqual([
    { name: 'ci', scopes: ['read', 'key:read'], expiresMs: Date.UTC(2027, 0, 31, 10, 11, 12) },
    { name: 'cert', scopes: ['key:read'], expiresMs: null },
  ]);
  expect(credentials.map(tokenLine).join('\n')).toBe(text.split('\n').slice(1, 3).join('\n'));
});

it.each([
  ['ci', 'no colons'],
  [`ci:${DIGEST}:read`, 'no expiry'],
  [`ci:${DIGEST.slice(2)}:read:never`, 'short digest'],
  [`ci:${DIGEST}:reed:never`, 'unknown scope'],
  [`ci:${DIGEST}:read:2027-01-31`, 'a day is no time'],
  [`ci:${DIGEST}:read:2027-13-31T00:00:00Z`, 'no such month'],
  [`a b:${DIGEST}:read:never`, 'a name with a space'],
  [`${'n'.repeat(65)}:${DIGEST}:read:never`, 'a long name'],
  [`:${DIGEST}:read:never`, 'no name'],
])('a line that is wrong lets nobody in, and the others hold: %s (%s)', (line) => {
  const { credentials, faults } = parseTokens(`${line}\nok:${DIGEST}:read:never`);
  expect(credentials.map(({ name }) => name)).toEqual(['ok']);
  expect(faults.map(({ line: at }) => at)).toEqual([1]);
});

it('the file keeps a digest, never the token, and is for its owner only', async () => {
  await using dir = await TempDir.create();
  const path = join(dir.path, 'tokens');
  const { token } = await createToken(path, 'ci', { scope: 'read', expiresMs: null }, systemRandom);
  const text = await readFile(path, 'utf8');
  expect(text).toBe(`ci:${digestOfToken(token).toString('hex')}:read:never\n`);
  expect((await stat(path)).mode & 0o777).toBe(0o600);
  await expect(
    createToken(path, 'ci', { scope: 'read', expiresMs: null }, systemRandom),
  ).rejects.toMatchObject({ code: 'TM_EXISTS' });
  await expect(
    createToken(path, 'cert', { scope: 'read', expiresMs: null }, systemRandom),
  ).rejects.toMatchObject({ code: 'TM_USAGE' });
  await expect(
    createToken(path, 'other', { scope: 'root', expiresMs: null }, systemRandom),
  ).rejects.toMatchObject({ code: 'TM_USAGE' });
});

it('commands that change the file at the same time lose no line', async () => {
  await using dir = await TempDir.create();
  const path = join(dir.path, 'tokens');
  const names = Array.from({ length: 12 }, (_, i) => `t${i}`);
  await Promise.all(
    names.map((name) => createToken(path, name, { scope: 'read', expiresMs: null }, systemRandom)),
  );
  const listed = (await listTokens(path)).credentials.map(({ name }) => name).sort();
  expect(listed).toEqual([...names].sort());
});

it('a running server sees a new and a revoked token at once', async () => {
  await using dir = await TempDir.create();
  const path = join(dir.path, 'tokens');
  const file = new TokensFile(path, logger);
  await expect(file.credentials()).rejects.toMatchObject({ code: 'TM_TOKENS' });
  await createToken(path, 'a', { scope: 'read', expiresMs: null }, systemRandom);
  expect((await file.credentials()).map(({ name }) => name)).toEqual(['a']);
  await createToken(path, 'b', { scope: 'read', expiresMs: null }, systemRandom);
  expect((await file.credentials()).map(({ name }) => name)).toEqual(['a', 'b']);
  await revokeToken(path, 'a');
  expect((await file.credentials()).map(({ name }) => name)).toEqual(['b']);
  await expect(revokeToken(path, 'a')).rejects.toMatchObject({ code: 'TM_NOT_FOUND' });
});

it('a certificate is revoked by its fingerprint, and never all of them by one word', async () => {
  await using dir = await TempDir.create();
  const path = join(dir.path, 'tokens');
  const [one, two] = ['aa', 'bb'].map((byte) => byte.repeat(32)) as [string, string];
  const line = (hex: string): Parameters<typeof addToken>[1] => ({
    ...{ name: 'cert', digest: Buffer.from(hex, 'hex'), scopes: ['read'], expiresMs: null },
  });
  for (const hex of [one, two]) await addToken(path, line(hex));
  await expect(addToken(path, line(one))).rejects.toMatchObject({
    ...{ code: 'TM_EXISTS', hint: `tidemark token revoke ${one}` },
  });
  await expect(revokeToken(path, 'cert')).rejects.toMatchObject({ code: 'TM_NOT_FOUND' });
  await revokeToken(path, one.toUpperCase());
  const left = (await listTokens(path)).credentials;
  expect(left.map(({ digest }) => digest.toString('hex'))).toEqual([two]);
});

it('a tokens file that others may read lets nobody in', async () => {
  await using dir = await TempDir.create();
  const path = join(dir.path, 'tokens');
  const file = new TokensFile(path, logger);
  await createToken(path, 'a', { scope: 'read', expiresMs: null }, systemRandom);
  await chmod(path, 0o640);
  await expect(file.credentials()).rejects.toMatchObject({ code: 'TM_TOKENS' });
  await chmod(path, 0o600);
  expect(await file.credentials()).toHaveLength(1);
  await writeFile(path, Buffer.alloc(257 * 1024, 10));
  await expect(file.credentials()).rejects.toMatchObject({ code: 'TM_TOKENS' });
});

it('admin holds read, backup and restore, these hold read, and key:read is held by itself only', () => {
  expect(
    (['read', 'backup', 'restore', 'key:read'] as const).filter((s) => holds(['admin'], s)),
  ).toEqual([...['read', 'backup', 'restore']]);
  expect(holds(['backup'], 'read')).toBe(true);
  expect(holds(['backup'], 'restore')).toBe(false);
  expect(holds(['restore'], 'backup')).toBe(false);
  expect(holds(['key:read'], 'read')).toBe(false);
  expect(holds(['read', 'backup', 'restore', 'key:read'], 'admin')).toBe(false);
});
