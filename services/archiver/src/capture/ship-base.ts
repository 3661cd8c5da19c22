import type { SnapshotStored } from '@tidemark/catalog';
import { makeId, TidemarkError, type Clock } from '@tidemark/core';
import type { LogFields } from '../logger.ts';
import type { Backlog } from '../ship/backlog.ts';
import type { ShipperOptions } from '../ship/segment-shipper.ts';
import { shipSnapshot } from '../ship/snapshot-shipper.ts';
import type { WantedBase } from './base-desk.ts';
import type { TimelineWriter } from './timeline-writer.ts';

const FIRST_MARK_WAIT_MS = 60_000;
const POLL_MS = 20;
const DISK_WAIT_MS = 30_000;

/** A base that is wanted, and the first second that its timeline serves. */
export interface TimelineBase extends WantedBase {
  readonly servesFrom: number | null;
  /** Whether its timeline has no snapshot yet. Default: it has. */
  readonly isFirst?: boolean;
  /** Whether its timeline is about to be closed: then nothing is waited for. Default: it is not. */
  readonly isLeft?: () => boolean;
}

/** Ships a wanted base as the snapshot at the start of the INCR file it is aligned with. */
export async function shipBase(
  wanted: TimelineBase,
  writerNow: () => TimelineWriter | null,
  options: ShipperOptions,
  backlog: Pick<Backlog, 'ship'>,
): Promise<SnapshotStored> {
  const { clock, random, signal } = options;
  const { isLeft = () => false } = wanted;
  // The one it belongs to: another timeline may be open before the snapshot is shipped.
  const writer = writerNow();
  if (writer === null) throw new TidemarkError('TM_INTERNAL', 'no open timeline');
  const job = {
    backup: `bk-${makeId(clock.nowMs(), random)}`,
    open: wanted.base.open,
    timeline: writer.timeline,
    offset: wanted.offset,
    mode: wanted.mode,
    from: async (summary: { readonly aux: Readonly<Record<string, string>> }): Promise<number> =>
      Math.max(
        wanted.servesFrom ?? -Infinity,
        secondServed(wanted) ??
          (await firstSecond(
            { offset: wanted.offset, ctime: Number(summary.aux['ctime']), isLeft },
            writer,
            clock,
            signal,
          )),
      ),
  };
  // Without its first snapshot a timeline restores nothing: room on the spool's disk is waited for.
  for (;;) {
    try {
      return await shipSnapshot(job, options, backlog);
    } catch (cause) {
      if (!isDiskFull(cause) || isLeft() || writerNow() !== writer) throw cause;
      options.onRetry(cause);
    }
    await clock.sleep(DISK_WAIT_MS, signal);
  }
}

/** What a base that was not shipped failed with, for the log. */
export function faultOfBase(cause: unknown): LogFields {
  const code = cause instanceof TidemarkError ? cause.code : 'TM_INTERNAL';
  const error = cause instanceof Error ? cause.message : String(cause);
  const offset = cause instanceof TidemarkError ? (cause.context['offset'] ?? null) : null;
  return { code, error, at: offset === null ? null : offset.toString() };
}

/** Full for now; a snapshot that is over `state.spool_max` is so at every try. */
function isDiskFull(cause: unknown): cause is TidemarkError {
  const spool = cause instanceof TidemarkError && cause.code === 'TM_SPOOL';
  return spool && !('bytesMax' in cause.context);
}

/**
 * The latest second seen before a base, which it serves: its cut lies behind it. A sample that was on
 * its way may still stand before one that lies within the stream, and with it the cut of that second.
 * An earlier snapshot serves it then; where there is none, the base serves from the next second on.
 */
function secondServed({ base, offset, secondBefore, isFirst }: TimelineBase): number | null {
  if (secondBefore === null) return null;
  const isBeside = base.position !== undefined && offset > 0n;
  return isBeside && isFirst === true ? secondBefore + 1 : secondBefore;
}

/** First second that the snapshot at the start of a timeline serves. */
async function firstSecond(
  base: { readonly offset: bigint; readonly ctime: number; readonly isLeft: () => boolean },
  writer: TimelineWriter,
  clock: Clock,
  signal: AbortSignal,
): Promise<number> {
  const { offset, ctime, isLeft } = base;
  const deadline = clock.monotonicMs() + FIRST_MARK_WAIT_MS;
  while (writer.firstMark === null && !isLeft() && clock.monotonicMs() < deadline) {
    await clock.sleep(POLL_MS, signal);
  }
  const mark = writer.firstMark;
  const second = Math.floor((mark?.notBeforeMs ?? clock.nowMs()) / 1000);
  // Nothing ran between the fork of the base and a first mark at its own offset: the base is the
  // state from its creation time on. Otherwise the times of the commands between are not known.
  const known = mark?.offset === offset && ctime > 0 && ctime <= second;
  return known ? ctime : second;
}
