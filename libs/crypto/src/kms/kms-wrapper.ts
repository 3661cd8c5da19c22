import {
  DecryptCommand,
  EncryptCommand,
  GenerateDataKeyCommand,
  ReEncryptCommand,
} from '@aws-sdk/client-kms';
import { KeyError, type Clock, type Random } from '@tidemark/core';
import type { DataKey } from '../container/key-schedule.ts';
import type { KeyAdmin } from '../keys/key-admin.ts';
import type { KeyWrapper } from '../keys/key-wrapper.ts';
import type { KeyContext, WrappedDataKey } from '../keys/provider.ts';
import { KmsAdmin } from './kms-admin.ts';
import { assertKeyUsed, ciphertextOf, dataKeyOf, newDataKeyOf } from './kms-answers.ts';
import { isKeyArn, regionOfKey, type KmsConnection } from './kms-connection.ts';
import { encryptionContext } from './kms-context.ts';
import { KmsService, type KmsLimits } from './kms-service.ts';

/** What the wrapper of a key service is made of. */
export interface KmsWrapperOptions {
  readonly connection: KmsConnection;
  /** Id, ARN or alias of the key of the settings; null when they name none. */
  readonly kmsKeyId: string | null;
  readonly clock: Clock;
  readonly random: Random;
  readonly limits?: Partial<KmsLimits>;
}

/** Connects to a key service when it is first asked something; opens nothing before. */
export function openKmsWrapper(options: KmsWrapperOptions): KeyWrapper {
  return new KmsWrapper(options, new KmsService(options));
}

/** Data keys wrapped by keys of a key service that speaks as AWS KMS does. */
class KmsWrapper implements KeyWrapper {
  readonly name = 'aws-kms';
  readonly admin: KeyAdmin;
  readonly #options: KmsWrapperOptions;
  readonly #service: KmsService;
  #default: Promise<string> | null = null;

  constructor(options: KmsWrapperOptions, service: KmsService) {
    this.#options = options;
    this.#service = service;
    this.admin = new KmsAdmin(service);
  }

  defaultKeyId(): Promise<string> {
    const { kmsKeyId } = this.#options;
    if (kmsKeyId !== null && isKeyArn(kmsKeyId)) return Promise.resolve(kmsKeyId);
    // Asked once: an alias that is moved while we run changes nothing before the next start.
    const known = this.#default ?? this.#resolveDefault(kmsKeyId);
    this.#default = known;
    known.catch(() => (this.#default = null));
    return known;
  }

  async generate(
    o: Parameters<KeyWrapper['generate']>[0],
    keyId: string,
  ): ReturnType<KeyWrapper['generate']> {
    const { clock, random } = this.#options;
    const asked = { action: 'GenerateDataKey', keyId };
    // Ours, since it stands in the context that the key is bound to.
    const context = { ...o, dekId: random.bytes(16).toString('hex') };
    const made = await this.#service.call({
      ...asked,
      run: async (client, abortSignal) => {
        const command = new GenerateDataKeyCommand({
          KeyId: keyId,
          KeySpec: 'AES_256',
          EncryptionContext: encryptionContext(context),
        });
        return newDataKeyOf(await client.send(command, { abortSignal }), asked);
      },
      discard: ({ key }) => key.fill(0),
    });
    return {
      dataKey: { id: context.dekId, key: made.key },
      wrapped: stored(keyId, made.wrapped, context, clock.nowMs()),
    };
  }

  async unwrap(wrapped: WrappedDataKey, context: KeyContext): Promise<DataKey> {
    const { keyId } = wrapped;
    const asked = { action: 'Decrypt', keyId };
    const opened = await this.#service.call({
      ...asked,
      run: async (client, abortSignal) => {
        const command = new DecryptCommand({
          KeyId: keyId,
          CiphertextBlob: Buffer.from(wrapped.wrapped, 'base64'),
          EncryptionContext: encryptionContext(context),
        });
        const answer = await client.send(command, { abortSignal });
        return { key: dataKeyOf(answer.Plaintext, asked), used: answer.KeyId };
      },
      discard: ({ key }) => key.fill(0),
    });
    try {
      assertKeyUsed(opened.used, keyId, asked.action);
    } catch (cause) {
      opened.key.fill(0);
      throw cause;
    }
    return { id: context.dekId, key: opened.key };
  }

  async wrap(dataKey: DataKey, context: KeyContext, keyId: string): Promise<WrappedDataKey> {
    const asked = { action: 'Encrypt', keyId };
    const { blob, used } = await this.#service.call({
      ...asked,
      run: async (client, abortSignal) => {
        const command = new EncryptCommand({
          KeyId: keyId,
          Plaintext: dataKey.key,
          EncryptionContext: encryptionContext(context),
        });
        const answer = await client.send(command, { abortSignal });
        return { blob: ciphertextOf(answer.CiphertextBlob, asked), used: answer.KeyId };
      },
    });
    assertKeyUsed(used, keyId, asked.action);
    return stored(keyId, blob, context, this.#options.clock.nowMs());
  }

  /** The data key stays inside the key service; between two regions it cannot. */
  async rewrap(
    wrapped: WrappedDataKey,
    context: KeyContext,
    keyId: string,
  ): Promise<WrappedDataKey> {
    if (regionOfKey(wrapped.keyId) === regionOfKey(keyId)) {
      return this.#reEncrypt(wrapped, context, keyId);
    }
    const dataKey = await this.unwrap(wrapped, context);
    try {
      return await this.wrap(dataKey, context, keyId);
    } finally {
      dataKey.key.fill(0);
    }
  }

  async #reEncrypt(
    wrapped: WrappedDataKey,
    context: KeyContext,
    keyId: string,
  ): Promise<WrappedDataKey> {
    const asked = { action: 'ReEncrypt', keyId };
    const { blob, source, used } = await this.#service.call({
      ...asked,
      run: async (client, abortSignal) => {
        const command = new ReEncryptCommand({
          CiphertextBlob: Buffer.from(wrapped.wrapped, 'base64'),
          SourceKeyId: wrapped.keyId,
          SourceEncryptionContext: encryptionContext(context),
          DestinationKeyId: keyId,
          DestinationEncryptionContext: encryptionContext(context),
        });
        const answer = await client.send(command, { abortSignal });
        const { SourceKeyId: source, KeyId: used } = answer;
        return { blob: ciphertextOf(answer.CiphertextBlob, asked), source, used };
      },
    });
    assertKeyUsed(source, wrapped.keyId, asked.action);
    assertKeyUsed(used, keyId, asked.action);
    return stored(keyId, blob, context, this.#options.clock.nowMs());
  }

  async #resolveDefault(kmsKeyId: string | null): Promise<string> {
    if (kmsKeyId !== null) return (await this.admin.describe(kmsKeyId)).keyId;
    throw new KeyError('TM_KEY_MISSING', 'the settings name no key of the key service', {
      hint: 'set kms_key_id in [keys]',
    });
  }
}

function stored(
  keyId: string,
  wrapped: string,
  { instance, purpose, dekId }: KeyContext,
  createdMs: number,
): WrappedDataKey {
  const context = { instance, purpose, dekId };
  // Which version of its material a key used is known to the service alone.
  return { format: 1, provider: 'aws-kms', keyId, keyVersion: 0, wrapped, context, createdMs };
}
