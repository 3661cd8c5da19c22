import { createHash, createHmac } from 'node:crypto';
import type { LogKey } from '@tidemark/crypto';
import { LOG_KEY } from './log-events.ts';

/** Parts of an authenticated record, each of which a test may set wrong. */
export interface RecordParts {
  readonly magic: string;
  readonly header: string | Buffer;
  readonly predecessor?: string;
  readonly version?: number;
  readonly reserved?: Buffer;
  readonly headerLength?: number;
  readonly logKey?: LogKey;
  readonly mac?: Buffer;
}

/** Magics of docs/formats/log-entry.md, checkpoint.md and instance-record.md. */
export const MAGIC = {
  entry: '8b54444c310d0a1a',
  checkpoint: '8b544443310d0a1a',
  record: '8b544452310d0a1a',
  instanceEntry: '8b544449310d0a1a',
  instanceCheckpoint: '8b544450310d0a1a',
} as const;

/**
 * Builds `[0, 96+H)` from the byte tables in docs/formats alone, so that the product's encoder is
 * not its own judge.
 */
export function buildRecord(parts: RecordParts): Buffer {
  const json = Buffer.from(parts.header as string);
  const logKey = parts.logKey ?? LOG_KEY;
  const length = Buffer.alloc(4);
  length.writeUInt32BE(parts.headerLength ?? json.length);
  const signed = Buffer.concat([
    Buffer.from(parts.magic, 'hex'),
    Buffer.from([parts.version ?? 1]),
    parts.reserved ?? Buffer.alloc(3),
    length,
    Buffer.from(parts.predecessor ?? '00'.repeat(32), 'hex'),
    Buffer.from(logKey.id, 'hex'),
    json,
  ]);
  const mac = parts.mac ?? createHmac('sha256', logKey.key).update(signed).digest();
  return Buffer.concat([signed, mac]);
}

/** Builds a whole log entry. */
export function buildEntry(
  parts: Omit<RecordParts, 'magic'> & { readonly body?: Buffer; readonly bodyLength?: bigint },
): Buffer {
  const body = parts.body ?? Buffer.alloc(0);
  const length = Buffer.alloc(8);
  length.writeBigUInt64BE(parts.bodyLength ?? BigInt(body.length));
  return Buffer.concat([buildRecord({ ...parts, magic: MAGIC.entry }), length, body]);
}

export const sha256 = (bytes: Uint8Array): string =>
  createHash('sha256').update(bytes).digest('hex');
