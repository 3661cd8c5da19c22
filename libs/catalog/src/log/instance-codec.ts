import { CatalogError, IntegrityError } from '@tidemark/core';
import type { LogKey } from '@tidemark/crypto';
import type { InstanceEvent } from '../model/instance-events.ts';
import { WireFault } from '../model/wire/canonical-json.ts';
import { ms, safeId } from '../model/wire/common.ts';
import { instanceEventShape, instanceName } from '../model/wire/instance-event-shape.ts';
import { fields, text, whole } from '../model/wire/shape.ts';
import { NO_DIGEST } from '../model/writer-state.ts';
import {
  decodeEnvelope,
  encodeEnvelope,
  HEADER_BYTES_MAX,
  readingHeader,
  refuseTrailing,
  type EnvelopeFormat,
} from './envelope.ts';

/** Format of an instance's record, docs/formats/instance-record.md. */
export const RECORD_FORMAT: EnvelopeFormat = {
  name: 'instance record',
  magic: Buffer.from('8b544452310d0a1a', 'hex'),
  headerBytesMax: 4096,
};

/** Format of an instance log entry, docs/formats/instance-record.md. */
export const INSTANCE_ENTRY_FORMAT: EnvelopeFormat = {
  name: 'instance log entry',
  magic: Buffer.from('8b544449310d0a1a', 'hex'),
  headerBytesMax: HEADER_BYTES_MAX,
};

/** What an instance's record says. It never changes. */
export interface InstanceRecord {
  readonly iid: string;
  readonly name: string;
  /** Version of the archive's layout. */
  readonly format: 1;
  readonly createdMs: number;
}

const recordShape = fields({
  iid: safeId,
  name: instanceName,
  format: whole(1, 1),
  createdMs: ms,
});

/** Makes the bytes of a record. */
export function encodeInstanceRecord(record: InstanceRecord, logKey: LogKey): Buffer {
  return writing('record', () => {
    const header = recordShape.encode(record, '$');
    return encodeEnvelope(RECORD_FORMAT, { predecessor: NO_DIGEST, logKey, header });
  });
}

/**
 * Opens and verifies a record.
 *
 * @throws FormatError `TM_LOG_FORMAT`, IntegrityError `TM_LOG_AUTH` or `TM_LOG_CHAIN`, KeyError
 *   `TM_KEY_MISSING` when it was written with another key ring.
 */
export function decodeInstanceRecord(
  bytes: Uint8Array,
  expected: { readonly iid: string; readonly logKey: LogKey },
): InstanceRecord {
  const context = { iid: expected.iid };
  const { logKey } = expected;
  const envelope = decodeEnvelope(RECORD_FORMAT, bytes, { logKey, keyProven: false, context });
  refuseTrailing(RECORD_FORMAT, bytes, envelope.length, context);
  const record = readingHeader(RECORD_FORMAT, context, () =>
    recordShape.decode(envelope.header, '$'),
  );
  if (record.iid !== expected.iid || envelope.predecessor !== NO_DIGEST) {
    throw new IntegrityError('TM_LOG_CHAIN', 'an instance record lies under another id', {
      context: { ...context, actual: record.iid },
    });
  }
  return { ...record, format: 1 };
}

/** A verified entry of an instance log. */
export interface InstanceLogEntry {
  readonly seq: number;
  readonly event: InstanceEvent;
  readonly digest: string;
  readonly predecessor: string;
}

interface InstanceEntryHeader {
  readonly seq: number;
  readonly iid: string;
  /** Random per opened log: two authors never write the same bytes. */
  readonly author: string;
  readonly event: InstanceEvent;
}

const entryShape = fields<InstanceEntryHeader>({
  seq: whole(),
  iid: safeId,
  author: text(32, /^[0-9a-f]{32}$/),
  event: instanceEventShape,
});

/** Makes the bytes of an instance log entry. */
export function encodeInstanceEntry(
  content: InstanceEntryHeader & { readonly predecessor: string; readonly logKey: LogKey },
): Buffer {
  const { predecessor, logKey } = content;
  return writing(content.event.type, () => {
    const header = entryShape.encode(content, '$');
    return encodeEnvelope(INSTANCE_ENTRY_FORMAT, { predecessor, logKey, header });
  });
}

/**
 * Opens and verifies an instance log entry.
 *
 * @throws FormatError `TM_LOG_FORMAT`, IntegrityError `TM_LOG_AUTH` or `TM_LOG_CHAIN`, KeyError
 *   `TM_KEY_MISSING`.
 */
export function decodeInstanceEntry(
  bytes: Uint8Array,
  expected: {
    readonly iid: string;
    readonly seq: number;
    /** `null` = the caller knows the digest of this entry. */
    readonly predecessor: string | null;
    readonly logKey: LogKey;
    readonly keyProven: boolean;
  },
): InstanceLogEntry {
  const { iid, seq } = expected;
  const context = { iid, seq };
  const envelope = decodeEnvelope(INSTANCE_ENTRY_FORMAT, bytes, { ...expected, context });
  refuseTrailing(INSTANCE_ENTRY_FORMAT, bytes, envelope.length, context);
  const header = readingHeader(INSTANCE_ENTRY_FORMAT, context, () =>
    entryShape.decode(envelope.header, '$'),
  );
  if (header.iid !== iid || header.seq !== seq) {
    throw new IntegrityError('TM_LOG_CHAIN', `instance log entry ${seq} belongs elsewhere`, {
      context: { ...context, actual: header.seq },
    });
  }
  const { predecessor, digest } = envelope;
  if (expected.predecessor !== null && predecessor !== expected.predecessor) {
    throw new IntegrityError('TM_LOG_CHAIN', `instance log entry ${seq} follows another entry`, {
      context: { ...context, expected: expected.predecessor, actual: predecessor },
    });
  }
  return { seq, event: header.event, digest, predecessor };
}

function writing<T>(what: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof WireFault)) throw error;
    throw new CatalogError('TM_LOG_STATE', `${what} cannot be written: ${error.message}`, {
      context: { event: what, path: error.path },
    });
  }
}
