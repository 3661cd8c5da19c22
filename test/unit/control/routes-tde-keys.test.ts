import type { Tde } from '@tidemark/catalog';
import { KeyError } from '@tidemark/core';
import type { KeyFacts, KeyProviders } from '@tidemark/crypto';
import { expect, it } from 'vitest';
import { keyFor } from '../../../services/control/src/api/routes/tde.ts';
import type { TdeInstance } from '../../../services/control/src/queries/open-tde.ts';

const arnOf = (id: string): string => `arn:aws:kms:eu-central-1:123456789012:key/${id}`;

const factsOf = (id: string, aliases: readonly string[] = []): KeyFacts => ({
  ...{ provider: 'aws-kms', keyId: arnOf(id), id, aliases, creator: 'customer', description: '' },
  ...{ state: 'enabled', usage: 'ENCRYPT_DECRYPT', spec: 'SYMMETRIC_DEFAULT', origin: 'AWS_KMS' },
  ...{ createdMs: null, deleteMs: null, materialExpireMs: null, rotation: null },
});

/** A key service that notes which keys it is asked about: `foreign` is another team's. */
function service(): { readonly keys: KeyProviders; readonly asked: string[] } {
  const asked: string[] = [];
  const all = ['current', 'former', 'listed', 'default', 'foreign'].map((id) => factsOf(id));
  const admin = {
    describe: (name: string) => {
      asked.push(name);
      const found = all.find(({ keyId, id }) => keyId === name || id === name);
      if (found === undefined) return Promise.reject(new KeyError('TM_KEY_MISSING', 'no such key'));
      return Promise.resolve(found);
    },
    listUsable: () => Promise.resolve([factsOf('listed', ['alias/orders'])]),
  };
  const ring = { listUsable: () => Promise.resolve([]) };
  const keys = {
    name: 'aws-kms',
    adminOf: (name: string) => Promise.resolve(name === 'ring' ? ring : admin),
    defaultKey: () => Promise.resolve({ provider: 'aws-kms', keyId: arnOf('default') }),
  } as unknown as KeyProviders;
  return { keys, asked };
}

const opened = {
  tde: { iid: 'orders', key: { provider: 'aws-kms', keyId: arnOf('current') } } as Tde,
  log: { state: { keys: [{ provider: 'aws-kms', keyId: arnOf('former') }] } },
} as unknown as TdeInstance;

it.each([
  ['current', 'current'],
  [arnOf('former'), 'former'],
  ['default', 'default'],
  ['alias/orders', 'listed'],
  ['listed', 'listed'],
])('a reader is told of the key %s, which the instance or the list has', async (name, id) => {
  const { keys, asked } = service();
  expect(await keyFor(name, opened, keys, ['read'])).toMatchObject({ keyId: arnOf(id) });
  expect(asked).toEqual([arnOf(id)]);
});

it.each(['foreign', arnOf('foreign'), 'alias/payroll', 'no-such-key'])(
  'the key service is not asked about %s by a reader, who cannot tell whether it is there',
  async (name) => {
    const { keys, asked } = service();
    const fault = { code: 'TM_NOT_FOUND', message: expect.not.stringContaining(name) as string };
    for (const scopes of [['read'], ['backup', 'restore', 'key:read']] as const) {
      await expect(keyFor(name, opened, keys, scopes)).rejects.toMatchObject(fault);
    }
    expect(asked).toEqual([]);
  },
);

it('an administrator may ask about any key', async () => {
  const { keys, asked } = service();
  const found = await keyFor(arnOf('foreign'), opened, keys, ['admin']);
  expect(found).toMatchObject({ keyId: arnOf('foreign'), inUse: false });
  await expect(keyFor('no-such-key', opened, keys, ['admin'])).rejects.toMatchObject({
    code: 'TM_NOT_FOUND',
  });
  expect(asked).toContain('no-such-key');
});
