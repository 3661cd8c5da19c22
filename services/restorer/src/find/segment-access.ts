import type { Mark, SegmentFrame } from '@tidemark/archive';
import { framesOfRange } from '@tidemark/archive';
import type { CatalogSegment } from '@tidemark/catalog';
import { nameObject, PlanError, type ByteSource } from '@tidemark/core';
import { wipeDataKey, type DataKey, type LogKey } from '@tidemark/crypto';
import {
  framesSource,
  openFooter,
  type FooterReaderOptions,
  type OpenedSegment,
  type ReadCounter,
} from '../fetch/footer-reader.ts';
import { ObjectReader } from '../fetch/object-reader.ts';
import { unwrapDataKey } from '../fetch/plan-keys.ts';
import { objectOfSegment } from '../plan/read-marks.ts';
import type { RestoreEnvironment } from '../run/environment.ts';

/** What a search runs on. */
export type SearchEnvironment = Pick<RestoreEnvironment, 'store' | 'keys' | 'catalog' | 'signal'>;

/** Opens segments of one instance; fetches each data key once and wipes them when disposed. */
export class SegmentAccess implements Disposable {
  readonly bytesRead: ReadCounter = { bytes: 0 };
  readonly #instance: string;
  readonly #environment: SearchEnvironment;
  readonly #logKey: LogKey;
  readonly #keys = new Map<string, Promise<DataKey>>();
  readonly #opened: DataKey[] = [];

  private constructor(instance: string, environment: SearchEnvironment, logKey: LogKey) {
    this.#instance = instance;
    this.#environment = environment;
    this.#logKey = logKey;
  }

  static async open(instance: string, environment: SearchEnvironment): Promise<SegmentAccess> {
    return new SegmentAccess(instance, environment, await environment.keys.logKey(instance));
  }

  /** Opens the footer of a segment; what is read from then on is counted. */
  async footer(segment: CatalogSegment): Promise<OpenedSegment> {
    return openFooter(objectOfSegment(segment), this.#options(segment));
  }

  async frames(segment: CatalogSegment): Promise<readonly SegmentFrame[]> {
    return this.#named(segment, async () => (await this.footer(segment)).footer.frames());
  }

  async marks(segment: CatalogSegment): Promise<readonly Mark[]> {
    return this.#named(segment, async () => (await this.footer(segment)).footer.marks());
  }

  /**
   * The raw commands of a range of a timeline; only frames that hold some of it are fetched.
   * @param opened - Footers that are open already, by the start of their segment.
   * @throws PlanError `TM_OFFSET_NOT_RESTORABLE` when a part of it is not stored any more.
   */
  async *commands(
    timeline: string,
    from: bigint,
    to: bigint,
    opened: ReadonlyMap<bigint, OpenedSegment>,
  ): ByteSource {
    const { catalog, signal } = this.#environment;
    let at = from;
    for (const segment of catalog.segments(timeline, { fromOffset: from, toOffset: to })) {
      signal.throwIfAborted();
      if (segment.start > at) break;
      const segmentEnd = segment.end < to ? segment.end : to;
      const open = opened.get(segment.start) ?? (await this.footer(segment));
      const frames = framesOfRange(await open.footer.frames(), at, segmentEnd);
      yield* framesSource(open, frames, { from: at, to: segmentEnd });
      at = segmentEnd;
    }
    if (at >= to) return;
    throw new PlanError('TM_OFFSET_NOT_RESTORABLE', 'a part of the log is not stored any more', {
      context: { timeline, offset: at },
    });
  }

  [Symbol.dispose](): void {
    for (const key of this.#opened) wipeDataKey(key);
    this.#opened.length = 0;
    this.#keys.clear();
  }

  #options({ object }: CatalogSegment): FooterReaderOptions {
    const { store, signal } = this.#environment;
    const { shard, writer } = object;
    const reader = new ObjectReader({
      ...{ instance: this.#instance, shard, writer, store, signal, logKey: this.#logKey },
      keyOf: (dekId) => {
        throw new PlanError('TM_INTERNAL', 'a key is asked for that was not fetched', {
          context: { dekId },
        });
      },
    });
    return { reader, keyOf: (dekId) => this.#keyOf(dekId), bytesRead: this.bytesRead };
  }

  #keyOf(dekId: string): Promise<DataKey> {
    const known = this.#keys.get(dekId);
    if (known !== undefined) return known;
    const { store, keys } = this.#environment;
    const context = { instance: this.#instance, dekId, purpose: 'segments' } as const;
    const key = unwrapDataKey(context, store, keys).then((opened) => {
      this.#opened.push(opened);
      return opened;
    });
    this.#keys.set(dekId, key);
    return key;
  }

  async #named<T>(segment: CatalogSegment, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (cause) {
      throw nameObject(cause, segment.object.readKey);
    }
  }
}
