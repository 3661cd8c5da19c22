import { CatalogError, IntegrityError } from '@tidemark/core';
import type { LogKey } from '@tidemark/crypto';
import { safeId } from '../model/wire/common.ts';
import { fields } from '../model/wire/shape.ts';
import { isJsonObject, WireFault, type Json } from '../model/wire/canonical-json.ts';
import { keptRowsShape } from '../model/wire/kept-shape.ts';
import { writerStateShape } from '../model/wire/state-shape.ts';
import { NO_ROWS, type KeptRows } from '../model/kept-rows.ts';
import type { WriterState } from '../model/writer-state.ts';
import type { WriterLogId } from './entry-codec.ts';
import {
  decodeEnvelope,
  encodeEnvelope,
  readingHeader,
  refuseTrailing,
  type EnvelopeFormat,
} from './envelope.ts';

/**
 * Largest header of a checkpoint: far above what `KEPT_ROWS_MAX` rows and those of the entries since
 * then take.
 */
const CHECKPOINT_BYTES_MAX = 32 * 1024 * 1024;

/** Format of a checkpoint, docs/formats/checkpoint.md. */
export const CHECKPOINT_FORMAT: EnvelopeFormat = {
  name: 'checkpoint',
  magic: Buffer.from('8b544443310d0a1a', 'hex'),
  headerBytesMax: CHECKPOINT_BYTES_MAX,
};

/** What a checkpoint holds. */
export interface Checkpoint {
  readonly state: WriterState;
  /** One of a release without merged levels holds none, and is its own base: read the entries. */
  readonly rows: KeptRows;
}

interface CheckpointHeader extends WriterLogId, Checkpoint {}

const place = { iid: safeId, shard: safeId, writer: safeId };
const headerShape = fields<CheckpointHeader>({
  ...place,
  state: writerStateShape,
  rows: keptRowsShape,
});
const firstHeaderShape = fields<Omit<CheckpointHeader, 'rows'>>({
  ...place,
  state: writerStateShape,
});

/**
 * Makes the bytes of a checkpoint. The same log gives the same bytes.
 * @throws CatalogError `TM_LOG_STATE` when it would be too long; the log does without it then.
 */
export function encodeCheckpoint(
  log: WriterLogId,
  { state, rows }: Checkpoint,
  logKey: LogKey,
): Buffer {
  const { iid, shard, writer } = log;
  try {
    const header = headerShape.encode({ iid, shard, writer, state, rows }, '$');
    return encodeEnvelope(CHECKPOINT_FORMAT, { predecessor: state.digest, logKey, header });
  } catch (cause) {
    if (!(cause instanceof WireFault)) throw cause;
    throw new CatalogError('TM_LOG_STATE', `checkpoint ${state.seq}: ${cause.message}`, { cause });
  }
}

/**
 * Opens and verifies a checkpoint.
 *
 * @throws FormatError `TM_LOG_FORMAT`, IntegrityError `TM_LOG_AUTH` or `TM_LOG_CHAIN`, KeyError
 *   `TM_KEY_MISSING`.
 */
export function decodeCheckpoint(
  bytes: Uint8Array,
  expected: {
    readonly log: WriterLogId;
    readonly seq: number;
    readonly logKey: LogKey;
    readonly keyProven: boolean;
  },
): Checkpoint {
  const { iid, shard, writer } = expected.log;
  const context = { iid, shard, writer, seq: expected.seq };
  const envelope = decodeEnvelope(CHECKPOINT_FORMAT, bytes, { ...expected, context });
  refuseTrailing(CHECKPOINT_FORMAT, bytes, envelope.length, context);
  const header = readingHeader(CHECKPOINT_FORMAT, context, () => headerOf(envelope.header));
  const { state, rows } = header;
  const here = header.iid === iid && header.shard === shard && header.writer === writer;
  if (!here || state.seq !== expected.seq || state.digest !== envelope.predecessor) {
    throw new IntegrityError('TM_LOG_CHAIN', `checkpoint ${expected.seq} belongs elsewhere`, {
      context: { ...context, actual: state.seq },
    });
  }
  if (rows.base !== null && rows.base > state.seq) {
    throw new IntegrityError('TM_LOG_CHAIN', `checkpoint ${expected.seq} names a later one`, {
      context: { ...context, base: rows.base },
    });
  }
  return { state, rows };
}

function headerOf(json: Json): CheckpointHeader {
  if (isJsonObject(json) && 'rows' in json) return headerShape.decode(json, '$');
  const first = firstHeaderShape.decode(json, '$');
  return { ...first, rows: { ...NO_ROWS, base: first.state.seq } };
}
