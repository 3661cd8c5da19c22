import { FormatError, IntegrityError, CatalogError, type ErrorContext } from '@tidemark/core';
import type { LogKey } from '@tidemark/crypto';
import type { WriterEvent } from '../model/events.ts';
import { canonicalJson, parseCanonicalJson, WireFault } from '../model/wire/canonical-json.ts';
import { safeId } from '../model/wire/common.ts';
import { fields, whole } from '../model/wire/shape.ts';
import { withoutDatasetBytes, writerEventShape } from '../model/wire/writer-event-shape.ts';
import {
  decodeEnvelope,
  encodeEnvelope,
  HEADER_BYTES_MAX,
  readingHeader,
  type EnvelopeFormat,
} from './envelope.ts';

/** Whose log an entry belongs to. */
export interface WriterLogId {
  readonly iid: string;
  readonly shard: string;
  readonly writer: string;
}

/** The last entry that is known: where reading goes on. */
export interface LogPosition {
  /** -1 before the first entry. */
  readonly seq: number;
  /** Digest of that entry, 64 hex; zeros before the first. */
  readonly digest: string;
}

/** A verified entry of a writer log. */
export interface LogEntry {
  readonly seq: number;
  readonly generation: number;
  readonly event: WriterEvent;
  /** Chain digest, 64 hex. */
  readonly digest: string;
  readonly predecessor: string;
  /** Where the body stands in the entry's object, in bytes. */
  readonly bodyOffset: number;
  /** Bytes of the body; 0 if the entry has none. */
  readonly bodySize: number;
}

/** Format of a writer log entry, docs/formats/log-entry.md. */
export const ENTRY_FORMAT: EnvelopeFormat = {
  name: 'log entry',
  magic: Buffer.from('8b54444c310d0a1a', 'hex'),
  headerBytesMax: HEADER_BYTES_MAX,
};

/** Largest body of an entry. */
export const BODY_BYTES_MAX: number = 1024 * 1024;

/** Bytes of the body length field. */
export const BODY_LENGTH_BYTES = 8;

interface PlaceInLog extends WriterLogId {
  readonly seq: number;
}

interface EntryHeader extends PlaceInLog {
  readonly generation: number;
  readonly event: WriterEvent;
}

const headerShape = fields<EntryHeader>({
  seq: whole(),
  iid: safeId,
  shard: safeId,
  writer: safeId,
  generation: whole(1),
  event: writerEventShape,
});

/** Everything that goes into one entry. */
export interface EntryContent {
  readonly log: WriterLogId;
  readonly seq: number;
  readonly generation: number;
  readonly event: WriterEvent;
  readonly predecessor: string;
  readonly logKey: LogKey;
  /** The sealed container, when the event's object has no key of its own. */
  readonly body?: Uint8Array | undefined;
}

/**
 * Makes the bytes of an entry. The same content gives the same bytes.
 *
 * @throws CatalogError `TM_LOG_STATE` when the event cannot be written: a field out of bounds, a
 *   body that is not the one its object reference states.
 */
export function encodeLogEntry(content: EntryContent): { bytes: Buffer; entry: LogEntry } {
  const { log, seq, generation, event, predecessor, logKey } = content;
  const body = content.body ?? new Uint8Array(0);
  const envelope = encoding(seq, event, () => {
    const wanted = bodySizeOf(event);
    if (body.length !== wanted) {
      throw new WireFault('$.event.object', `body has ${body.length} bytes, not ${wanted}`);
    }
    const header = headerShape.encode({ ...log, seq, generation, event }, '$');
    return encodeEnvelope(ENTRY_FORMAT, { predecessor, logKey, header });
  });
  const length = Buffer.alloc(BODY_LENGTH_BYTES);
  length.writeBigUInt64BE(BigInt(body.length));
  const bytes = Buffer.concat([envelope, length, body]);
  const expected = { log, seq, predecessor, logKey, keyProven: true, whole: true };
  return { bytes, entry: decodeLogEntry(bytes, expected) };
}

/** What a reader knows about an entry before it opens it. */
export interface EntryExpectation {
  readonly log: WriterLogId;
  readonly seq: number;
  /** Digest of the entry before; `null` = the caller knows the digest of this one. */
  readonly predecessor: string | null;
  readonly logKey: LogKey;
  /** See {@link EnvelopeExpectation}. */
  readonly keyProven: boolean;
  /** Whether `bytes` is the whole object; else its head, up to the body length or further. */
  readonly whole: boolean;
}

