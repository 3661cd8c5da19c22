import { join } from 'node:path';
import { inspect } from 'node:util';
import type { KeyDirectory, KeyProviders, WrappedDataKey } from '@tidemark/crypto';
import { createKeyRing, KeyDirectory as Directory } from '@tidemark/crypto';
import { systemClock, systemRandom } from '@tidemark/system';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { editJson, kmsError, type Fault } from '../../support/fault-proxy-faults.ts';
import { FaultProxy } from '../../support/fault-proxy.ts';
import { openTestKeys } from '../../support/kms-keys.ts';
import { describeWithKms, KmsServer, refuse, refuseOpening } from '../../support/kms-server.ts';
import { TempDir } from '../../support/temp-dir.ts';

const ORDERS = { instance: 'orders', purpose: 'segments' } as const;

describeWithKms('data keys of a key service', () => {
  let server: KmsServer;
  let proxy: FaultProxy;
  let temp: TempDir;
  let [first, second] = ['', ''];

  beforeAll(async () => {
    server = await KmsServer.start();
    proxy = await FaultProxy.start(server.endpoint);
    temp = await TempDir.create('tidemark-kms-');
    const ring = { dir: ringDir(), clock: systemClock, random: systemRandom };
    (await createKeyRing(ring)).close();
    [first, second] = [await server.createKey(), await server.createKey()];
  });
  afterAll(async () => {
    await proxy[Symbol.asyncDispose]();
    await server[Symbol.asyncDispose]();
    await temp[Symbol.asyncDispose]();
  });
  beforeEach(() => {
    proxy.rules.length = 0;
    proxy.requests.length = 0;
  });

  const ringDir = (): string => join(temp.path, 'ring');
  const open = (kmsKeyId = first, directory?: KeyDirectory): Promise<KeyProviders> =>
    openTestKeys(server.settings(ringDir(), kmsKeyId, proxy.url), {
      ...(directory === undefined ? {} : { directory }),
    });
  const strike = (target: RegExp, fault: Fault, times = Infinity): void => {
    proxy.rules.push({ match: { target }, fault, times });
  };

  it('open to what was made, with the key of the settings, by id, ARN or alias', async () => {
    await server.ask('CreateAlias', { AliasName: 'alias/mine', TargetKeyId: first });
    const id = first.split('/')[1] ?? '';
    for (const named of [first, id, 'alias/mine']) {
      const keys = await open(named);
      const { dataKey, wrapped } = await keys.generateDataKey(ORDERS);
      expect(wrapped).toMatchObject({ provider: 'aws-kms', keyId: first, keyVersion: 0 });
      expect(wrapped.context).toEqual({ ...ORDERS, dekId: dataKey.id });
      expect(dataKey.key).toHaveLength(32);
      expect((await keys.unwrapDataKey(wrapped, wrapped.context)).key).toEqual(dataKey.key);
    }
  });

  it('are bound to instance, purpose and id by the key service itself', async () => {
    const keys = await open();
    const { wrapped } = await keys.generateDataKey(ORDERS);
    for (const change of [
      { instance: 'others' },
      { purpose: 'snapshot' as const },
      { dekId: '0'.repeat(32) },
    ]) {
      const context = { ...wrapped.context, ...change };
      const wrong = { code: 'TM_KEY_WRONG' };
      await expect(keys.unwrapDataKey(wrapped, context)).rejects.toMatchObject(wrong);
      // As if somebody had changed what the stored key says of itself.
      const edited = { ...wrapped, context };
      await expect(keys.unwrapDataKey(edited, context)).rejects.toMatchObject(wrong);
      await expect(keys.rewrapDataKey(edited, context)).rejects.toMatchObject(wrong);
    }
  });

  it('are refused, unasked, when wrapped by a key that the instance does not allow', async () => {
    const { wrapped } = await (await open(second)).generateDataKey(ORDERS);
    const directory = new Directory();
    const keys = await open(first, directory);
    proxy.requests.length = 0;
    for (const each of [wrapped, { ...wrapped, provider: 'other' }]) {
      await expect(keys.unwrapDataKey(each, wrapped.context)).rejects.toMatchObject({
        code: 'TM_KEY_REFUSED',
        exitCode: 12,
        context: { instance: 'orders', provider: each.provider, keyId: second },
      });
    }
    expect(proxy.count({ target: /Decrypt/ })).toBe(0);

    const adopted = { provider: 'aws-kms', keyId: second };
    directory.set('orders', { wrapWith: null, allowed: [adopted] });
    expect((await keys.unwrapDataKey(wrapped, wrapped.context)).key).toHaveLength(32);
    const other = { ...wrapped, context: { ...wrapped.context, instance: 'others' } };
    await expect(keys.unwrapDataKey(other, other.context)).rejects.toMatchObject({
      code: 'TM_KEY_REFUSED',
    });
  });

  it('are wrapped by the key that the log of the instance names, others by that of the settings', async () => {
    const directory = new Directory();
    const keys = await open(first, directory);
    directory.set('orders', { wrapWith: { provider: 'aws-kms', keyId: second }, allowed: [] });
    directory.set('ringed', {
      wrapWith: { provider: 'ring', keyId: (await ringKey(keys)).keyId },
      allowed: [],
    });
    const keyOf = async (instance: string): Promise<string> => {
      const { wrapped, dataKey } = await keys.generateDataKey({ ...ORDERS, instance });
      expect((await keys.unwrapDataKey(wrapped, wrapped.context)).key).toEqual(dataKey.key);
      return wrapped.keyId;
    };
    expect(await keyOf('orders')).toBe(second);
    expect(await keyOf('others')).toBe(first);
    expect(await keyOf('ringed')).toMatch(/^[0-9a-f]{32}$/);
  });

  it('are first wrapped by a key when the log names it, and not when that fails', async () => {
    const said: string[] = [];
    let fails = true;
    const keys = await openTestKeys(server.settings(ringDir(), first, proxy.url), {
      adopt: (instance, { provider, keyId }) => {
        if (fails) return Promise.reject(new Error('the log is away'));
        said.push(`${instance} ${provider} ${keyId} ${proxy.count()}`);
        return Promise.resolve();
      },
    });
    await expect(keys.generateDataKey(ORDERS)).rejects.toThrow('the log is away');
    expect(proxy.count()).toBe(0);
    fails = false;
    await keys.generateDataKey(ORDERS);
    await keys.generateDataKey(ORDERS);
    expect(said).toEqual([`orders aws-kms ${first} 0`]);
    keys.directory.set('known', { wrapWith: { provider: 'aws-kms', keyId: second }, allowed: [] });
    await keys.generateDataKey({ ...ORDERS, instance: 'known' });
    expect(said).toHaveLength(1);
  });

  it('are wrapped anew without leaving the key service, and from the ring into it and back', async () => {
    const keys = await open();
    const { dataKey, wrapped } = await keys.generateDataKey(ORDERS);
    const { context } = wrapped;
    keys.directory.set('orders', {
      wrapWith: { provider: 'aws-kms', keyId: second },
      allowed: [{ provider: 'aws-kms', keyId: first }],
    });
    proxy.requests.length = 0;
    const moved = await keys.rewrapDataKey(wrapped, context);
    expect(moved).toMatchObject({ keyId: second, context });
    expect(proxy.requests.map(({ target }) => target)).toEqual(['TrentService.ReEncrypt']);

    const inRing = await keys.rewrapDataKey(moved, context, await ringKey(keys));
    expect(inRing).toMatchObject({ provider: 'ring', context });
    const back = await keys.rewrapDataKey(inRing, context, { provider: 'aws-kms', keyId: first });
    for (const each of [wrapped, moved, inRing, back]) {
      expect((await keys.unwrapDataKey(each, context)).key).toEqual(dataKey.key);
    }
  });

  it('are made by whoever may not open them, and log keys need no key service at all', async () => {
    refuseOpening(proxy);
    const keys = await open();
    const { wrapped } = await keys.generateDataKey(ORDERS);
    proxy.down = true;
    try {
      expect((await keys.logKey('orders')).key).toHaveLength(32);
    } finally {
      proxy.down = false;
    }
    for (const work of [
      (): Promise<unknown> => keys.unwrapDataKey(wrapped, wrapped.context),
      (): Promise<unknown> => keys.rewrapDataKey(wrapped, wrapped.context),
    ]) {
      await expect(work()).rejects.toMatchObject({ code: 'TM_KEY_DENIED', exitCode: 12 });
    }
  });

  describe('a failure that passes', () => {
    const passing: readonly (readonly [string, Fault])[] = [
      ['a throttle', kmsError('ThrottlingException')],
      ['a failure of the service', kmsError('KMSInternalException', { status: 500 })],
      ['503 with a page', { kind: 'answer', apply: false, answer: page(503) }],
      ['200 with nothing in it', { kind: 'answer', apply: true, answer: json('{}') }],
      ['200 with an error in it', { kind: 'answer', apply: true, answer: json('{"__type":"X"}') }],
      ['half an answer, cut', { kind: 'half' }],
      ['half an answer as if it were whole', { kind: 'short' }],
      ['a connection that ends', { kind: 'reset', apply: true }],
    ];

    it.each(passing)('is got over: %s', async (_, fault) => {
      const keys = await open();
      strike(/./, fault, 1);
      const { dataKey, wrapped } = await keys.generateDataKey(ORDERS);
      strike(/Decrypt/, fault, 1);
      expect((await keys.unwrapDataKey(wrapped, wrapped.context)).key).toEqual(dataKey.key);
      expect(proxy.requests.map(({ fault: hit }) => hit !== null)).toEqual([
        true,
        false,
        true,
        false,
      ]);
    });

    it.each(passing)('ends in its own error when it does not pass: %s', async (_, fault) => {
      const keys = await open();
      strike(/./, fault);
      await expect(keys.generateDataKey(ORDERS)).rejects.toMatchObject({
        code: 'TM_KEY_SERVICE',
        exitCode: 16,
        context: { action: 'kms:GenerateDataKey' },
      });
      expect(proxy.requests).toHaveLength(4);
    });

    it('leaves no data key in the error, whatever came of it', async () => {
      const keys = await open();
      const seen: string[] = [];
      const cut = (bytes: number): Fault => ({
        kind: 'edit',
        edit: (answer) => {
          const { Plaintext } = JSON.parse(answer.body.toString()) as { Plaintext: string };
          seen.push(Plaintext);
          return { ...answer, body: answer.body.subarray(0, answer.body.length - bytes) };
        },
      });
      for (const fault of [cut(1), cut(60), editJson({ KeyId: second })]) {
        proxy.rules.length = 0;
        strike(/./, fault);
        const error: unknown = await keys.generateDataKey(ORDERS).catch((cause: unknown) => cause);
        expect(error).toBeInstanceOf(Error);
        const shown = inspect(error, { depth: Infinity, showHidden: true, maxStringLength: null });
        for (const key of seen) expect(shown).not.toContain(key.slice(0, 12));
      }
      expect(seen).toHaveLength(8);
    });

    it('is a service that does not answer: given up after its time', async () => {
      const limits = { attempts: 2, attemptMs: 300, baseMs: 1 };
      const keys = await openTestKeys(server.settings(ringDir(), first, proxy.url), { limits });
      strike(/./, { kind: 'silent', apply: false });
      const away = { code: 'TM_KEY_SERVICE' };
      await expect(keys.generateDataKey(ORDERS)).rejects.toMatchObject(away);
      proxy.rules.length = 0;
      strike(/./, { kind: 'slow', bytesPerSecond: 20 });
      await expect(keys.generateDataKey(ORDERS)).rejects.toMatchObject(away);
    });

    it('is nobody at the address', async () => {
      const keys = await open();
      proxy.down = true;
      await expect(keys.generateDataKey(ORDERS)).rejects.toMatchObject({ code: 'TM_KEY_SERVICE' });
      proxy.down = false;
    });
  });

  describe('a refusal', () => {
    const refusals: readonly (readonly [string, string])[] = [
      ['AccessDeniedException', 'TM_KEY_DENIED'],
      ['UnrecognizedClientException', 'TM_KEY_DENIED'],
      ['DisabledException', 'TM_KEY_DISABLED'],
      ['KMSInvalidStateException', 'TM_KEY_DISABLED'],
      ['NotFoundException', 'TM_KEY_MISSING'],
      ['InvalidCiphertextException', 'TM_KEY_WRONG'],
      ['IncorrectKeyException', 'TM_KEY_WRONG'],
    ];

    it.each(refusals)('is not tried again: %s', async (type, code) => {
      const keys = await open();
      const { wrapped } = await keys.generateDataKey(ORDERS);
      proxy.requests.length = 0;
      strike(/Decrypt/, kmsError(type));
      await expect(keys.unwrapDataKey(wrapped, wrapped.context)).rejects.toMatchObject({
        code,
        exitCode: 12,
        context: { action: 'kms:Decrypt', keyId: first, error: type },
      });
      expect(proxy.requests).toHaveLength(1);
    });

    it('names the action that is denied', async () => {
      refuse(proxy, 'GenerateDataKey');
      const keys = await open();
      await expect(keys.generateDataKey(ORDERS)).rejects.toThrow(/kms:GenerateDataKey/);
    });

    it('is ours where the service used another key, whatever it was asked', async () => {
      const keys = await open();
      const { wrapped } = await keys.generateDataKey(ORDERS);
      const { context } = wrapped;
      const refused = { code: 'TM_KEY_REFUSED', context: { keyId: first, used: second } };
      strike(/GenerateDataKey|Decrypt/, editJson({ KeyId: second }));
      await expect(keys.generateDataKey(ORDERS)).rejects.toMatchObject(refused);
      await expect(keys.unwrapDataKey(wrapped, context)).rejects.toMatchObject(refused);
      proxy.rules.length = 0;
      strike(/ReEncrypt/, editJson({ SourceKeyId: second }));
      await expect(keys.rewrapDataKey(wrapped, context)).rejects.toMatchObject(refused);
    });

    it('is a data key of another length', async () => {
      const keys = await open();
      strike(/./, editJson({ Plaintext: Buffer.alloc(16).toString('base64') }));
      await expect(keys.generateDataKey(ORDERS)).rejects.toMatchObject({ code: 'TM_KEY_WRONG' });
    });

    it('is a changed ciphertext', async () => {
      const keys = await open();
      const { wrapped } = await keys.generateDataKey(ORDERS);
      const bytes = Buffer.from(wrapped.wrapped, 'base64');
      bytes[bytes.length - 3]! ^= 1;
      const changed: WrappedDataKey = { ...wrapped, wrapped: bytes.toString('base64') };
      await expect(keys.unwrapDataKey(changed, wrapped.context)).rejects.toMatchObject({
        code: 'TM_KEY_WRONG',
      });
    });
  });

  it('are never made another way: without the key service there is none', async () => {
    const keys = await open();
    for (const fault of [kmsError('DisabledException'), kmsError('AccessDeniedException')]) {
      proxy.rules.length = 0;
      strike(/./, fault);
      await expect(keys.generateDataKey(ORDERS)).rejects.toMatchObject({ exitCode: 12 });
    }
  });

  async function ringKey(keys: KeyProviders): Promise<{ provider: string; keyId: string }> {
    const [facts] = await (await keys.adminOf('ring')).listUsable();
    return { provider: 'ring', keyId: facts?.keyId ?? '' };
  }
});

function page(status: number): { status: number; headers: Record<string, string>; body: Buffer } {
  const body = Buffer.from('<html>back soon</html>');
  return { status, headers: { 'content-type': 'text/html' }, body };
}

function json(text: string): { status: number; headers: Record<string, string>; body: Buffer } {
  const headers = { 'content-type': 'application/x-amz-json-1.1' };
  return { status: 200, headers, body: Buffer.from(text) };
}
