import { DecryptCommand, GenerateDataKeyCommand } from '@aws-sdk/client-kms';
import { KeyError } from '@tidemark/core';
import type { KeyAuthorization } from '../keys/key-admin.ts';
import { dataKeyOf, newDataKeyOf } from './kms-answers.ts';
import { encryptionContext } from './kms-context.ts';
import { kmsErrorName } from './kms-errors.ts';
import type { KmsService } from './kms-service.ts';

/** What is to be asked, and of whom. */
export interface AuthorizationQuestion {
  readonly service: KmsService;
  readonly keyId: string;
  readonly instance: string;
  /** Why the key cannot be used by its state; null when it can. */
  readonly describe: (keyId: string) => Promise<string | null>;
}

type Failure = KeyAuthorization['failed'][number];

/**
 * Whether data keys of an instance can be made and opened with a key.
 *
 * A data key is made (Decrypt needs a ciphertext of the key, even dry) and thrown away; Decrypt is
 * asked with `DryRun`. A service that does not know it decrypts for real, and the result is compared.
 */
export async function checkAuthorization(q: AuthorizationQuestion): Promise<KeyAuthorization> {
  const failed: Failure[] = [];
  let by: KeyAuthorization['by'] = 'canary';
  try {
    const describing = (): Promise<string | null> => q.describe(q.keyId).catch(ifDenied);
    const reason = await attempt('kms:DescribeKey', failed, describing);
    if (reason !== null) failed.push({ action: 'kms:DescribeKey', reason });
    if (failed.length > 0) return { state: 0, failed, by };
    const made = await attempt('kms:GenerateDataKey', failed, () => generate(q));
    if (made !== null) {
      try {
        const opened = await attempt('kms:Decrypt', failed, () => decryptDry(q, made));
        if (opened === 'dry-run') by = 'dry-run';
      } finally {
        made.key.fill(0);
      }
    }
  } catch (cause) {
    if (!(cause instanceof KeyError) || cause.code !== 'TM_KEY_SERVICE') throw cause;
    const action = String(cause.context['action'] ?? 'kms');
    return { state: 2, failed: [{ action, reason: cause.message }], by };
  }
  return { state: failed.length === 0 ? 1 : 0, failed, by };
}

interface Canary {
  readonly wrapped: string;
  readonly key: Buffer;
}

/** To look at a key is no right that making and opening data keys needs. */
function ifDenied(cause: unknown): null {
  if (cause instanceof KeyError && cause.code === 'TM_KEY_DENIED') return null;
  throw cause;
}

async function attempt<T>(
  action: string,
  failed: Failure[],
  work: () => Promise<T>,
): Promise<T | null> {
  try {
    return await work();
  } catch (cause) {
    if (!(cause instanceof KeyError) || cause.code === 'TM_KEY_SERVICE') throw cause;
    failed.push({ action, reason: cause.message });
    return null;
  }
}

function contextOf({ instance }: AuthorizationQuestion): Record<string, string> {
  return encryptionContext({ instance, purpose: 'canary', dekId: '0'.repeat(32) });
}

async function generate(q: AuthorizationQuestion): Promise<Canary> {
  const asked = { action: 'GenerateDataKey', keyId: q.keyId };
  return q.service.call({
    ...asked,
    run: async (client, abortSignal) => {
      const command = new GenerateDataKeyCommand({
        KeyId: q.keyId,
        KeySpec: 'AES_256',
        EncryptionContext: contextOf(q),
      });
      return newDataKeyOf(await client.send(command, { abortSignal }), asked);
    },
    discard: ({ key }) => key.fill(0),
  });
}

async function decryptDry(
  q: AuthorizationQuestion,
  canary: Canary,
): Promise<KeyAuthorization['by']> {
  const asked = { action: 'Decrypt', keyId: q.keyId };
  return q.service.call({
    ...asked,
    run: async (client, abortSignal) => {
      const command = new DecryptCommand({
        KeyId: q.keyId,
        CiphertextBlob: Buffer.from(canary.wrapped, 'base64'),
        EncryptionContext: contextOf(q),
        DryRun: true,
      });
      try {
        const answer = await client.send(command, { abortSignal });
        const key = dataKeyOf(answer.Plaintext, asked);
        const isSame = key.equals(canary.key);
        key.fill(0);
        if (isSame) return 'canary';
      } catch (cause) {
        if (kmsErrorName(cause) === 'DryRunOperationException') return 'dry-run';
        throw cause;
      }
      throw new KeyError('TM_KEY_WRONG', 'a data key does not open as it was made', {
        context: { action: 'kms:Decrypt', keyId: q.keyId },
      });
    },
  });
}