/**
 * Opens and verifies an entry: form, authenticator, place in the log, chain, body length.
 *
 * The content of a body is bound by the object digest in the event; it is checked when the body is
 * opened.
 * @throws FormatError `TM_LOG_FORMAT`, IntegrityError `TM_LOG_AUTH` or `TM_LOG_CHAIN`, KeyError
 *   `TM_KEY_MISSING`; `context` holds `seq` and, where there is one, `offset`.
 */
export function decodeLogEntry(bytes: Uint8Array, expected: EntryExpectation): LogEntry {
  const context = { ...expected.log, seq: expected.seq };
  const envelope = decodeEnvelope(ENTRY_FORMAT, bytes, { ...expected, context });
  const header = readingHeader(ENTRY_FORMAT, context, () =>
    headerShape.decode(envelope.header, '$'),
  );
  checkPlace(header, expected, context);
  if (expected.predecessor !== null && envelope.predecessor !== expected.predecessor) {
    throw new IntegrityError('TM_LOG_CHAIN', `entry ${expected.seq} follows another entry`, {
      context: { ...context, expected: expected.predecessor, actual: envelope.predecessor },
    });
  }
  const bodySize = readBodySize(bytes, envelope.length, header.event, expected);
  return {
    seq: header.seq,
    generation: header.generation,
    event: header.event,
    digest: envelope.digest,
    predecessor: envelope.predecessor,
    bodyOffset: envelope.length + BODY_LENGTH_BYTES,
    bodySize,
  };
}

/**
 * Canonical JSON of an event, for a spool that keeps it beside its object.
 *
 * @throws CatalogError `TM_LOG_STATE` when a field is out of bounds.
 */
export function encodeWriterEvent(event: WriterEvent): Buffer {
  const clean = withoutDatasetBytes(event);
  const json = encoding(-1, clean, () => canonicalJson(writerEventShape.encode(clean, '$')));
  return Buffer.from(json, 'utf8');
}

/**
 * Reads what `encodeWriterEvent` wrote.
 *
 * @throws FormatError `TM_LOG_FORMAT` for anything else.
 */
export function decodeWriterEvent(json: Uint8Array): WriterEvent {
  return readingHeader({ ...ENTRY_FORMAT, name: 'event' }, {}, () =>
    writerEventShape.decode(parseCanonicalJson(json), '$'),
  );
}

function bodySizeOf(event: WriterEvent): number {
  if (!('object' in event) || event.object.key !== null) return 0;
  const { size } = event.object;
  if (size > BODY_BYTES_MAX) {
    throw new WireFault('$.event.object.size', `${size} is over the limit of ${BODY_BYTES_MAX}`);
  }
  return size;
}

function checkPlace(header: EntryHeader, expected: EntryExpectation, context: ErrorContext): void {
  const place: PlaceInLog = { ...expected.log, seq: expected.seq };
  for (const field of ['iid', 'shard', 'writer', 'seq'] as const) {
    if (header[field] === place[field]) continue;
    throw new IntegrityError('TM_LOG_CHAIN', `entry ${expected.seq} belongs to another place`, {
      context: { ...context, field, expected: place[field], actual: header[field] },
    });
  }
}

function readBodySize(
  bytes: Uint8Array,
  at: number,
  event: WriterEvent,
  expected: EntryExpectation,
): number {
  const fail = (offset: number, reason: string): FormatError =>
    new FormatError('TM_LOG_FORMAT', `log entry: ${reason}`, {
      context: { ...expected.log, seq: expected.seq, offset },
    });
  const bodyAt = at + BODY_LENGTH_BYTES;
  if (bytes.length < bodyAt) throw fail(bytes.length, `ends before byte ${bodyAt}`);
  const claimed = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).readBigUInt64BE(at);
  const wanted = readingHeader(ENTRY_FORMAT, { ...expected.log, seq: expected.seq }, () =>
    bodySizeOf(event),
  );
  if (claimed !== BigInt(wanted)) throw fail(at, `body length ${claimed} is not ${wanted}`);
  if ((expected.whole || wanted === 0) && bytes.length !== bodyAt + wanted) {
    throw fail(bytes.length, `has ${bytes.length - bodyAt} bytes of body, not ${wanted}`);
  }
  return wanted;
}

function encoding<T>(seq: number, event: WriterEvent, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof WireFault)) throw error;
    throw new CatalogError('TM_LOG_STATE', `${event.type} cannot be written: ${error.message}`, {
      context: { seq, event: event.type, path: error.path },
    });
  }
}
