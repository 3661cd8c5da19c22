import { objectIdentity, segmentKey } from '@tidemark/archive';
import type { SegmentStored, WriterEvent } from '@tidemark/catalog';
import { bytesOf, makeId, type Random } from '@tidemark/core';
import { COMPRESSION, OBJECT_KIND, Sealer, sealPieces, type DataKey } from '@tidemark/crypto';
import type { ObjectStore } from '@tidemark/store';
import type { RolledSegment } from '../capture/timeline-writer.ts';
import type { CopyFolder } from '../levels/copy-folder.ts';
import type { DataKeys } from './data-keys.ts';
import { retrying, type RetryOptions } from './retry.ts';
import { encodeSpoolNote } from './spool-note.ts';
import type { Spool } from './spool.ts';

/** Segments up to this sealed size are the body of their own log entry: one PUT commits both. */
export const INLINE_BYTES_MAX: number = 256 * 1024;

/** 64 KiB chunks: footers and single frames are read by ranges, which fetch whole chunks. */
const CHUNK_LOG2 = 16;

/** Appends one event, one at a time, in the order of the calls; waits for a store that is away. */
export type AppendEvent = (event: WriterEvent, body?: Uint8Array) => Promise<void>;

/** What sealing and shipping work with. */
export interface ShipperOptions extends RetryOptions {
  readonly instance: string;
  readonly shard: string;
  readonly writer: string;
  readonly store: ObjectStore;
  readonly spool: Spool;
  readonly dataKeys: DataKeys;
  /** Takes a copy of each segment, to merge it later; absent = none is kept. */
  readonly copies?: Pick<CopyFolder, 'keep'>;
  readonly append: AppendEvent;
  readonly random: Random;
}

/** A segment that lies in the spool, final and with its note. */
export interface SealedSegment {
  /** Its name in the spool. */
  readonly name: string;
  readonly event: SegmentStored;
}

/** Seals segments into the spool, one after the other. The store is not asked for anything. */
export class SegmentShipper {
  readonly #options: ShipperOptions;

  constructor(options: ShipperOptions) {
    this.#options = options;
  }

  /**
   * Seals one segment into the spool: from then on it survives a crash.
   * @throws Faults that pass (the spool is full, the key service is away) are retried until the
   *   signal is aborted; its reason then.
   */
  async seal(segment: RolledSegment, provenTo: number | null): Promise<SealedSegment> {
    const { spool, clock, dataKeys } = this.#options;
    const plainBytes = segment.payload.reduce((sum, part) => sum + part.length, 0);
    await this.#options.copies?.keep(segment.header, segment.payload);
    const key = plainBytes + 1024 <= INLINE_BYTES_MAX ? null : this.#keyOf(segment);
    const name = spool.nextName();
    const { dataKey, wrapped } = await retrying(this.#options, () => dataKeys.forSpool(plainBytes));
    const sealed = retrying(this.#options, async () => {
      // Sealed while it is written, so that it is not in memory twice; a second try seals anew.
      const sealer = this.#sealerOf(segment, key, dataKey);
      await spool.write(name, sealPieces(bytesOf(...segment.payload), sealer));
      const written: SegmentStored = {
        type: 'SegmentStored',
        segment: segment.header,
        after: segment.after,
        object: {
          key,
          size: sealer.size,
          digest: sealer.digest(),
          dekId: dataKey.id,
          kind: OBJECT_KIND.segment,
        },
        provenTo,
        cursor: segment.cursor,
        atMs: clock.nowMs(),
      };
      await spool.note(name, encodeSpoolNote({ event: written, wrapped }));
      return written;
    });
    const event = await sealed.finally(() => dataKey.key.fill(0));
    return { name, event };
  }

  #keyOf({ header }: RolledSegment): string {
    const { instance, shard, writer, random, clock } = this.#options;
    const { timeline, start } = header;
    const id = makeId(clock.nowMs(), random);
    return segmentKey(instance, shard, writer, { timeline, start, id });
  }

  #sealerOf({ header }: RolledSegment, key: string | null, dataKey: DataKey): Sealer {
    const { instance, writer, random } = this.#options;
    const { timeline, start } = header;
    const kind = OBJECT_KIND.segment;
    return new Sealer({
      dataKey,
      kind,
      compression: COMPRESSION.zstd,
      chunkLog2: CHUNK_LOG2,
      identity: objectIdentity({ iid: instance, writer, timeline, start, kind, key }),
      random,
    });
  }
}
