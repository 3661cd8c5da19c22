import { writerLogKey } from '@tidemark/archive';
import { UNSEEN_SUCCESSOR } from '@tidemark/aof';
import {
  decodeLogEntry,
  type CatalogTimeline,
  type SegmentStored,
  type StoredObject,
  type TailCursorJson,
  type WriterEvent,
} from '@tidemark/catalog';
import { collectBytes, IntegrityError, StoreError } from '@tidemark/core';
import type { CatalogSegment } from '@tidemark/catalog';
import type { RestoreEnvironment } from '../run/environment.ts';

/** A log entry with an inline body stays below this. */
const ENTRY_BYTES_MAX = 2 * 1024 * 1024;

const GONE = 'the entries that say where the logs begin and end are kept no more';

/** Two timelines with a hole between them. */
export interface HoleEnds {
  readonly closed: CatalogTimeline;
  readonly opened: CatalogTimeline;
}

/**
 * What speaks against a hole being one rewrite and nothing else. Equal datasets alone prove nothing:
 * what was written between may have been taken back. So the old log must have been captured to the
 * end of its file, and the new one must begin in the very next file.
 * @returns The reason, or null.
 */
export async function findObstacle(
  { closed, opened }: HoleEnds,
  environment: RestoreEnvironment,
): Promise<string | null> {
  const { catalog } = environment;
  const detail = closed.closed?.detail ?? '';
  if (!detail.endsWith(UNSEEN_SUCCESSOR)) {
    return `the old log was not captured to the end of its file (${detail})`;
  }
  const end = closed.end;
  const last = catalog
    .segments(closed.timeline, { fromOffset: end > 0n ? end - 1n : 0n, toOffset: end })
    .at(-1);
  if (last === undefined) return 'nothing of the old log is stored';
  const lastEvent = await readEvent(last, 'last', environment);
  if (lastEvent === null) return GONE;
  if (lastEvent.after.partialBytes > 0 || lastEvent.after.inMulti) {
    return 'the old log ends within a command or a transaction';
  }
  const [first] = catalog.segments(opened.timeline, { fromOffset: 0n, toOffset: 1n });
  if (first === undefined) return 'nothing was written since; try again after a write';
  const firstEvent = await readEvent(first, 'first', environment);
  if (firstEvent === null) return GONE;
  const [before, after] = [lastEvent.cursor, firstEvent.cursor];
  if (before === null || after === null) return 'the files of the logs are not known';
  if (!isNumbered(before) || !isNumbered(after)) {
    return `${isNumbered(before) ? after.file : before.file} has no number of the server: another rewrite may lie between`;
  }
  if (after.seq === before.seq + 1) return null;
  return `the new log begins in file ${after.seq.toString()}, the old one ends in file ${before.seq.toString()}: another rewrite may lie between`;
}

/**
 * Whether the server itself numbered a file, without gaps. The single file before 7.0 and a base of
 * commands have numbers of ours, in the order in which they were seen.
 */
function isNumbered({ file, seq }: TailCursorJson): boolean {
  return file.endsWith(`.${seq.toString()}.incr.aof`);
}

/**
 * The log entry of a captured segment: it says in which file the segment ends.
 * @param which - Of a merged segment: the first or the last one that it holds.
 * @returns Null when it was merged, and retention has deleted its own entry.
 */
async function readEvent(
  segment: CatalogSegment,
  which: 'first' | 'last',
  environment: RestoreEnvironment,
): Promise<SegmentStored | null> {
  const { object } = segment;
  const event = await readEntry(object, object.seq, environment);
  if (event.type === 'SegmentStored') return event;
  if (event.type === 'SegmentsMerged') {
    const captured = await readEntry(object, event.captured[which], environment).catch(isGone);
    if (captured === null || captured.type === 'SegmentStored') return captured;
  }
  throw new IntegrityError('TM_LOG_CHAIN', 'a log entry is not the one the catalog knows', {
    context: { object: object.readKey },
  });
}

function isGone(cause: unknown): null {
  if (cause instanceof StoreError && cause.code === 'TM_STORE_MISSING') return null;
  throw cause;
}

async function readEntry(
  { iid, shard, writer }: StoredObject,
  seq: number,
  { store, keys, signal }: RestoreEnvironment,
): Promise<WriterEvent> {
  const key = writerLogKey(iid, shard, writer, seq);
  const tooLong = (): Error =>
    new IntegrityError('TM_LOG_FORMAT', 'a log entry is too long', { context: { object: key } });
  const bytes = await collectBytes(store.get(key, { signal }), ENTRY_BYTES_MAX, tooLong);
  const { event } = decodeLogEntry(bytes, {
    log: { iid, shard, writer },
    seq,
    predecessor: null,
    logKey: await keys.logKey(iid),
    keyProven: true,
    whole: true,
  });
  return event;
}
