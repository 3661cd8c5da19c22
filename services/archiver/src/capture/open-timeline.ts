import type { IncrFile } from '@tidemark/aof';
import {
  stretchOf,
  type TailCursorJson,
  type TimelineOpened,
  type TimelineState,
  type WriterState,
} from '@tidemark/catalog';
import { connectNode, readNodeFacts, takeSample, type NodeLocator } from '@tidemark/client';
import type { Clock } from '@tidemark/core';
import type { TimelineNote } from './timeline-note.ts';
import { TimelineWriter, type SegmentLimits } from './timeline-writer.ts';

/** The timeline of the log that is open, or null. */
export function openTimelineOf(state: WriterState): TimelineState | null {
  return state.timeline?.closed === null ? state.timeline : null;
}

/** A timeline that a tail may resume, and where. */
export interface ResumableTimeline extends TimelineState {
  readonly cursor: TailCursorJson;
  /** Whether it has no snapshot yet, and its first base stands in the file that it stands in. */
  readonly atFirstFile: boolean;
}

/**
 * The timeline that a tail may resume: open, and its place in the files is known. One without a
 * snapshot restores nothing; it is gone on with only as long as its first base is at hand.
 * @param note - What this host knows of it beyond the log.
 */
export function resumableTimeline(
  state: WriterState,
  note: TimelineNote | null = null,
): ResumableTimeline | null {
  const open = openTimelineOf(state);
  if (open === null) return null;
  const start = note?.timeline === open.timeline ? note.start : null;
  const cursor = open.cursor ?? (open.end === 0n ? start : null);
  if (cursor === null) return null;
  if (open.snapshot !== null) return { ...open, cursor, atFirstFile: false };
  if (start === null || (open.source === 'aof' && start.position !== 0)) return null;
  const first = start.seq === cursor.seq && start.ino === cursor.ino;
  return first && start.dev === cursor.dev ? { ...open, cursor, atFirstFile: true } : null;
}

/** A writer that goes on where the log ends. */
export function resumeWriter(
  open: ResumableTimeline,
  at: { readonly file: IncrFile; readonly position: number },
  clock: Clock,
  limits: SegmentLimits,
): TimelineWriter {
  const partial = open.after.partialBytes;
  const writer = new TimelineWriter({
    timeline: open.timeline,
    start: {
      offset: open.end - BigInt(partial),
      db: open.after.db,
      inMulti: open.after.inMulti,
      skipBytes: partial,
    },
    latestSecond: latestSecondOf(open),
    stretch: stretchOf(open),
    clock,
    limits,
  });
  writer.openFile(at.file, at.position, open.cursor);
  if (open.atFirstFile) writer.noteFirstFile(at.file);
  return writer;
}

/** The latest second that the log tells of, since the last step back of the clock. */
function latestSecondOf({ provenTo, steps }: TimelineState): number | null {
  if (provenTo !== null) return provenTo + 1;
  const back = steps.filter(({ direction }) => direction === 'back').at(-1);
  return back === undefined ? null : Math.floor(back.sinceMs / 1000);
}

/** A writer at offset 0 of a new timeline. */
export function freshWriter(
  timeline: string,
  at: {
    readonly file: IncrFile;
    readonly position: number;
    readonly start: number;
    /** Database that the stream begins in. Default 0. */
    readonly db?: number;
  },
  clock: Clock,
  limits: SegmentLimits,
): TimelineWriter {
  const start = { offset: 0n, db: at.db ?? 0, inMulti: false, skipBytes: 0 };
  const writer = new TimelineWriter({ timeline, start, latestSecond: null, clock, limits });
  writer.openFile(at.file, at.position, null, at.start);
  return writer;
}

/** The present second and the one in which the server process was started, by its own clock. */
export interface ServerSeconds {
  readonly now: number;
  readonly start: number;
}

/** Seconds of the server's own clock; null when it does not answer. */
export async function serverSeconds(locator: NodeLocator): Promise<ServerSeconds | null> {
  try {
    await using client = await connectNode(await locator.locate(), { timeoutMs: 2_000 });
    const { timeUs, uptimeSeconds } = await takeSample(client);
    const now = Math.floor(timeUs / 1e6);
    return { now, start: now - uptimeSeconds };
  } catch {
    return null;
  }
}

/**
 * The first second that a new timeline may serve; null when it may serve all that its log tells of.
 *
 * Its log may reach back to before the timeline in front of it, over seconds that are that one's or
 * lie in the hole between the two. A server that was started since may have cut its log off, or gone
 * on in an old one: then from its start on.
 * @param previous - The timeline before it. It may have ended before it proved anything: then the
 *   new one stands where that one stood.
 * @param note - What this host knows of `previous`, or of another one.
 * @param server - The seconds of the server, or where it does not answer of this host.
 */
export function firstOwnSecond(
  previous: TimelineState | null,
  note: TimelineNote | null,
  { now, start }: ServerSeconds,
): number | null {
  if (previous === null) return null;
  const { provenTo, steps } = previous;
  const noted = note?.timeline === previous.timeline ? note.servesFrom : undefined;
  // After a step back, or when nobody knows where it stood, nothing is sure but the present.
  if (provenTo === null && (steps.length > 0 || noted === undefined)) return now;
  const after = provenTo === null ? noted : Math.max(provenTo + 1, noted ?? provenTo + 1);
  if (after == null) return null;
  // With a clock that was set back meanwhile the time of the one before says nothing.
  return after > now + 1 ? now : Math.max(after, start);
}

/**
 * Which server wrote the stream, as far as it answers.
 * @param before - What the timeline before it says.
 */
export async function nodeOf(
  locator: NodeLocator,
  before: TimelineOpened['node'] | null = null,
): Promise<TimelineOpened['node']> {
  try {
    await using client = await connectNode(await locator.locate(), { timeoutMs: 2_000 });
    const { runId, version, product } = await readNodeFacts(client);
    return { runId, version, product };
  } catch {
    // The files can be captured while the server does not answer.
    const { version, product } = before ?? { version: 'unknown', product: 'redis' };
    return { runId: 'unknown', version, product };
  }
}
