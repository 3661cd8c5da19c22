import { objectIdentity, segmentKey } from '@tidemark/archive';
import {
  decodeWriterEvent,
  encodeWriterEvent,
  type ObjectRef,
  type SegmentStored,
  type WriterEvent,
} from '@tidemark/catalog';
import { collectBytes, makeId, TidemarkError, type Clock, type Random } from '@tidemark/core';
import { COMPRESSION, OBJECT_KIND, Sealer } from '@tidemark/crypto';
import type { ObjectStore } from '@tidemark/store';
import type { RolledSegment } from '../capture/timeline-writer.ts';
import type { DataKeys } from './data-keys.ts';
import type { Spool } from './spool.ts';

/** Segments up to this sealed size are the body of their own log entry: one PUT commits both. */
export const INLINE_BYTES_MAX: number = 256 * 1024;

const RETRY_MS_MAX = 30_000;

/** Appends one event, one at a time, in the order of the calls. */
export type AppendEvent = (event: WriterEvent, body?: Uint8Array) => Promise<void>;

/** What a shipper works with. */
export interface ShipperOptions {
  readonly instance: string;
  readonly shard: string;
  readonly writer: string;
  readonly store: ObjectStore;
  readonly spool: Spool;
  readonly dataKeys: DataKeys;
  readonly append: AppendEvent;
  readonly clock: Clock;
  readonly random: Random;
  readonly signal: AbortSignal;
  /** Called before each wait of a retry. */
  readonly onRetry: (error: TidemarkError) => void;
}

/** Seals segments, spools them and commits them to store and log, one after the other. */
export class SegmentShipper {
  readonly #options: ShipperOptions;

  constructor(options: ShipperOptions) {
    this.#options = options;
  }

  /**
   * Makes one segment durable: key, spool, object, event (I3).
   * @throws CatalogError when another owner has taken the log; retryable faults are retried until
   *   the signal is aborted.
   */
  async ship(segment: RolledSegment, provenTo: number | null): Promise<SegmentStored> {
    const { spool, clock, random } = this.#options;
    const plainBytes = segment.payload.reduce((sum, part) => sum + part.length, 0);
    const inline = plainBytes + 1024 <= INLINE_BYTES_MAX;
    const sealed = await this.#seal(segment, plainBytes, inline);
    const event: SegmentStored = {
      type: 'SegmentStored',
      segment: segment.header,
      after: segment.after,
      object: sealed.object,
      provenTo,
      cursor: segment.cursor,
      atMs: clock.nowMs(),
    };
    const name = `${segment.header.start.toString().padStart(20, '0')}-${makeId(clock.nowMs(), random).slice(-8)}`;
    await this.#retrying(() => spool.write(name, sealed.parts));
    await spool.note(name, encodeWriterEvent(event).toString('utf8'));
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
        () => new TidemarkError('TM_SPOOL', 'a spooled object is longer than its event says'),
      );
      await this.#retrying(() => append(event, body));
    } else {
      await this.#retrying(() => store.putIfAbsent(key, spool.read(name), { signal }));
      await this.#retrying(() => append(event));
    }
    await spool.remove(name);
  }

  /**
   * Ships what an earlier run left finished in the spool, when it still follows the log; what does
   * not is dropped, since the tail delivers those bytes again.
   */
  async recover(follows: (event: WriterEvent) => boolean): Promise<number> {
    let shipped = 0;
    for (const { name, note } of await this.#options.spool.pending()) {
      const event = decodeWriterEvent(Buffer.from(note, 'utf8'));
      if (follows(event)) {
        await this.commit(name, event);
        shipped += 1;
      } else {
        await this.#options.spool.remove(name);
      }
    }
    return shipped;
  }

  async #seal(
    segment: RolledSegment,
    plainBytes: number,
    inline: boolean,
  ): Promise<{ parts: Buffer[]; object: ObjectRef }> {
    const { instance, shard, writer, dataKeys, random, clock } = this.#options;
    const dataKey = await this.#retrying(() => dataKeys.forSegment(plainBytes));
    const { timeline, start } = segment.header;
    const key = inline
      ? null
      : segmentKey(instance, shard, writer, {
          timeline,
          start,
          id: makeId(clock.nowMs(), random),
        });
    const kind = OBJECT_KIND.segment;
    const sealer = new Sealer({
      dataKey,
      kind,
      compression: COMPRESSION.zstd,
      identity: objectIdentity({ iid: instance, writer, timeline, start, kind, key }),
      random,
    });
    const parts = [sealer.begin()];
    for (const part of segment.payload) parts.push(...sealer.push(part));
    parts.push(...sealer.end());
    return {
      parts,
      object: { key, size: sealer.size, digest: sealer.digest(), dekId: dataKey.id, kind },
    };
  }

  async #retrying<T>(work: () => Promise<T>): Promise<T> {
    const { clock, signal, onRetry } = this.#options;
    for (let attempt = 0; ; attempt++) {
      try {
        return await work();
      } catch (error) {
        if (!(error instanceof TidemarkError) || !error.retryable || signal.aborted) throw error;
        onRetry(error);
        await clock.sleep(Math.min(RETRY_MS_MAX, 200 * 2 ** Math.min(attempt, 8)), signal);
      }
    }
  }
}
