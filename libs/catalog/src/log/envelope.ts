import { createHash } from 'node:crypto';
import { FormatError, IntegrityError, KeyError, type ErrorContext } from '@tidemark/core';
import { authenticateLogBytes, LOG_MAC_BYTES, verifyLogBytes, type LogKey } from '@tidemark/crypto';
import {
  canonicalJson,
  parseCanonicalJson,
  WireFault,
  type Json,
} from '../model/wire/canonical-json.ts';

/** Bytes before the header JSON. */
export const ENVELOPE_PREFIX_BYTES = 64;

/** Bytes of an envelope without its JSON. */
export const ENVELOPE_FRAME_BYTES: number = ENVELOPE_PREFIX_BYTES + LOG_MAC_BYTES;

/** Largest header JSON of a log entry. */
export const HEADER_BYTES_MAX: number = 64 * 1024;

/** One of the four kinds of clear, authenticated records (docs/formats). */
export interface EnvelopeFormat {
  readonly name: string;
  readonly magic: Buffer;
  readonly headerBytesMax: number;
}

/** What a reader knows about a record before it opens it. */
export interface EnvelopeExpectation {
  readonly logKey: LogKey;
  /**
   * Whether this log key has authenticated something of the instance before. Then another key id
   * is damage; else the key ring is the wrong one.
   */
  readonly keyProven: boolean;
  /** Goes into errors: object key, sequence number. */
  readonly context: ErrorContext;
}

/** An opened record. */
export interface Envelope {
  /** 64 hex; zeros where nothing comes before. */
  readonly predecessor: string;
  readonly header: Json;
  /** Bytes of the envelope; a body may follow. */
  readonly length: number;
  /** SHA-256 of these bytes, 64 hex: what the next record names as its predecessor. */
  readonly digest: string;
}

const VERSION = 1;

/** Makes the bytes `[0, 96+H)` of a record. */
export function encodeEnvelope(
  format: EnvelopeFormat,
  record: { readonly predecessor: string; readonly logKey: LogKey; readonly header: Json },
): Buffer {
  const json = Buffer.from(canonicalJson(record.header), 'utf8');
  if (json.length > format.headerBytesMax) {
    throw new WireFault('$', `${json.length} bytes are over the limit of ${format.headerBytesMax}`);
  }
  const head = Buffer.alloc(ENVELOPE_PREFIX_BYTES);
  format.magic.copy(head, 0);
  head.writeUInt8(VERSION, 8);
  head.writeUInt32BE(json.length, 12);
  Buffer.from(record.predecessor, 'hex').copy(head, 16);
  Buffer.from(record.logKey.id, 'hex').copy(head, 48);
  const signed = Buffer.concat([head, json]);
  return Buffer.concat([signed, authenticateLogBytes(record.logKey.key, signed)]);
}

/**
 * Opens the envelope at the start of `bytes`; what follows it is not looked at.
 *
 * The authenticator is checked before the JSON is parsed.
 * @throws FormatError `TM_LOG_FORMAT`, IntegrityError `TM_LOG_AUTH`, KeyError `TM_KEY_MISSING`.
 */
export function decodeEnvelope(
  format: EnvelopeFormat,
  bytes: Uint8Array,
  expected: EnvelopeExpectation,
): Envelope {
  const data = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const fail = (offset: number, reason: string): FormatError =>
    formatError(`${format.name}: ${reason}`, offset, expected.context);
  if (data.length < ENVELOPE_PREFIX_BYTES) {
    throw fail(data.length, `ends after ${data.length} of at least ${ENVELOPE_FRAME_BYTES} bytes`);
  }
  if (!data.subarray(0, 8).equals(format.magic)) throw fail(0, 'wrong magic');
  const version = data.readUInt8(8);
  if (version !== VERSION) throw fail(8, `version ${version} is not known`);
  if (data.readUIntBE(9, 3) !== 0) throw fail(9, 'reserved bytes are not zero');
  const headerLength = data.readUInt32BE(12);
  if (headerLength > format.headerBytesMax) {
    throw fail(12, `header length ${headerLength} exceeds limit ${format.headerBytesMax}`);
  }
  const signedLength = ENVELOPE_PREFIX_BYTES + headerLength;
  const length = signedLength + LOG_MAC_BYTES;
  if (data.length < length) throw fail(data.length, `ends after ${data.length} of ${length} bytes`);
  checkKey(format, data.toString('hex', 48, 64), expected);
  const signed = data.subarray(0, signedLength);
  if (!verifyLogBytes(expected.logKey.key, signed, data.subarray(signedLength, length))) {
    throw new IntegrityError('TM_LOG_AUTH', `${format.name}: the authenticator does not hold`, {
      context: { ...expected.context, offset: signedLength },
    });
  }
  return {
    predecessor: data.toString('hex', 16, 48),
    header: parseHeader(format, signed.subarray(ENVELOPE_PREFIX_BYTES), expected.context),
    length,
    digest: createHash('sha256').update(data.subarray(0, length)).digest('hex'),
  };
}

/**
 * Bytes of the envelope that `prefix` begins, or `null` while fewer than 16 bytes are there.
 * Bytes that are no envelope give the bytes that are needed to say so.
 */
export function envelopeLength(format: EnvelopeFormat, prefix: Buffer): number | null {
  if (prefix.length < 16) return null;
  const headerLength = prefix.readUInt32BE(12);
  if (!prefix.subarray(0, 8).equals(format.magic)) return ENVELOPE_PREFIX_BYTES;
  if (headerLength > format.headerBytesMax) return ENVELOPE_PREFIX_BYTES;
  return ENVELOPE_FRAME_BYTES + headerLength;
}

/**
 * Refuses bytes behind the envelope of a record that has no body.
 *
 * @throws FormatError `TM_LOG_FORMAT`.
 */
export function refuseTrailing(
  format: EnvelopeFormat,
  bytes: Uint8Array,
  length: number,
  context: ErrorContext,
): void {
  if (bytes.length === length) return;
  const surplus = bytes.length - length;
  throw formatError(`${format.name}: ${surplus} bytes after its end`, length, context);
}

/** Turns a {@link WireFault} raised by `work` into `TM_LOG_FORMAT`. */
export function readingHeader<T>(format: EnvelopeFormat, context: ErrorContext, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof WireFault)) throw error;
    throw formatError(`${format.name}: ${error.message}`, ENVELOPE_PREFIX_BYTES, {
      ...context,
      path: error.path,
    });
  }
}

function parseHeader(format: EnvelopeFormat, json: Buffer, context: ErrorContext): Json {
  return readingHeader(format, context, () => parseCanonicalJson(json));
}

function checkKey(format: EnvelopeFormat, keyId: string, expected: EnvelopeExpectation): void {
  if (keyId === expected.logKey.id) return;
  const context = { ...expected.context, offset: 48, keyId, expectedKeyId: expected.logKey.id };
  if (expected.keyProven) {
    throw new IntegrityError('TM_LOG_AUTH', `${format.name}: names another log key`, { context });
  }
  throw new KeyError('TM_KEY_MISSING', `${format.name}: its log key is not in the key ring`, {
    context,
    hint: 'use the key ring this archive was written with',
  });
}

function formatError(message: string, offset: number, context: ErrorContext): FormatError {
  return new FormatError('TM_LOG_FORMAT', message, { context: { ...context, offset } });
}
