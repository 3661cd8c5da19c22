import { createCipheriv, createDecipheriv, hkdfSync } from 'node:crypto';
import { FormatError, IntegrityError, KeyError, type Random } from '@tidemark/core';
import type { LogKey } from '../keys/provider.ts';

const LABEL = 'tidemark/job/v1';
const VERSION = 1;
const KEY_ID_AT = 1;
const SALT_AT = 17;
const BODY_AT = 49;
const TAG_BYTES = 16;
const CIPHER = 'aes-256-gcm';

/** Longest text of a job message. */
export const JOB_MESSAGE_BYTES_MAX: number = 512 * 1024;

/**
 * Seals what hosts tell each other of a job, for it names keys and selectors: AES-256-GCM under a key of
 * its own, derived from the log key of the instance and 32 random bytes. docs/formats/event-message.md.
 * @param subject - What the message is about; it opens under the same one only.
 */
export function sealJobMessage(
  logKey: LogKey,
  random: Random,
  subject: string,
  plain: Uint8Array,
): Buffer {
  if (plain.length > JOB_MESSAGE_BYTES_MAX) {
    throw new FormatError('TM_SEAL_LIMIT', `a job message of ${plain.length} bytes is too long`);
  }
  const head = Buffer.alloc(BODY_AT);
  head.writeUInt8(VERSION, 0);
  Buffer.from(logKey.id, 'hex').copy(head, KEY_ID_AT);
  random.bytes(BODY_AT - SALT_AT).copy(head, SALT_AT);
  const { key, nonce } = derive(logKey, head.subarray(SALT_AT), subject);
  const cipher = createCipheriv(CIPHER, key, nonce);
  cipher.setAAD(head);
  const sealed = Buffer.concat([head, cipher.update(plain), cipher.final(), cipher.getAuthTag()]);
  key.fill(0);
  return sealed;
}

/**
 * Opens what {@link sealJobMessage} made.
 * @throws FormatError `TM_SEAL_FORMAT`, `TM_SEAL_LIMIT`; KeyError `TM_KEY_MISSING` for another log key;
 *   IntegrityError `TM_SEAL_CHUNK` when it was changed, or is about something else.
 */
export function openJobMessage(logKey: LogKey, subject: string, sealed: Buffer): Buffer {
  if (sealed.length < BODY_AT + TAG_BYTES || sealed.readUInt8(0) !== VERSION) {
    throw new FormatError('TM_SEAL_FORMAT', 'these bytes are no sealed job message');
  }
  if (sealed.length > BODY_AT + JOB_MESSAGE_BYTES_MAX + TAG_BYTES) {
    throw new FormatError('TM_SEAL_LIMIT', `a job message of ${sealed.length} bytes is too long`);
  }
  const keyId = sealed.toString('hex', KEY_ID_AT, SALT_AT);
  if (keyId !== logKey.id) {
    throw new KeyError('TM_KEY_MISSING', 'a job message was sealed with another log key', {
      context: { keyId },
      hint: 'hosts of one fleet share one key ring',
    });
  }
  const { key, nonce } = derive(logKey, sealed.subarray(SALT_AT, BODY_AT), subject);
  const decipher = createDecipheriv(CIPHER, key, nonce);
  decipher.setAAD(sealed.subarray(0, BODY_AT));
  decipher.setAuthTag(sealed.subarray(sealed.length - TAG_BYTES));
  const plain = decipher.update(sealed.subarray(BODY_AT, sealed.length - TAG_BYTES));
  try {
    decipher.final();
  } catch (cause) {
    plain.fill(0);
    throw new IntegrityError('TM_SEAL_CHUNK', 'a job message was changed', { cause });
  } finally {
    key.fill(0);
  }
  return plain;
}

function derive(logKey: LogKey, salt: Buffer, subject: string): { key: Buffer; nonce: Buffer } {
  const info = Buffer.from(`${LABEL}\0${subject}`, 'utf8');
  const bytes = Buffer.from(hkdfSync('sha512', logKey.key, salt, info, 44));
  return { key: bytes.subarray(0, 32), nonce: bytes.subarray(32) };
}
