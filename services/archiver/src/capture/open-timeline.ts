import type { IncrFile } from '@tidemark/aof';
import {
  stretchOf,
  type TimelineOpened,
  type TimelineState,
  type WriterState,
} from '@tidemark/catalog';
import { connectNode, readNodeFacts, type NodeAddress } from '@tidemark/client';
import type { Clock } from '@tidemark/core';
import { TimelineWriter, type SegmentLimits } from './timeline-writer.ts';

/** The timeline of the log that is open, or null. */
export function openTimelineOf(state: WriterState): TimelineState | null {
  return state.timeline?.closed === null ? state.timeline : null;
}

/**
 * The timeline that a tail may resume: open, with a snapshot to restore from and a cursor. One
 * without a snapshot restores nothing; it is cheaper and safer to begin anew at the present base.
 */
export function resumableTimeline(state: WriterState): TimelineState | null {
  const open = openTimelineOf(state);
  return open !== null && open.snapshot !== null && open.cursor !== null ? open : null;
}

/** A writer that goes on where the log ends. */
export function resumeWriter(
  open: TimelineState,
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
  at: { readonly file: IncrFile; readonly position: number; readonly start: number },
  clock: Clock,
  limits: SegmentLimits,
): TimelineWriter {
  const start = { offset: 0n, db: 0, inMulti: false, skipBytes: 0 };
  const writer = new TimelineWriter({ timeline, start, latestSecond: null, clock, limits });
  writer.openFile(at.file, at.position, null, at.start);
  return writer;
}

/** Which server wrote the stream, as far as it answers. */
export async function nodeOf(address: NodeAddress): Promise<TimelineOpened['node']> {
  try {
    await using client = await connectNode(address, { timeoutMs: 2_000 });
    const { runId, version, product } = await readNodeFacts(client);
    return { runId, version, product };
  } catch {
    // The files can be captured while the server does not answer.
    return { runId: 'unknown', version: 'unknown', product: 'redis' };
  }
}
