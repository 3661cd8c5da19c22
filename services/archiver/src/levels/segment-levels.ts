import { objectIdentity, segmentKey } from '@tidemark/archive';
import type { KeptSegment, SegmentsMerged } from '@tidemark/catalog';
import { bytesOf, collectBytes, makeId, TidemarkError, type ByteSource } from '@tidemark/core';
import { COMPRESSION, OBJECT_KIND, Sealer, sealPieces, type DataKey } from '@tidemark/crypto';
import { putSame } from '@tidemark/store';
import type { CaptureOptions } from '../capture/capture-options.ts';
import { isLost } from '../capture/follows-log.ts';
import { retrying, type RetryOptions } from '../ship/retry.ts';
import { INLINE_BYTES_MAX, type AppendEvent } from '../ship/segment-shipper.ts';
import { Spool } from '../ship/spool.ts';
import { isOfDisk, type CopyFolder, type CopyPlace } from './copy-folder.ts';
import { mergeSegments, type MergedSegment } from './merge-segments.ts';
import { LEVELS, nextMerge, type MergeRun } from './next-merge.ts';

/** Between two looks for what can be merged. */
const LOOK_MS = 1_000;
/** Sealed bytes of merged segments on their way into the store: one at a time. */
const SPOOL_BYTES_MAX = 256 * 1024 * 1024;
const CHUNK_LOG2 = 16;

/** What is asked of the place where copies lie. */
export type Copies = Pick<CopyFolder, 'has' | 'keep' | 'open' | 'remove' | 'sweep'>;

/** What the levels of a capture work with. */
export interface SegmentLevelsOptions extends RetryOptions {
  readonly capture: Pick<
    CaptureOptions,
    'instance' | 'shard' | 'writer' | 'store' | 'dataKeys' | 'log' | 'random' | 'logger'
  > & { readonly spool: Pick<Spool, 'dir'> };
  readonly copies: Copies;
  readonly append: AppendEvent;
}

/**
 * Merges the segments of the open timeline, level by level, from the copies that were kept of them.
 *
 * What is to be merged is told by the log alone, so a kill at any instant leaves nothing behind but
 * work to be done again. A merged segment is stored before the event that puts it in the place of
 * others (I3); its final bytes lie on the disk before they are put. Whatever goes wrong here, capture goes on.
 */
export class SegmentLevels {
  readonly #options: SegmentLevelsOptions;
  #spool: Spool | null = null;

  constructor(options: SegmentLevelsOptions) {
    this.#options = options;
  }

  /** Merges what is due, again and again, until the signal is aborted. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    const { logger } = this.#options.capture;
    const stopped = (): boolean => signal.aborted;
    while (!stopped()) {
      try {
        await this.look(signal);
      } catch (cause) {
        // Others find out that the log is lost; nothing else that goes wrong here is their matter.
        if (stopped() || isLost(cause)) return;
        const code = cause instanceof TidemarkError ? cause.code : null;
        logger.warn('levels', { code, error: String(cause) });
        if (code === null || code === 'TM_INTERNAL') return;
      }
      await clock.sleep(LOOK_MS, signal).catch(() => undefined);
    }
  }

  /** Merges all that is due now. */
  async look(signal: AbortSignal): Promise<void> {
    for (let run = this.#next(); run !== null && !signal.aborted; run = this.#next()) {
      await this.#merge(run);
    }
    await this.#sweep();
  }

