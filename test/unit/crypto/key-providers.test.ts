import { join } from 'node:path';
import { KeyDirectory, createKeyRing, openKeys, type KeyProviders } from '@tidemark/crypto';
import { systemClock, systemRandom } from '@tidemark/system';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { TempDir } from '../../support/temp-dir.ts';

const ARN = 'arn:aws:kms:eu-west-1:123456789012:key/1';
const ORDERS = { instance: 'orders', purpose: 'snapshot' } as const;
const ports = { clock: systemClock, random: systemRandom };

let temp: TempDir;
let ringDir: string;
beforeEach(async () => {
  temp = await TempDir.create();
  ringDir = join(temp.path, 'ring');
  (await createKeyRing({ dir: ringDir, ...ports })).close();
});
afterEach(() => temp[Symbol.asyncDispose]());

describe('openKeys() with a ring', () => {
  const open = (directory?: KeyDirectory): Promise<KeyProviders> =>
    openKeys({ provider: 'ring', ringDir }, { ...ports, ...(directory && { directory }) });

  it('wraps with the ring, and opens what another opening of it has wrapped', async () => {
    const { dataKey, wrapped } = await (await open()).generateDataKey(ORDERS);
    const keys = await open();
    expect(await keys.defaultKey()).toEqual({ provider: 'ring', keyId: wrapped.keyId });
    expect((await keys.unwrapDataKey(wrapped, wrapped.context)).key).toEqual(dataKey.key);
    const again = await keys.rewrapDataKey(wrapped, wrapped.context);
    expect((await keys.unwrapDataKey(again, wrapped.context)).key).toEqual(dataKey.key);
  });

  it('never wraps with the ring where the log of the instance names another key', async () => {
    const directory = new KeyDirectory();
    const keys = await open(directory);
    const other = { provider: 'aws-kms', keyId: ARN };
    directory.set('orders', { wrapWith: other, allowed: [] });
    await expect(keys.generateDataKey(ORDERS)).rejects.toMatchObject({
      ...{ code: 'TM_KEY_MISSING', exitCode: 12, context: { provider: 'aws-kms' } },
      hint: expect.stringContaining('kms_region') as unknown,
    });
    directory.set('orders', { wrapWith: { provider: 'ring', keyId: 'another' }, allowed: [] });
    await expect(keys.generateDataKey(ORDERS)).rejects.toMatchObject({ code: 'TM_KEY_MISSING' });
  });

  it('wraps nothing where nobody knows the key of the instance, and opens what there is', async () => {
    const directory = new KeyDirectory();
    const keys = await open(directory);
    const { wrapped, dataKey } = await keys.generateDataKey(ORDERS);
    directory.set('orders', { wrapWith: null, allowed: [], keyUnknown: true });
    const refused = { code: 'TM_LOG_AUTH', exitCode: 14, context: { iid: 'orders' } };
    await expect(keys.generateDataKey(ORDERS)).rejects.toMatchObject(refused);
    await expect(keys.wrappingKeyOf('orders')).rejects.toMatchObject(refused);
    await expect(keys.rewrapDataKey(wrapped, wrapped.context)).rejects.toMatchObject(refused);
    expect((await keys.unwrapDataKey(wrapped, wrapped.context)).key).toEqual(dataKey.key);
    await keys.generateDataKey({ ...ORDERS, instance: 'other' });
  });

  it('refuses a stored key that names a provider or key of its own choice', async () => {
    const keys = await open();
    const { wrapped } = await keys.generateDataKey(ORDERS);
    const chosen = { ...wrapped, provider: 'aws-kms', keyId: ARN };
    const refused = { code: 'TM_KEY_REFUSED', context: { provider: 'aws-kms', keyId: ARN } };
    await expect(keys.unwrapDataKey(chosen, wrapped.context)).rejects.toMatchObject(refused);
    await expect(keys.rewrapDataKey(chosen, wrapped.context)).rejects.toMatchObject(refused);
    await expect(
      keys.unwrapDataKey({ ...wrapped, keyId: 'another' }, wrapped.context),
    ).rejects.toMatchObject({ code: 'TM_KEY_MISSING' });
  });

  it('tells of its own key, and of no key service', async () => {
    const keys = await open();
    const key = await keys.defaultKey();
    const admin = await keys.adminOf('ring');
    expect(await admin.listUsable()).toMatchObject([{ ...key, state: 'enabled', origin: 'LOCAL' }]);
    expect(await admin.createFor('orders')).toEqual(key);
    expect(await admin.authorization(key, 'orders')).toMatchObject({ state: 1, by: 'canary' });
    const missing = { provider: 'ring', keyId: 'another' };
    expect(await admin.authorization(missing, 'orders')).toMatchObject({ state: 0 });
    await expect(keys.adminOf('aws-kms')).rejects.toMatchObject({ code: 'TM_KEY_MISSING' });
  });
});

describe('openKeys() with a key service', () => {
  it('gives log keys without asking it', async () => {
    const byRing = await openKeys({ provider: 'ring', ringDir }, ports);
    const endpoint = 'http://127.0.0.1:1'; // nobody is there
    const settings = { provider: 'aws-kms', ringDir, kmsKeyId: ARN, region: 'eu-west-1' } as const;
    const keys = await openKeys({ ...settings, endpoint }, ports);
    expect(await keys.logKey('orders')).toEqual(await byRing.logKey('orders'));
    expect(await keys.defaultKey()).toEqual({ provider: 'aws-kms', keyId: ARN });
  });
});
