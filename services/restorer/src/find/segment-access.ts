import { framesOfRange, unpackSnapshot, type Mark, type SegmentFrame } from '@tidemark/archive';
import type { CatalogSegment, CatalogSnapshot, StoredObject } from '@tidemark/catalog';
import { KeyError, nameObject, PlanError, UsageError, type ByteSource } from '@tidemark/core';
import { wipeDataKey, type DataKey, type KeyPurpose, type LogKey } from '@tidemark/crypto';
import {
  framesSource,
  openFooter,
  type FooterReaderOptions,
  type OpenedSegment,
  type ReadCounter,
} from '../fetch/footer-reader.ts';
import { ObjectReader } from '../fetch/object-reader.ts';
import { allGenerations, type KnownGenerations } from '../fetch/key-generations.ts';
import { LISTED_ONE_BY_ONE, unwrapDataKey } from '../fetch/plan-keys.ts';
import { objectOfSegment } from '../plan/read-marks.ts';
import type { RestoreEnvironment } from '../run/environment.ts';

/** What a search runs on. */
export type SearchEnvironment = Pick<RestoreEnvironment, 'store' | 'keys' | 'catalog' | 'signal'>;

/** Segments that are kept open: those that are looked at ahead, and neighbours. */
const FOOTERS_KEPT = 20;

/** Opens segments of one instance; fetches each data key once and wipes them when disposed. */
export class SegmentAccess implements Disposable {
  readonly bytesRead: ReadCounter = { bytes: 0 };
  readonly #instance: string;
  readonly #environment: SearchEnvironment;
  readonly #logKey: LogKey;
  /** In the order of their last use. */
  readonly #footers = new Map<string, Promise<OpenedSegment>>();
  readonly #keys = new Map<string, Promise<DataKey>>();
  readonly #opened = new Map<string, DataKey>();
  /** Of every data key, once some of them were listed one by one. */
  #generations: Promise<KnownGenerations> | null = null;

  private constructor(instance: string, environment: SearchEnvironment, logKey: LogKey) {
    this.#instance = instance;
    this.#environment = environment;
    this.#logKey = logKey;
  }

  /** @throws UsageError `TM_NOT_FOUND`. */
  static async open(instance: string, environment: SearchEnvironment): Promise<SegmentAccess> {
    if (!environment.catalog.instances().some(({ iid }) => iid === instance)) {
      throw new UsageError('TM_NOT_FOUND', `no instance ${instance} is in the store`, {
        hint: 'tidemark instance list',
      });
    }
    return new SegmentAccess(instance, environment, await environment.keys.logKey(instance));
  }

  /** Opens the footer of a segment; what is read from then on is counted. The last ones are kept. */
  footer(segment: CatalogSegment): Promise<OpenedSegment> {
    const name = `${segment.timeline}/${segment.start.toString()}`;
    const opened =
      this.#footers.get(name) ?? openFooter(objectOfSegment(segment), this.#options(segment));
    this.#footers.delete(name);
    this.#footers.set(name, opened);
    const [oldest] = this.#footers.keys();
    if (this.#footers.size > FOOTERS_KEPT && oldest !== undefined) this.#footers.delete(oldest);
    return opened;
  }

  async frames(segment: CatalogSegment): Promise<readonly SegmentFrame[]> {
    return this.#named(segment, async () => (await this.footer(segment)).footer.frames());
  }

  async marks(segment: CatalogSegment): Promise<readonly Mark[]> {
    return this.#named(segment, async () => (await this.footer(segment)).footer.marks());
  }

  /** The RDB of a snapshot, from its first byte on. */
  async *rdb({ timeline, offset, object }: CatalogSnapshot): ByteSource {
    await this.#keyOf(object.dekId, 'snapshot');
    const reader = this.#reader(object);
    try {
      yield* unpackSnapshot(reader.opened({ ref: object, timeline, start: offset }), {
        expect: { timeline, offset },
      });
    } catch (cause) {
      throw nameObject(cause, object.readKey);
    }
  }

  /**
   * The raw commands of a range of a timeline; only frames that hold some of it are fetched.
   * @throws PlanError `TM_OFFSET_NOT_RESTORABLE` when a part of it is not stored any more.
   */
  async *commands(timeline: string, from: bigint, to: bigint): ByteSource {
    const { catalog, signal } = this.#environment;
    let at = from;
    for (const segment of catalog.segments(timeline, { fromOffset: from, toOffset: to })) {
      signal.throwIfAborted();
      if (segment.start > at) break;
      const segmentEnd = segment.end < to ? segment.end : to;
      const open = await this.footer(segment);
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
    for (const key of this.#opened.values()) wipeDataKey(key);
    this.#opened.clear();
    this.#keys.clear();
    this.#footers.clear();
  }

  #options({ object }: CatalogSegment): FooterReaderOptions {
    return {
      reader: this.#reader(object),
      keyOf: (dekId) => this.#keyOf(dekId, 'segments'),
      bytesRead: this.bytesRead,
    };
  }

  #reader({ shard, writer }: Pick<StoredObject, 'shard' | 'writer'>): ObjectReader {
    const { store, signal } = this.#environment;
    return new ObjectReader({
      ...{ instance: this.#instance, shard, writer, store, signal, logKey: this.#logKey },
      keyOf: (dekId) => {
        const key = this.#opened.get(dekId);
        if (key !== undefined) return key;
        throw new KeyError('TM_KEY_MISSING', 'a data key was not fetched', { context: { dekId } });
      },
    });
  }

  #keyOf(dekId: string, purpose: KeyPurpose): Promise<DataKey> {
    const known = this.#keys.get(dekId);
    if (known !== undefined) return known;
    const key = this.#unwrap(dekId, purpose);
    this.#keys.set(dekId, key);
    return key;
  }

  async #unwrap(dekId: string, purpose: KeyPurpose): Promise<DataKey> {
    const { store, keys, signal } = this.#environment;
    const instance = this.#instance;
    if (this.#keys.size >= LISTED_ONE_BY_ONE) {
      this.#generations ??= allGenerations(instance, store, signal);
    }
    const known = (await this.#generations)?.get(dekId);
    const opened = await unwrapDataKey({ instance, dekId, purpose }, store, keys, known);
    this.#opened.set(dekId, opened);
    return opened;
  }

  async #named<T>(segment: CatalogSegment, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (cause) {
      throw nameObject(cause, segment.object.readKey);
    }
  }
}
