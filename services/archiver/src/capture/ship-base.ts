import type { SnapshotStored } from '@tidemark/catalog';
import { makeId, TidemarkError, type Clock } from '@tidemark/core';
import type { SegmentShipper, ShipperOptions } from '../ship/segment-shipper.ts';
import { shipSnapshot } from '../ship/snapshot-shipper.ts';
import type { WantedBase } from './base-desk.ts';
import type { TimelineWriter } from './timeline-writer.ts';

const FIRST_MARK_WAIT_MS = 60_000;
const POLL_MS = 20;

/** Ships a wanted base as the snapshot at the start of the INCR file it is aligned with. */
export async function shipBase(
  wanted: WantedBase,
  writerNow: () => TimelineWriter | null,
  options: ShipperOptions,
  shipper: SegmentShipper,
): Promise<SnapshotStored> {
  const { clock, random, signal } = options;
  const timeline = writerNow()?.timeline;
  if (timeline === undefined) throw new TidemarkError('TM_INTERNAL', 'no open timeline');
  const job = {
    backup: `bk-${makeId(clock.nowMs(), random)}`,
    path: wanted.base.path,
    timeline,
    offset: wanted.offset,
    mode: wanted.mode,
    from: async (summary: { readonly aux: Readonly<Record<string, string>> }): Promise<number> =>
      wanted.secondBefore ??
      (await firstSecond(wanted.offset, Number(summary.aux['ctime']), writerNow, clock, signal)),
  };
  return shipSnapshot(job, options, shipper);
}

/** First second that the snapshot at the start of a timeline serves. */
async function firstSecond(
  offset: bigint,
  ctime: number,
  writerNow: () => TimelineWriter | null,
  clock: Clock,
  signal: AbortSignal,
): Promise<number> {
  const deadline = clock.monotonicMs() + FIRST_MARK_WAIT_MS;
  while (writerNow()?.firstMark == null && clock.monotonicMs() < deadline) {
    await clock.sleep(POLL_MS, signal);
  }
  const mark = writerNow()?.firstMark ?? null;
  const second = Math.floor((mark?.notBeforeMs ?? clock.nowMs()) / 1000);
  // Nothing ran between the fork of the base and a first mark at its own offset: the base is the
  // state from its creation time on. Otherwise the times of the commands between are not known.
  const known = mark?.offset === offset && ctime > 0 && ctime <= second;
  return known ? ctime : second;
}
