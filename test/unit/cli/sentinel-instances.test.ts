import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { sentinelTableOf } from '../../../services/cli/src/commands/sentinel-flags.ts';
import { instanceTarget } from '../../../services/cli/src/config/load.ts';
import { entryAddress, locateNode } from '../../../services/cli/src/config/node-place.ts';
import type { InstanceEntry } from '../../../services/cli/src/config/schema.ts';
import { TempDir } from '../../support/temp-dir.ts';

const SET: InstanceEntry = {
  id: 'orders',
  url: 'redis+sentinel://capture@127.0.0.1:1,127.0.0.1:2/orders',
  source: 'psync',
};

let temp: TempDir;
let path: string;
beforeAll(async () => {
  temp = await TempDir.create();
  path = join(temp.path, 'tidemark.toml');
  await writeFile(join(temp.path, 'node.pass'), 'node-secret\n');
  await writeFile(join(temp.path, 'sentinel.pass'), 'sentinel-secret\n');
});
afterAll(() => temp[Symbol.asyncDispose]());

describe('an instance behind Sentinels', () => {
  it('has a locator, which names no password', async () => {
    const target = await instanceTarget(
      {
        ...SET,
        password_file: 'node.pass',
        sentinel_user: 'tidemark',
        sentinel_password_file: 'sentinel.pass',
      },
      path,
    );
    expect(target.address).toMatchObject({ username: 'capture', password: 'node-secret' });
    await using locator = target.locator?.();
    expect(locator?.name).toBe('orders of redis://127.0.0.1:1, redis://127.0.0.1:2');
    const error: unknown = await locateNode(target).catch((fault: unknown) => fault);
    expect(error).toMatchObject({ code: 'TM_SENTINEL_DOWN' });
    expect(JSON.stringify(error) + String(error)).not.toMatch(/secret/);
  });

  it('asks for certificates with rediss+sentinel, and for a password file that is there', async () => {
    const secure = { ...SET, url: 'rediss+sentinel://127.0.0.1/orders' };
    expect(entryAddress(secure.url)).toMatchObject({ port: 26379, secure: true });
    const target = await instanceTarget(secure, path);
    expect(target.address.tls).toBeDefined();
    target.address.tls?.[Symbol.dispose]();
    const missing = { ...SET, sentinel_password_file: 'none' };
    await expect(instanceTarget(missing, path)).rejects.toMatchObject({ code: 'TM_CONFIG' });
  });

  it.each([
    [{ ...SET, source: 'aof', aof_dir: 'd' }, 'needs source = "psync"'],
    [{ ...SET, url: 'redis://h', sentinel_user: 'u' }, 'sentinel_user of orders'],
    [{ ...SET, url: 'redis://h', sentinel_password_file: 'node.pass' }, 'sentinel_password_file'],
    [{ ...SET, url: 'redis://h', prefer_replica: true }, 'prefer_replica of orders'],
  ] as const)('is refused where settings do not fit: %o', async (entry, message) => {
    await expect(instanceTarget(entry, path)).rejects.toMatchObject({
      code: 'TM_CONFIG',
      message: expect.stringContaining(message) as unknown,
    });
  });

  it('is a node that stays without them', async () => {
    const target = await instanceTarget({ ...SET, url: 'redis://h', prefer_replica: false }, path);
    expect(target).not.toHaveProperty('locator');
    expect(await locateNode(target)).toEqual({ host: 'h', port: 6379 });
  });
});

describe('flags of a Sentinel set', () => {
  it('are written as settings, with absolute paths', () => {
    expect(sentinelTableOf({})).toEqual({});
    expect(
      sentinelTableOf({ sentinelUser: 'u', sentinelPassFile: 's.pass', preferReplica: true }),
    ).toEqual({
      sentinel_user: 'u',
      sentinel_password_file: join(process.cwd(), 's.pass'),
      prefer_replica: true,
    });
  });
});
