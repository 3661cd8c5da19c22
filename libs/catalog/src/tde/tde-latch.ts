import { IntegrityError } from '@tidemark/core';
import type { LogKey } from '@tidemark/crypto';
import {
  decodeEnvelope,
  encodeEnvelope,
  readingHeader,
  refuseTrailing,
  type EnvelopeFormat,
} from '../log/envelope.ts';
import { ms, id, safeId } from '../model/wire/common.ts';
import { wrappingKeyId } from '../model/wire/instance-event-shape.ts';
import { fields, flag, whole } from '../model/wire/shape.ts';
import { NO_DIGEST } from '../model/writer-state.ts';

/** Format of a TDE marker, docs/formats/tde-marker.md. */
const MARKER_FORMAT: EnvelopeFormat = {
  name: 'TDE marker',
  magic: Buffer.from('8b544454310d0a1a', 'hex'),
  headerBytesMax: 8192,
};

/** Largest marker: 96 bytes of the envelope around the longest header. */
export const MARKER_BYTES_MAX: number = 96 + MARKER_FORMAT.headerBytesMax;

/** What a fallen latch says, in the marker object and in the archiver's own file alike. */
export interface TdeLatch {
  readonly iid: string;
  /** The key that the canary was sealed with, and whether it was made for this instance. */
  readonly provider: string;
  readonly keyId: string;
  readonly auto: boolean;
  /** When the latch fell, Unix milliseconds. */
  readonly atMs: number;
}

const latchShape = fields<TdeLatch & { readonly format: number }>({
  format: whole(1, 1),
  iid: safeId,
  provider: id,
  keyId: wrappingKeyId,
  auto: flag,
  atMs: ms,
});

/** Makes the bytes of a marker. */
export function encodeTdeLatch(latch: TdeLatch, logKey: LogKey): Buffer {
  const header = latchShape.encode({ ...latch, format: 1 }, '$');
  return encodeEnvelope(MARKER_FORMAT, { predecessor: NO_DIGEST, logKey, header });
}

/**
 * Opens and verifies a marker.
 *
 * @throws FormatError `TM_LOG_FORMAT`, IntegrityError `TM_LOG_AUTH` or `TM_LOG_CHAIN`, KeyError
 *   `TM_KEY_MISSING` when it was written with another key ring.
 */
export function decodeTdeLatch(
  bytes: Uint8Array,
  expected: { readonly iid: string; readonly logKey: LogKey },
): TdeLatch {
  const { iid, logKey } = expected;
  const context = { iid };
  const envelope = decodeEnvelope(MARKER_FORMAT, bytes, { logKey, keyProven: false, context });
  refuseTrailing(MARKER_FORMAT, bytes, envelope.length, context);
  const { format: _, ...latch } = readingHeader(MARKER_FORMAT, context, () =>
    latchShape.decode(envelope.header, '$'),
  );
  if (latch.iid !== iid || envelope.predecessor !== NO_DIGEST) {
    throw new IntegrityError('TM_LOG_CHAIN', 'a TDE marker lies under another id', {
      context: { ...context, actual: latch.iid },
    });
  }
  return latch;
}
