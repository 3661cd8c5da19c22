import { KeyError } from '@tidemark/core';
import type { KmsAsked } from './kms-errors.ts';

const CIPHERTEXT_BYTES_MAX = 6144;
const DATA_KEY_BYTES = 32;

/**
 * An answer with status 200 that lacks what it must hold: as if it had not come. Its name makes the
 * call be repeated.
 */
export function emptyAnswer({ action }: KmsAsked, field: string): Error {
  const error = new Error(`kms:${action} answered without ${field}`);
  error.name = 'InternalFailure';
  return error;
}

/** A ciphertext of an answer, in base64. */
export function ciphertextOf(blob: Uint8Array | undefined, asked: KmsAsked): string {
  if (blob === undefined || blob.length === 0 || blob.length > CIPHERTEXT_BYTES_MAX) {
    throw emptyAnswer(asked, 'a ciphertext of a size that can be');
  }
  return Buffer.from(blob.buffer, blob.byteOffset, blob.length).toString('base64');
}

/** A data key of an answer, moved into a buffer of its own; the answer's is zero-filled. */
export function dataKeyOf(plaintext: Uint8Array | undefined, asked: KmsAsked): Buffer {
  if (plaintext === undefined) throw emptyAnswer(asked, 'a data key');
  const key = Buffer.from(plaintext);
  plaintext.fill(0);
  if (key.length === DATA_KEY_BYTES) return key;
  key.fill(0);
  throw new KeyError('TM_KEY_WRONG', `a data key of ${key.length} bytes, not ${DATA_KEY_BYTES}`, {
    context: { action: `kms:${asked.action}`, keyId: asked.keyId },
  });
}

/** A data key of an answer with its ciphertext; it is zero-filled where the answer is not good. */
export function newDataKeyOf(
  answer: {
    readonly Plaintext?: Uint8Array | undefined;
    readonly CiphertextBlob?: Uint8Array | undefined;
    readonly KeyId?: string | undefined;
  },
  asked: KmsAsked & { readonly keyId: string },
): { readonly wrapped: string; readonly key: Buffer } {
  const key = dataKeyOf(answer.Plaintext, asked);
  try {
    const wrapped = ciphertextOf(answer.CiphertextBlob, asked);
    assertKeyUsed(answer.KeyId, asked.keyId, asked.action);
    return { wrapped, key };
  } catch (cause) {
    key.fill(0);
    throw cause;
  }
}

/**
 * Checks that the service used the key it was told to use.
 * @throws KeyError `TM_KEY_REFUSED`.
 */
export function assertKeyUsed(used: string | undefined, expected: string, action: string): void {
  if (used === expected) return;
  throw new KeyError('TM_KEY_REFUSED', `the key service used another key in kms:${action}`, {
    context: { action: `kms:${action}`, keyId: expected, used: used ?? null },
    hint: 'is kms_endpoint the address of the key service it should be?',
  });
}
