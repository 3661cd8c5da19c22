import {
  CreateAliasCommand,
  CreateKeyCommand,
  DescribeKeyCommand,
  EnableKeyRotationCommand,
  GetKeyRotationStatusCommand,
  type KeyMetadata,
} from '@aws-sdk/client-kms';
import { isSafeName, KeyError, UsageError } from '@tidemark/core';
import {
  whyUnusable,
  type KeyAdmin,
  type KeyAuthorization,
  type KeyFacts,
} from '../keys/key-admin.ts';
import type { WrappingKey } from '../keys/key-directory.ts';
import { emptyAnswer } from './kms-answers.ts';
import { checkAuthorization } from './kms-authorization.ts';
import { kmsErrorName } from './kms-errors.ts';
import { keyFactsOf } from './kms-facts.ts';
import { inParallel, listAliases, listKeyArns } from './kms-lists.ts';
import type { KmsService } from './kms-service.ts';

/** Looks after the keys of a key service. */
export class KmsAdmin implements KeyAdmin {
  readonly name = 'aws-kms';
  readonly #service: KmsService;

  constructor(service: KmsService) {
    this.#service = service;
  }

  async describe(keyId: string): Promise<KeyFacts> {
    const { arn, metadata } = await this.#metadata(keyId);
    const [aliases, rotation] = [await this.#aliases(arn), await this.#rotation(arn, metadata)];
    return keyFactsOf(arn, metadata, { aliases, rotation });
  }

  async listUsable(): Promise<readonly KeyFacts[]> {
    const aliases = await listAliases(this.#service, null);
    const keys = await inParallel(await listKeyArns(this.#service), async (keyArn) => {
      const found = await whereAllowed(this.#metadata(keyArn));
      if (found === null) return null;
      const { arn, metadata } = found;
      const names = aliases.filter(({ target }) => target === metadata.KeyId);
      const facts = { aliases: names.map(({ name }) => name), rotation: null };
      return keyFactsOf(arn, metadata, facts);
    });
    return keys.filter((facts) => facts !== null).filter((facts) => whyUnusable(facts) === null);
  }

  async createFor(instance: string): Promise<WrappingKey> {
    if (!isSafeName(instance)) {
      throw new UsageError('TM_USAGE', 'an instance id that is not allowed');
    }
    const alias = `alias/tidemark/${instance}`;
    const known = await this.#behindAlias(alias);
    if (known !== null) return this.#asAutomatic(known);
    // A call that ended between key and alias left a key behind, which is known by its description.
    const description = `Tidemark, automatic key of instance ${instance}`;
    const left = await this.#leftBehind(description);
    const arn = left ?? (await this.#createKey(description));
    await this.#enableRotation(arn);
    await this.#createAlias(alias, arn);
    // Of two that make one at the same time the one behind the alias is the instance's.
    return this.#asAutomatic((await this.#behindAlias(alias)) ?? (await this.#metadata(arn)));
  }

  authorization(key: WrappingKey, instance: string): Promise<KeyAuthorization> {
    const describe = async (keyId: string): Promise<string | null> => {
      const { arn, metadata } = await this.#metadata(keyId);
      return whyUnusable(keyFactsOf(arn, metadata, { aliases: [], rotation: null }));
    };
    return checkAuthorization({
      service: this.#service,
      keyId: key.keyId,
      instance,
      describe,
    });
  }

  async #metadata(
    keyId: string,
  ): Promise<{ readonly arn: string; readonly metadata: KeyMetadata }> {
    const asked = { action: 'DescribeKey', keyId };
    return this.#service.call({
      ...asked,
      run: async (client, abortSignal) => {
        const command = new DescribeKeyCommand({ KeyId: keyId });
        const { KeyMetadata: metadata } = await client.send(command, { abortSignal });
        if (metadata?.Arn === undefined) throw emptyAnswer(asked, 'an ARN');
        return { arn: metadata.Arn, metadata };
      },
    });
  }

  /** Names are for the eye: without the right to list them there are none. */
  async #aliases(arn: string): Promise<readonly string[]> {
    const aliases = await whereAllowed(listAliases(this.#service, arn));
    return (aliases ?? []).map(({ name }) => name);
  }

  async #rotation(arn: string, metadata: KeyMetadata): Promise<KeyFacts['rotation']> {
    const canRotate = metadata.Origin === 'AWS_KMS' && metadata.KeyState === 'Enabled';
    if (!canRotate || (metadata.KeySpec ?? 'SYMMETRIC_DEFAULT') !== 'SYMMETRIC_DEFAULT')
      return null;
    const asking = this.#service.call({
      action: 'GetKeyRotationStatus',
      keyId: arn,
      run: (client, abortSignal) =>
        client.send(new GetKeyRotationStatusCommand({ KeyId: arn }), { abortSignal }),
    });
    const status = await whereAllowed(asking);
    if (status?.KeyRotationEnabled === undefined) return null;
    const periodDays = status.RotationPeriodInDays ?? null;
    return { enabled: status.KeyRotationEnabled, periodDays };
  }

  async #behindAlias(
    alias: string,
  ): Promise<{ readonly arn: string; readonly metadata: KeyMetadata } | null> {
    try {
      return await this.#metadata(alias);
    } catch (cause) {
      if (cause instanceof KeyError && cause.code === 'TM_KEY_MISSING') return null;
      throw cause;
    }
  }

  async #asAutomatic({
    arn,
    metadata,
  }: {
    readonly arn: string;
    readonly metadata: KeyMetadata;
  }): Promise<WrappingKey> {
    const reason = whyUnusable(keyFactsOf(arn, metadata, { aliases: [], rotation: null }));
    if (reason !== null) {
      throw new KeyError('TM_KEY_DISABLED', `the automatic key ${arn} cannot be used: ${reason}`, {
        context: { keyId: arn },
        hint: 'enable it, or cancel its deletion, in the key service; or name a key of your own',
      });
    }
    await this.#enableRotation(arn);
    return { provider: this.name, keyId: arn };
  }

  async #leftBehind(description: string): Promise<string | null> {
    const usable = await this.listUsable();
    const left = usable.find((key) => key.description === description && key.aliases.length === 0);
    return left?.keyId ?? null;
  }

  async #createKey(description: string): Promise<string> {
    const asked = { action: 'CreateKey', keyId: null };
    return this.#service.call({
      ...asked,
      isRepeatable: false, // a lost answer may have made a key; the next call finds it
      run: async (client, abortSignal) => {
        const command = new CreateKeyCommand({
          Description: description,
          KeyUsage: 'ENCRYPT_DECRYPT',
          KeySpec: 'SYMMETRIC_DEFAULT',
        });
        const { KeyMetadata: metadata } = await client.send(command, { abortSignal });
        if (metadata?.Arn === undefined) throw emptyAnswer(asked, 'an ARN');
        return metadata.Arn;
      },
    });
  }

  async #enableRotation(arn: string): Promise<void> {
    await this.#service.call({
      action: 'EnableKeyRotation',
      keyId: arn,
      run: (client, abortSignal) =>
        client.send(new EnableKeyRotationCommand({ KeyId: arn }), { abortSignal }),
    });
  }

  async #createAlias(alias: string, arn: string): Promise<void> {
    await this.#service.call({
      action: 'CreateAlias',
      keyId: arn,
      run: async (client, abortSignal) => {
        const command = new CreateAliasCommand({ AliasName: alias, TargetKeyId: arn });
        try {
          await client.send(command, { abortSignal });
        } catch (cause) {
          // Our own call whose answer was lost, or another one that was faster.
          if (kmsErrorName(cause) !== 'AlreadyExistsException') throw cause;
        }
      },
    });
  }
}

/** Null where the right to ask is missing, the key belongs to another account, or has just gone. */
async function whereAllowed<T>(asking: Promise<T>): Promise<T | null> {
  try {
    return await asking;
  } catch (cause) {
    const code = cause instanceof KeyError ? cause.code : null;
    if (code === 'TM_KEY_DENIED' || code === 'TM_KEY_MISSING') return null;
    throw cause;
  }
}
