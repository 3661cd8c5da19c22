import { instanceLogKey, writerLogKey } from '@tidemark/archive';
import {
  BODY_LENGTH_BYTES,
  decodeLogEntry,
  ENTRY_FORMAT,
  type LogEntry,
  type LogPosition,
} from './entry-codec.ts';
import { readForward } from './forward-reader.ts';
import {
  decodeInstanceEntry,
  INSTANCE_ENTRY_FORMAT,
  type InstanceLogEntry,
} from './instance-codec.ts';
import type { InstanceLogSource } from './instance-log-reader.ts';
import { LOG_BEGIN, type WriterLogSource } from './writer-log-reader.ts';

/** The bytes of an entry up to its body, which `decodeLogEntry` and `decodeInstanceEntry` verify. */
export interface WithHead {
  readonly head: Buffer;
}

/**
 * Reads a writer log forward to its end with the bytes of its entries, without their bodies.
 * @param after - The last entry known.
 * @throws As `readWriterLog`.
 */
export function readWriterHeads(
  source: WriterLogSource,
  after: LogPosition = LOG_BEGIN,
): AsyncGenerator<readonly (LogEntry & WithHead)[], void, undefined> {
  const { store, logKey, signal, iid, shard, writer } = source;
  const log = { iid, shard, writer };
  return readForward(
    {
      store,
      format: ENTRY_FORMAT,
      extraBytes: BODY_LENGTH_BYTES + 1,
      keyOf: (seq) => writerLogKey(iid, shard, writer, seq),
      decode: (bytes, seq, predecessor) => {
        const expected = { log, seq, predecessor, logKey, keyProven: true, whole: false };
        const entry = decodeLogEntry(bytes, expected);
        return { ...entry, head: bytes.subarray(0, entry.bodyOffset) };
      },
      context: log,
      signal,
    },
    after,
    'probe',
  );
}

/**
 * Reads an instance log forward to its end with the bytes of its entries.
 * @param after - The last entry known.
 * @throws As `readInstanceLog`.
 */
export function readInstanceHeads(
  source: InstanceLogSource,
  after: LogPosition = LOG_BEGIN,
): AsyncGenerator<readonly (InstanceLogEntry & WithHead)[], void, undefined> {
  const { store, logKey, signal, iid } = source;
  return readForward(
    {
      store,
      format: INSTANCE_ENTRY_FORMAT,
      extraBytes: 1,
      keyOf: (seq) => instanceLogKey(iid, seq),
      decode: (bytes, seq, predecessor) => {
        const expected = { iid, seq, predecessor, logKey, keyProven: true };
        return { ...decodeInstanceEntry(bytes, expected), head: bytes };
      },
      context: { iid },
      signal,
    },
    after,
    'probe',
  );
}
