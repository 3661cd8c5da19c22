import { describe, expect, it } from 'vitest';
import { newConfigText } from '../../../services/workspace/src/config/edit.ts';
import { parseConfig, rollAge } from '../../../services/workspace/src/config/load.ts';
import { storeSettings, storeTable } from '../../../services/workspace/src/config/store.ts';

const url = 's3://bucket/a/b';

describe('storeSettings()', () => {
  it('fills in what suits AWS where no endpoint is named', () => {
    expect(storeSettings({ url }, '/')).toEqual({
      ...{ kind: 's3', bucket: 'bucket', prefix: 'a/b', region: 'us-east-1', endpoint: null },
      ...{ forcePathStyle: false, storageClass: null, objectLockDays: 0 },
      ...{ partSize: 8 * 1024 * 1024, concurrency: 4, checksum: 'when_supported' },
    });
  });

  it('fills in what suits other services where one is', () => {
    const endpoint = 'https://s3.example.com';
    expect(storeSettings({ url: 's3://bucket', endpoint }, '/')).toMatchObject({
      ...{ prefix: '', endpoint, forcePathStyle: true, checksum: 'when_required' },
    });
  });

  it('takes every setting, as init writes them', () => {
    const flags = {
      ...{ endpoint: 'https://s3.example.com', region: 'eu-west-1', pathStyle: false },
      ...{ storageClass: 'STANDARD_IA', objectLockDays: '30' },
    };
    const store = storeTable('s3://bucket/p/', flags);
    const keys = { provider: 'ring', ring: '/r', kmsKeyId: null, region: null, endpoint: null };
    const text = newConfigText({
      store,
      rollMaxAge: '5s',
      stateDir: '/s',
      keys: { ...keys, provider: 'ring' },
    });
    expect(storeSettings(parseConfig(text, 'x').store, '/')).toMatchObject({
      ...{ bucket: 'bucket', prefix: 'p', endpoint: flags.endpoint, region: 'eu-west-1' },
      ...{ forcePathStyle: false, storageClass: 'STANDARD_IA', objectLockDays: 30 },
    });
  });

  it.each([
    's3://',
    's3://B/prefix',
    's3://bucket//x',
    's3://bucket/../x',
    's3://bucket/a b',
    's3://user:secret@bucket/x',
    'ftp://host/x',
  ])('refuses the address %s', (odd) => {
    expect(() => storeSettings({ url: odd }, '/')).toThrow(
      expect.objectContaining({ code: 'TM_STORE_URL' }) as Error,
    );
  });

  it.each([
    ['storage_class', { url, storage_class: 'GLACIER' }],
    ['storage_class', { url, storage_class: 'standard' }],
    ['object_lock_days', { url, object_lock_days: -1 }],
    ['part_size', { url, part_size: '1MiB' }],
    ['concurrency', { url, concurrency: 0 }],
    ['region', { url: 'file:///a', region: 'eu-west-1' }],
  ])('refuses a %s that cannot be', (name, table) => {
    expect(() => storeSettings(table, '/')).toThrow(
      expect.objectContaining({
        code: 'TM_CONFIG',
        message: expect.stringContaining(name) as unknown,
      }) as Error,
    );
  });

  it('rolls less often where requests are paid for', () => {
    expect(rollAge(storeSettings({ url }, '/'))).toBe('5s');
    expect(rollAge(storeSettings({ url: 'store' }, '/'))).toBe('1s');
  });
});
