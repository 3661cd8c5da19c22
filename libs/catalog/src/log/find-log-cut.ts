import { chooseLogCut } from '../retention/log-cut.ts';
import {
  checkpointChain,
  listCheckpoints,
  wholeFoldAt,
  type WriterLogSource,
} from './writer-log-reader.ts';

/** Damaged checkpoints that are passed over before a log is left as it is. */
const OLDER_TRIES_MAX = 8;

/** What of a writer log is needed. */
export interface NeededOfLog {
  /** The first entry whose body is something kept; null = none. */
  readonly bodies: number | null;
  /** The first entry that names something kept, or opens a timeline of it; null = none. */
  readonly any: number | null;
  /** Last entry of the log. */
  readonly lastSeq: number;
}

/** Where a log may be cut. */
export interface FoundLogCut {
  /** Entries up to it may go: the checkpoint there is the truth for them. */
  readonly seq: number;
  /** Checkpoints up to it that stay: those that it builds on, and itself. */
  readonly checkpoints: readonly number[];
}

/**
 * Finds the newest checkpoint that can stand for every entry up to it. One that holds all that is kept
 * of the log needs of them only bodies; one of an older release, everything that they say.
 *
 * @throws KeyError `TM_KEY_MISSING`, StoreError.
 */
export async function findLogCut(
  source: WriterLogSource,
  { bodies, any, lastSeq }: NeededOfLog,
): Promise<FoundLogCut | null> {
  const checkpoints = await listCheckpoints(source);
  const newest = chooseLogCut({ checkpoints, neededSeq: bodies, lastSeq });
  const whole = newest === null ? null : await wholeFoldAt(source, newest);
  if (newest !== null && whole !== null) {
    const bases = whole.rows.flatMap(({ base }) => base ?? []);
    return { seq: newest, checkpoints: [...bases, newest] };
  }
  return olderCut(source, { checkpoints, any, lastSeq });
}

/** The newest one that can be read, with all that it builds on. */
async function olderCut(
  source: WriterLogSource,
  log: { readonly checkpoints: readonly number[] } & Omit<NeededOfLog, 'bodies'>,
): Promise<FoundLogCut | null> {
  let { checkpoints } = log;
  for (let tries = 0; tries < OLDER_TRIES_MAX; tries++) {
    const seq = chooseLogCut({ checkpoints, neededSeq: log.any, lastSeq: log.lastSeq });
    const chain = seq === null ? null : await checkpointChain(source, seq);
    if (seq === null) return null;
    if (chain !== null) return { seq, checkpoints: chain };
    checkpoints = checkpoints.filter((each) => each < seq);
  }
  return null;
}
