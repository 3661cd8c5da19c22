import { writerLogKey } from '@tidemark/archive';
import { UNSEEN_SUCCESSOR } from '@tidemark/aof';
import {
  decodeLogEntry,
  type CatalogTimeline,
  type SegmentStored,
  type TailCursorJson,
} from '@tidemark/catalog';
import { collectBytes, IntegrityError } from '@tidemark/core';
import type { CatalogSegment } from '@tidemark/catalog';
import type { RestoreEnvironment } from '../run/environment.ts';

/** A log entry with an inline body stays below this. */
const ENTRY_BYTES_MAX = 2 * 1024 * 1024;

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
  const lastEvent = await readEvent(last, environment);
  if (lastEvent.after.partialBytes > 0 || lastEvent.after.inMulti) {
    return 'the old log ends within a command or a transaction';
  }
  const [first] = catalog.segments(opened.timeline, { fromOffset: 0n, toOffset: 1n });
  if (first === undefined) return 'nothing was written since; try again after a write';
  const [before, after] = [lastEvent.cursor, (await readEvent(first, environment)).cursor];
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

/** The log entry of a segment: it says in which file the segment ends. */
async function readEvent(
  segment: CatalogSegment,
  { store, keys, signal }: RestoreEnvironment,
): Promise<SegmentStored> {
  const { iid, shard, writer, seq } = segment.object;
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
  if (event.type === 'SegmentStored') return event;
  throw new IntegrityError('TM_LOG_CHAIN', 'a log entry is not the one the catalog knows', {
    context: { object: key },
  });
}
