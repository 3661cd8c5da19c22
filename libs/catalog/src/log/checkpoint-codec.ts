import { IntegrityError } from '@tidemark/core';
import type { LogKey } from '@tidemark/crypto';
import { safeId } from '../model/wire/common.ts';
import { fields } from '../model/wire/shape.ts';
import { writerStateShape } from '../model/wire/state-shape.ts';
import type { WriterState } from '../model/writer-state.ts';
import type { WriterLogId } from './entry-codec.ts';
import {
  decodeEnvelope,
  encodeEnvelope,
  HEADER_BYTES_MAX,
  readingHeader,
  refuseTrailing,
  type EnvelopeFormat,
} from './envelope.ts';

/** Entries between two checkpoints. */
export const CHECKPOINT_EVERY = 1024;

/** Format of a checkpoint, docs/formats/checkpoint.md. */
export const CHECKPOINT_FORMAT: EnvelopeFormat = {
  name: 'checkpoint',
  magic: Buffer.from('8b544443310d0a1a', 'hex'),
  headerBytesMax: HEADER_BYTES_MAX,
};

interface CheckpointHeader extends WriterLogId {
  readonly state: WriterState;
}

const headerShape = fields<CheckpointHeader>({
  iid: safeId,
  shard: safeId,
  writer: safeId,
  state: writerStateShape,
});

/** Whether a checkpoint belongs after this entry. */
export function isCheckpointSeq(seq: number): boolean {
  return seq > 0 && seq % CHECKPOINT_EVERY === 0;
}

/** Makes the bytes of a checkpoint. The same fold gives the same bytes. */
export function encodeCheckpoint(log: WriterLogId, state: WriterState, logKey: LogKey): Buffer {
  const { iid, shard, writer } = log;
  const header = headerShape.encode({ iid, shard, writer, state }, '$');
  return encodeEnvelope(CHECKPOINT_FORMAT, { predecessor: state.digest, logKey, header });
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
): WriterState {
  const { iid, shard, writer } = expected.log;
  const context = { iid, shard, writer, seq: expected.seq };
  const envelope = decodeEnvelope(CHECKPOINT_FORMAT, bytes, { ...expected, context });
  refuseTrailing(CHECKPOINT_FORMAT, bytes, envelope.length, context);
  const header = readingHeader(CHECKPOINT_FORMAT, context, () =>
    headerShape.decode(envelope.header, '$'),
  );
  const { state } = header;
  const here = header.iid === iid && header.shard === shard && header.writer === writer;
  if (!here || state.seq !== expected.seq || state.digest !== envelope.predecessor) {
    throw new IntegrityError('TM_LOG_CHAIN', `checkpoint ${expected.seq} belongs elsewhere`, {
      context: { ...context, actual: state.seq },
    });
  }
  return state;
}
