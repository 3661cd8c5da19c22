import { instanceCheckpointKey } from '@tidemark/archive';
import { CatalogError, IntegrityError } from '@tidemark/core';
import type { LogKey } from '@tidemark/crypto';
import type { InstanceState } from '../model/instance-state.ts';
import { isJsonObject, WireFault } from '../model/wire/canonical-json.ts';
import { safeId } from '../model/wire/common.ts';
import { fields, whole } from '../model/wire/shape.ts';
import { instanceStateShape } from '../model/wire/state-shape.ts';
import {
  decodeEnvelope,
  encodeEnvelope,
  readingHeader,
  refuseTrailing,
  type EnvelopeFormat,
} from './envelope.ts';

/** One is written behind every entry whose number is a multiple of this. */
export const INSTANCE_CHECKPOINT_EVERY = 256;

/**
 * Which fold a checkpoint holds. To be raised with every change of what `evolveInstance` makes of the same
 * entries, and of the fields of the fold: by its fields alone nobody can tell one from another. A test
 * (instance-fold-pin) pins what fixed entries of every kind fold to under this number.
 */
const FOLD = 1;

/** Format of a checkpoint of an instance log, docs/formats/instance-record.md. */
export const INSTANCE_CHECKPOINT_FORMAT: EnvelopeFormat = {
  name: 'instance checkpoint',
  magic: Buffer.from('8b544450310d0a1a', 'hex'),
  // The fullest fold takes less than half of it: 65,536 destroyed keys, 4,096 writers.
  headerBytesMax: 16 * 1024 * 1024,
};

interface Header {
  readonly iid: string;
  readonly fold: number;
  readonly state: InstanceState;
}

const headerShape = fields<Header>({
  iid: safeId,
  fold: whole(FOLD, FOLD),
  state: instanceStateShape,
});

/**
 * Makes the bytes of a checkpoint of an instance log. The same log gives the same bytes.
 * @throws CatalogError `TM_LOG_STATE` when it would be too long; the log does without it then.
 */
export function encodeInstanceCheckpoint(
  iid: string,
  state: InstanceState,
  logKey: LogKey,
): Buffer {
  try {
    const header = headerShape.encode({ iid, fold: FOLD, state }, '$');
    const { digest: predecessor } = state;
    return encodeEnvelope(INSTANCE_CHECKPOINT_FORMAT, { predecessor, logKey, header });
  } catch (cause) {
    if (!(cause instanceof WireFault)) throw cause;
    const message = `checkpoint ${state.seq} of ${iid}: ${cause.message}`;
    throw new CatalogError('TM_LOG_STATE', message, { cause });
  }
}

/**
 * Opens and verifies a checkpoint of an instance log.
 *
 * @returns Null for one of another release whose fold is another one: the entries say what this one's is.
 * @throws FormatError `TM_LOG_FORMAT`, IntegrityError `TM_LOG_AUTH` or `TM_LOG_CHAIN`, KeyError
 *   `TM_KEY_MISSING`.
 */
export function decodeInstanceCheckpoint(
  bytes: Uint8Array,
  expected: {
    readonly iid: string;
    readonly seq: number;
    readonly logKey: LogKey;
    readonly keyProven: boolean;
  },
): InstanceState | null {
  const { iid, seq } = expected;
  const context = { iid, seq };
  const format = INSTANCE_CHECKPOINT_FORMAT;
  const envelope = decodeEnvelope(format, bytes, { ...expected, context });
  refuseTrailing(format, bytes, envelope.length, context);
  if (isJsonObject(envelope.header) && envelope.header['fold'] !== FOLD) return null;
  const header = readingHeader(format, context, () => headerShape.decode(envelope.header, '$'));
  const { state } = header;
  if (header.iid !== iid || state.seq !== seq || state.digest !== envelope.predecessor) {
    const message = `${instanceCheckpointKey(iid, seq)} belongs elsewhere`;
    throw new IntegrityError('TM_LOG_CHAIN', message, {
      context: { ...context, actual: state.seq },
    });
  }
  return state;
}