  /** Segments of the newest timeline that the log holds, by offset. */
  #segments(): readonly KeptSegment[] {
    const { state, rows } = this.#options.capture.log;
    const timeline = state.timeline?.timeline;
    return rows.segments.filter(({ header }) => header.timeline === timeline);
  }

  #next(): MergeRun | null {
    const { timeline } = this.#options.capture.log.state;
    if (timeline === null) return null;
    return nextMerge({
      segments: this.#segments(),
      endPartialBytes: timeline.after.partialBytes,
      nowMs: this.#options.clock.nowMs(),
      isAtHand: ({ header }) => this.#options.copies.has(header),
    });
  }

  async #merge({ level, segments }: MergeRun): Promise<void> {
    const merged = await this.#read(level, segments);
    if (merged === null) return;
    const { copies, capture } = this.#options;
    const isTop = level === LEVELS.at(-1)?.level;
    if (!isTop) await copies.keep(merged.header, merged.payload);
    try {
      await this.#ship(merged, segments);
    } catch (cause) {
      if (!isTop) await copies.remove(merged.header);
      // Its timeline was closed and another one opened meanwhile.
      if (!(cause instanceof TidemarkError) || cause.code !== 'TM_LOG_STATE') throw cause;
      return;
    }
    for (const { header } of segments) await copies.remove(header);
    const { start, end } = merged.header;
    const range = { start: start.toString(), end: end.toString() };
    capture.logger.info('merged', { level, segments: segments.length, ...range });
  }

  /** The merged content; null when a copy turned out to be damaged: its segment stays as it is. */
  async #read(level: number, segments: readonly KeptSegment[]): Promise<MergedSegment | null> {
    const { copies } = this.#options;
    const { logger } = this.#options.capture;
    const headers = segments.map(({ header }) => header);
    const read: CopyPlace[] = [];
    try {
      return await mergeSegments(level, headers, (header) => {
        read.push(header);
        return copies.open(header);
      });
    } catch (cause) {
      const isFault = cause instanceof TidemarkError && cause.code !== 'TM_INTERNAL';
      const last = read.at(-1);
      if (last === undefined || (!isFault && !isOfDisk(cause))) throw cause;
      logger.warn('levels-copy', { start: last.start.toString(), error: String(cause) });
      await copies.remove(last);
      return null;
    }
  }

  /** Seals, spools, puts and logs a merged segment. */
  async #ship(merged: MergedSegment, segments: readonly KeptSegment[]): Promise<void> {
    const { capture, append, signal } = this.#options;
    const { clock } = this.#options;
    const spool = (this.#spool ??= await Spool.open(
      `${capture.spool.dir}.merged`,
      SPOOL_BYTES_MAX,
    ));
    const plainBytes = merged.payload.reduce((sum, part) => sum + part.length, 0);
    const key = plainBytes + 1024 <= INLINE_BYTES_MAX ? null : this.#keyOf(merged);
    const name = `${merged.header.start.toString().padStart(20, '0')}-${merged.header.level}`;
    const event = await retrying(this.#options, async () => {
      const dataKey = await capture.dataKeys.forSegment(plainBytes);
      try {
        const sealer = this.#sealerOf(merged, key, dataKey);
        await spool.write(name, sealPieces(bytesOf(...merged.payload), sealer));
        const { size } = sealer;
        const object = { key, size, digest: sealer.digest(), dekId: dataKey.id, kind: KIND };
        return eventOf(merged, segments, object, clock.nowMs());
      } finally {
        dataKey.key.fill(0); // a copy of our own
      }
    });
    try {
      if (key === null) {
        const tooLong = (): Error => new TidemarkError('TM_INTERNAL', 'a merged object grew');
        await append(event, await collectBytes(spool.read(name), event.object.size, tooLong));
      } else {
        const { store } = capture;
        // Other bytes there end this try: the next one seals anew, for a key of its own.
        const body = (): ByteSource => spool.read(name);
        const options = { signal, file: spool.fileOf(name) };
        await retrying(this.#options, () => putSame(store, key, body, options));
        await append(event);
      }
    } finally {
      await spool.remove(name);
    }
  }

  #keyOf({ header }: MergedSegment): string {
    const { instance, shard, writer, random } = this.#options.capture;
    const { timeline, start } = header;
    const id = makeId(this.#options.clock.nowMs(), random);
    return segmentKey(instance, shard, writer, { timeline, start, id });
  }

  #sealerOf({ header }: MergedSegment, key: string | null, dataKey: DataKey): Sealer {
    const { instance: iid, writer, random } = this.#options.capture;
    const { timeline, start } = header;
    return new Sealer({
      dataKey,
      kind: KIND,
      compression: COMPRESSION.zstd,
      chunkLog2: CHUNK_LOG2,
      identity: objectIdentity({ iid, writer, timeline, start, kind: KIND, key }),
      random,
    });
  }

  /** Copies of what can be merged no more go: of other timelines, and of the top level. */
  async #sweep(): Promise<void> {
    const { copies, capture } = this.#options;
    const { timeline } = capture.log.state;
    const top = LEVELS.at(-1)?.level ?? 0;
    const segments = this.#segments().filter(({ header }) => (header.level ?? 0) < top);
    const ahead = { timeline: timeline?.timeline ?? null, from: timeline?.end ?? 0n };
    await copies.sweep(
      segments.map(({ header }) => header),
      ahead,
    );
  }
}

const KIND = OBJECT_KIND.mergedLevel;

function eventOf(
  { header }: MergedSegment,
  segments: readonly KeptSegment[],
  object: SegmentsMerged['object'],
  atMs: number,
): SegmentsMerged {
  const [first, last] = [segments[0], segments.at(-1)];
  const proven = segments.flatMap(({ provenTo }) => (provenTo === null ? [] : [provenTo]));
  return {
    type: 'SegmentsMerged',
    segment: header,
    stretch: last?.stretch ?? 0,
    count: segments.length,
    captured: { first: first?.captured.first ?? 0, last: last?.captured.last ?? 0 },
    object,
    provenTo: proven.length === 0 ? null : Math.max(...proven),
    throughMs: last?.atMs ?? atMs,
    atMs,
  };
}
