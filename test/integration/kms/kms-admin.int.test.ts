import { systemClock, systemRandom } from '@tidemark/system';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import type { KeyAdmin } from '@tidemark/crypto';
import { openKmsWrapper } from '../../../libs/crypto/src/kms/kms-wrapper.ts';
import { editJson, kmsError } from '../../support/fault-proxy-faults.ts';
import { FaultProxy } from '../../support/fault-proxy.ts';
import { QUICK_KMS } from '../../support/kms-keys.ts';
import { describeWithKms, KmsServer, refuse } from '../../support/kms-server.ts';

const YES = { state: 1, failed: [] };

describeWithKms('keys of a key service', () => {
  let server: KmsServer;
  let proxy: FaultProxy;
  let admin: KeyAdmin;
  let key = '';

  beforeAll(async () => {
    server = await KmsServer.start();
    proxy = await FaultProxy.start(server.endpoint);
    admin = openKmsWrapper({
      connection: { region: 'us-east-1', endpoint: proxy.url },
      kmsKeyId: null,
      clock: systemClock,
      random: systemRandom,
      limits: QUICK_KMS,
    }).admin;
    key = await server.createKey('the first');
  });
  afterAll(async () => {
    await proxy[Symbol.asyncDispose]();
    await server[Symbol.asyncDispose]();
  });
  beforeEach(() => {
    proxy.rules.length = 0;
    proxy.requests.length = 0;
  });

  const authorized = (keyId = key): ReturnType<KeyAdmin['authorization']> =>
    admin.authorization({ provider: 'aws-kms', keyId }, 'orders');
  const countKeys = async (): Promise<number> =>
    ((await server.ask('ListKeys', {})) as { readonly Keys: unknown[] }).Keys.length;

  it('are described by id, ARN and alias, with what an operator asks for', async () => {
    await server.ask('CreateAlias', { AliasName: 'alias/the-first', TargetKeyId: key });
    for (const keyId of [key, key.split('/')[1] ?? '', 'alias/the-first']) {
      expect(await admin.describe(keyId)).toMatchObject({
        provider: 'aws-kms',
        keyId: key,
        aliases: ['alias/the-first'],
        creator: 'customer',
        description: 'the first',
        state: 'enabled',
        usage: 'ENCRYPT_DECRYPT',
        spec: 'SYMMETRIC_DEFAULT',
        origin: 'AWS_KMS',
        deleteMs: null,
        rotation: { enabled: false },
      });
    }
    await expect(admin.describe('alias/none')).rejects.toMatchObject({ code: 'TM_KEY_MISSING' });
    const notOurs = kmsError('NotFoundException'); // what a key of another account is answered with
    proxy.rules.push({ match: { target: /ListAliases/ }, fault: notOurs });
    expect(await admin.describe(key)).toMatchObject({ aliases: [], state: 'enabled' });
    refuse(proxy, 'ListAliases', 'GetKeyRotationStatus');
    expect(await admin.describe(key)).toMatchObject({ aliases: [], rotation: null });
  });

  it('are listed only where they can wrap data keys', async () => {
    const usable = await server.createKey();
    const [disabled, deleted] = [await server.createKey(), await server.createKey()];
    await server.disableKey(disabled);
    await server.ask('ScheduleKeyDeletion', {
      KeyId: deleted.split('/')[1],
      PendingWindowInDays: 7,
    });
    await server.ask('CreateKey', { KeyUsage: 'GENERATE_VERIFY_MAC', KeySpec: 'HMAC_256' });
    const listed = (await admin.listUsable()).map(({ keyId }) => keyId);
    expect(listed).toContain(key);
    expect(listed).toContain(usable);
    expect(listed).not.toContain(disabled);
    expect(listed).not.toContain(deleted);
    expect(await admin.describe(deleted)).toMatchObject({ state: 'pending-deletion' });
    expect((await admin.describe(deleted)).deleteMs).toBeGreaterThan(Date.now());
    expect((await admin.listUsable()).every(({ spec }) => spec === 'SYMMETRIC_DEFAULT')).toBe(true);
  });

  it('are listed from every page, and without those that may not be looked at', async () => {
    const other = await server.createKey();
    const pageOf = (arn: string, more: object): ReturnType<typeof editJson> =>
      editJson({ Keys: [{ KeyId: arn.split('/')[1], KeyArn: arn }], ...more });
    proxy.rules.push(
      {
        match: { target: /ListKeys/, nth: 1 },
        fault: pageOf(key, { Truncated: true, NextMarker: 'm' }),
      },
      { match: { target: /ListKeys/ }, fault: pageOf(other, { Truncated: false }) },
    );
    expect((await admin.listUsable()).map(({ keyId }) => keyId)).toEqual([key, other]);
    refuse(proxy, 'DescribeKey');
    expect(await admin.listUsable()).toEqual([]);
  });

  it('are made once for an instance: key, yearly rotation, alias', async () => {
    const made = await admin.createFor('orders');
    const before = await countKeys();
    expect(await admin.createFor('orders')).toEqual(made);
    expect(await countKeys()).toBe(before);
    expect(await admin.describe(made.keyId)).toMatchObject({
      aliases: ['alias/tidemark/orders'],
      rotation: { enabled: true },
    });
  });

  it.each(['CreateKey', 'EnableKeyRotation', 'CreateAlias'])(
    'are made once even when a call ended at %s, before or after it was done',
    async (action) => {
      for (const apply of [false, true]) {
        const instance = `${action.toLowerCase()}-${String(apply)}`;
        const before = await countKeys();
        const fault = kmsError('KMSInternalException', { status: 500, apply });
        const rule = { match: { target: new RegExp(`\\.${action}$`) }, fault, times: Infinity };
        proxy.rules.push(rule);
        // The answer to an alias that was made says that it is there.
        await admin.createFor(instance).catch((cause: unknown) => {
          expect(cause).toMatchObject({ code: 'TM_KEY_SERVICE' });
        });
        expect(proxy.struck(rule)).toBeGreaterThan(0);
        proxy.rules.length = 0;
        const { keyId } = await admin.createFor(instance);
        expect(await countKeys()).toBe(before + 1);
        expect((await admin.describe(keyId)).aliases).toEqual([`alias/tidemark/${instance}`]);
      }
    },
  );

  it('are not made anew where the automatic one cannot be used', async () => {
    const { keyId } = await admin.createFor('closed');
    await server.disableKey(keyId);
    await expect(admin.createFor('closed')).rejects.toMatchObject({
      code: 'TM_KEY_DISABLED',
      context: { keyId },
    });
  });

  it('are authorised by a data key made and opened, or by DryRun where the service knows it', async () => {
    expect(await authorized()).toMatchObject({ ...YES, by: 'canary' });
    proxy.rules.push({
      match: { target: /Decrypt/ },
      fault: kmsError('DryRunOperationException', { status: 412 }),
    });
    expect(await authorized()).toMatchObject({ ...YES, by: 'dry-run' });
    refuse(proxy, 'DescribeKey');
    expect(await authorized()).toMatchObject(YES);
  });

  it.each(['GenerateDataKey', 'Decrypt'])('are not authorised without kms:%s', async (action) => {
    refuse(proxy, action);
    const answer = await authorized();
    expect(answer.state).toBe(0);
    expect(answer.failed.map((each) => each.action)).toEqual([`kms:${action}`]);
  });

  it('are not authorised when disabled or missing, and unknown when the service is away', async () => {
    const closed = await server.createKey();
    await server.disableKey(closed);
    expect(await authorized(closed)).toMatchObject({
      state: 0,
      failed: [{ action: 'kms:DescribeKey', reason: 'the key is disabled' }],
    });
    expect((await authorized(closed.replace(/.{12}$/, '0'.repeat(12)))).state).toBe(0);
    proxy.down = true;
    expect(await authorized()).toMatchObject({ state: 2 });
    proxy.down = false;
  });
});
