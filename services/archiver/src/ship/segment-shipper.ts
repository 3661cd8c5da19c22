import { objectIdentity, segmentKey } from '@tidemark/archive';
import {
  decodeWriterEvent,
  encodeWriterEvent,
  type SegmentStored,
  type WriterEvent,
} from '@tidemark/catalog';
import { bytesOf, collectBytes, makeId, TidemarkError, type Random } from '@tidemark/core';
import {
  COMPRESSION,
  OBJECT_KIND,
  SealedDigest,
  Sealer,
  sealStream,
  type DataKey,
} from '@tidemark/crypto';
import type { ObjectStore } from '@tidemark/store';
import type { RolledSegment } from '../capture/timeline-writer.ts';
import type { CopyFolder } from '../levels/copy-folder.ts';
import type { DataKeys } from './data-keys.ts';
import { retrying, type RetryOptions } from './retry.ts';
import type { Spool } from './spool.ts';

/** Segments up to this sealed size are the body of their own log entry: one PUT commits both. */
export const INLINE_BYTES_MAX: number = 256 * 1024;

/** 64 KiB chunks: footers and single frames are read by ranges, which fetch whole chunks. */
const CHUNK_LOG2 = 16;

/** Appends one event, one at a time, in the order of the calls; waits for a store that is away. */
export type AppendEvent = (event: WriterEvent, body?: Uint8Array) => Promise<void>;

/** What a shipper works with. */
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

/** Seals segments, spools them and commits them to store and log, one after the other. */
export class SegmentShipper {
  readonly #options: ShipperOptions;

  constructor(options: ShipperOptions) {
    this.#options = options;
  }

  /**
   * Makes one segment durable: key, spool, object, event (I3).
   * @throws CatalogError when another owner has taken the log; faults that pass (the store is away,
   *   the spool is full) are retried until the signal is aborted.
   */
  async ship(segment: RolledSegment, provenTo: number | null): Promise<SegmentStored> {
    const { spool, clock, random, dataKeys } = this.#options;
    const plainBytes = segment.payload.reduce((sum, part) => sum + part.length, 0);
    await this.#options.copies?.keep(segment.header, segment.payload);
    const dataKey = await retrying(this.#options, () => dataKeys.forSegment(plainBytes));
    const key = plainBytes + 1024 <= INLINE_BYTES_MAX ? null : this.#keyOf(segment);
    const name = `${segment.header.start.toString().padStart(20, '0')}-${makeId(clock.nowMs(), random).slice(-8)}`;
    const event = await retrying(this.#options, async () => {
      // Sealed while it is written, so that it is not in memory twice; a second try seals anew.
      const sealer = this.#sealerOf(segment, key, dataKey);
      await spool.write(name, sealStream(bytesOf(...segment.payload), sealer));
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
      await spool.note(name, encodeWriterEvent(written).toString('utf8'));
      return written;
    });
    await this.commit(name, event);
    return event;
  }

  /** Puts and logs an object that lies in the spool with its note; then takes it out. */
  async commit(name: string, event: WriterEvent): Promise<void> {
    const { store, spool, append, signal } = this.#options;
    if (!('object' in event))
      throw new TidemarkError('TM_INTERNAL', 'a spooled event names no object');
    const { key, size } = event.object;
    if (key === null) {
      const body = await collectBytes(
        spool.read(name),
        size,
        () => new TidemarkError('TM_INTERNAL', 'a spooled object is longer than its event says'),
      );
      await append(event, body);
    } else {
      await retrying(this.#options, () => store.putIfAbsent(key, spool.read(name), { signal }));
      await append(event);
    }
    await spool.remove(name);
  }

  /**
   * Ships what an earlier run left finished in the spool, when it still follows the log and is what
   * its note says; else it is dropped, since the tail delivers those bytes again.
   */
  async recover(follows: (event: WriterEvent) => boolean): Promise<number> {
    let shipped = 0;
    for (const { name, note } of await this.#options.spool.pending()) {
      const event = eventOf(note);
      if (event !== null && follows(event) && (await this.#isWhole(name, event))) {
        await this.commit(name, event);
        shipped += 1;
      } else {
        await this.#options.spool.remove(name);
      }
    }
    return shipped;
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

  /** A disk may lose or change what was written before the crash. */
  async #isWhole(name: string, event: WriterEvent): Promise<boolean> {
    if (!('object' in event)) return false;
    const digest = new SealedDigest();
    try {
      for await (const part of this.#options.spool.read(name)) digest.push(part);
      return digest.end() === event.object.digest;
    } catch (cause) {
      if (cause instanceof TidemarkError) return false;
      throw cause;
    }
  }
}

function eventOf(note: string): WriterEvent | null {
  try {
    return decodeWriterEvent(Buffer.from(note, 'utf8'));
  } catch (cause) {
    if (cause instanceof TidemarkError) return null;
    throw cause;
  }
}
