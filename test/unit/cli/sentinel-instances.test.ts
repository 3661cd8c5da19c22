import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { sentinelTableOf } from '../../../services/cli/src/commands/sentinel-flags.ts';
import { configuredAddress } from '../../../services/workspace/src/original-node.ts';
import { instanceTarget, type Config } from '../../../services/workspace/src/config/load.ts';
import {
  describeEntry,
  entryAddress,
  locateNode,
} from '../../../services/workspace/src/config/node-place.ts';
import type { InstanceEntry } from '../../../services/workspace/src/config/schema.ts';
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
  await writeFile(join(temp.path, 'node.pass'), 'node-secret\n', { mode: 0o600 });
  await writeFile(join(temp.path, 'sentinel.pass'), 'sentinel-secret\n', { mode: 0o600 });
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

  it('is at an unknown place while no Sentinel tells, and never at that of a Sentinel', async () => {
    const place = (changes: Partial<InstanceEntry>) => {
      const config = { path, instances: [{ ...SET, ...changes }] } as unknown as Config;
      return configuredAddress('orders', config);
    };
    expect(await place({})).toBe('unknown');
    expect(await place({ password_file: 'none' })).toBe('unknown');
    const named = await place({ url: 'redis://127.0.0.1:3', password_file: 'none' });
    expect(named).toMatchObject({ host: '127.0.0.1', port: 3 });
    expect(await place({ id: 'other' })).toBeNull();
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

  it('is shown without its user', () => {
    expect(describeEntry(SET.url)).toBe('redis+sentinel://127.0.0.1:1,127.0.0.1:2/orders');
    expect(describeEntry('rediss+sentinel://u@[::1]/m')).toBe('rediss+sentinel://[::1]:26379/m');
    expect(describeEntry('redis://u%3Apass@h')).toBe('redis://h:6379');
    expect(describeEntry('unix:///run/a.sock')).toBe('unix:///run/a.sock');
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
