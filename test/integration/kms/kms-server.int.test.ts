import { afterAll, beforeAll, expect, it } from 'vitest';
import { describeWithKms, KmsServer } from '../../support/kms-server.ts';

const CONTEXT = { app: 'tidemark', instance: 'orders' };

/**
 * What the server of the tests does, as the table of docs/kms.md says it: where it does what AWS does
 * not, a proxy before it has to. A row that no longer holds is one to change there.
 */
describeWithKms('the key service of the tests', () => {
  let server: KmsServer;
  let [key, other, ciphertext] = ['', '', ''];

  beforeAll(async () => {
    server = await KmsServer.start();
    [key, other] = [await server.createKey(), await server.createKey()];
    const made = await did('GenerateDataKey', made32(key));
    ciphertext = String(made['CiphertextBlob']);
  });
  afterAll(() => server[Symbol.asyncDispose]());

  const made32 = (keyId: string): Readonly<Record<string, unknown>> => ({
    ...{ KeyId: keyId, KeySpec: 'AES_256', EncryptionContext: CONTEXT },
  });
  const opening = (more: object = {}): Readonly<Record<string, unknown>> => ({
    ...{ KeyId: key, CiphertextBlob: ciphertext, EncryptionContext: CONTEXT },
    ...more,
  });
  const did = async (
    action: string,
    body: Readonly<Record<string, unknown>>,
  ): Promise<Readonly<Record<string, unknown>>> =>
    (await server.ask(action, body)) as Readonly<Record<string, unknown>>;
  const refusal = (action: string, body: Readonly<Record<string, unknown>>): Promise<string> =>
    server.ask(action, body).then(
      () => 'done',
      (cause: unknown) => /"__type": ?"(\w+)"/.exec(String(cause))?.[1] ?? String(cause),
    );

  it('binds the context, and answers with the ARN whatever the key was called by', async () => {
    const id = key.split('/')[1] ?? '';
    expect(await did('GenerateDataKey', made32(id))).toMatchObject({ KeyId: key });
    expect(await did('Decrypt', opening())).toMatchObject({ KeyId: key });
    for (const EncryptionContext of [{}, { ...CONTEXT, instance: 'others' }]) {
      expect(await refusal('Decrypt', opening({ EncryptionContext }))).toBe(
        'InvalidCiphertextException',
      );
    }
  });

  it('refuses to decrypt with another key, by another name than AWS', async () => {
    expect(await refusal('Decrypt', opening({ KeyId: other }))).toBe('AccessDeniedException');
    const none = key.replace(/.{12}$/, '0'.repeat(12));
    expect(await refusal('Decrypt', opening({ KeyId: none }))).toBe('NotFoundException');
  });

  it('wraps anew, and goes by no source key but the real one', async () => {
    const body = {
      ...{ CiphertextBlob: ciphertext, SourceKeyId: other, DestinationKeyId: other },
      ...{ SourceEncryptionContext: CONTEXT, DestinationEncryptionContext: CONTEXT },
    };
    expect(await did('ReEncrypt', body)).toMatchObject({ SourceKeyId: key, KeyId: other });
  });

  it('knows no DryRun: it decrypts for real', async () => {
    expect(await did('Decrypt', opening({ DryRun: true }))).toHaveProperty('Plaintext');
  });

  it('goes on using keys that are disabled or pending deletion, which it shows', async () => {
    const closed = await server.createKey();
    await server.disableKey(closed);
    expect(await refusal('GenerateDataKey', made32(closed))).toBe('done');
    const KeyId = closed.split('/')[1];
    await server.ask('ScheduleKeyDeletion', { KeyId, PendingWindowInDays: 7 });
    expect(await refusal('GenerateDataKey', made32(closed))).toBe('done');
    const { KeyMetadata } = await did('DescribeKey', { KeyId: closed });
    expect(KeyMetadata).toMatchObject({ KeyState: 'PendingDeletion', Enabled: false });
  });

  it('lists everything at once, whatever the limit', async () => {
    const { Keys, Truncated } = await did('ListKeys', { Limit: 1 });
    expect(Keys).not.toHaveLength(1);
    expect(Truncated).toBe(false);
  });

  it('keeps one key behind an alias', async () => {
    const alias = { AliasName: 'alias/one', TargetKeyId: key };
    expect(await refusal('CreateAlias', alias)).toBe('done');
    expect(await refusal('CreateAlias', { ...alias, TargetKeyId: other })).toBe(
      'AlreadyExistsException',
    );
  });

  it('makes the same MAC of the same message', async () => {
    const hmac = { KeyUsage: 'GENERATE_VERIFY_MAC', KeySpec: 'HMAC_256' };
    const { KeyMetadata } = await did('CreateKey', hmac);
    const { KeyId } = KeyMetadata as { readonly KeyId: string };
    const body = { KeyId, Message: 'bWVzc2FnZQ==', MacAlgorithm: 'HMAC_SHA_256' };
    const [one, two] = [await did('GenerateMac', body), await did('GenerateMac', body)];
    expect(one['Mac']).toEqual(two['Mac']);
  });
});
