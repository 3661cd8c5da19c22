import { instanceLogKey, writerLogKey } from '@tidemark/archive';
import { decodeInstanceEntry, decodeLogEntry } from '@tidemark/catalog';
import { TidemarkError, type ByteSource } from '@tidemark/core';
import type { LogKey } from '@tidemark/crypto';
import type { GetOptions, ListOptions, ObjectInfo, ObjectStore, PutOutcome } from '@tidemark/store';
import type { BusDelivery } from '../bus.ts';
import { decodeEventMessage, logKeyOf, type EventMessage, type LogName } from './event-message.ts';

/** Bytes of entries that are held; the rest is read from the store. */
const BYTES_MAX = 64 * 1024 * 1024;

/** An entry that a topic has and its store has not. */
export interface MissingEntry {
  /** Of the object. */
  readonly key: string;
  readonly log: LogName;
}

/** What became of the messages. */
export interface TopicCounts {
  readonly taken: number;
  /** Known before: another publisher, or sent again. */
  readonly repeated: number;
  /** Not well formed, or not authentic. */
  readonly refused: number;
  /** Over the limit of memory. */
  readonly dropped: number;
}

/**
 * Entries of logs as a topic gave them, each verified, in front of the store that they are of.
 *
 * A catalog that is brought up to date from here verifies every chain as it always does; whatever the
 * topic lacks, and where each log ends, the store says.
 */
export class TopicStore implements ObjectStore {
  readonly url: string;
  readonly #store: ObjectStore;
  readonly #logKey: (iid: string) => Promise<LogKey>;
  readonly #bytesMax: number;
  readonly #instances: ReadonlySet<string>;
  readonly #heads = new Map<string, Buffer>();
  readonly #newest = new Map<string, { readonly log: LogName; readonly seq: number }>();
  #bytes = 0;
  #counts = { taken: 0, repeated: 0, refused: 0, dropped: 0 };
  #served = 0;

  /** @param instances - Those of the store; messages of others say nothing of it. */
  constructor(
    store: ObjectStore,
    logKey: (iid: string) => Promise<LogKey>,
    instances: readonly string[],
    bytesMax: number = BYTES_MAX,
  ) {
    this.#instances = new Set(instances);
    this.url = store.url;
    this.#store = store;
    this.#logKey = logKey;
    this.#bytesMax = bytesMax;
  }

  get counts(): TopicCounts {
    return this.#counts;
  }

  /** Entries that were read from here instead of the store. */
  get served(): number {
    return this.#served;
  }

  /** Takes a message of the topic of events; never throws for what it says. */
  async take(delivery: BusDelivery): Promise<void> {
    const counts = this.#counts;
    try {
      const message = decodeEventMessage(delivery.value);
      if (!this.#instances.has(message.log.iid)) return;
      const key = objectKey(message);
      if (this.#heads.has(key)) {
        counts.repeated += 1;
        return;
      }
      await this.#verify(message);
      const { log, seq, head } = message;
      const name = logKeyOf(log);
      if (seq > (this.#newest.get(name)?.seq ?? -1)) this.#newest.set(name, { log, seq });
      if (this.#bytes + head.length > this.#bytesMax) {
        counts.dropped += 1;
        return;
      }
      this.#heads.set(key, head);
      this.#bytes += head.length;
      counts.taken += 1;
    } catch (error) {
      // Of a bad message, not of a key that cannot be had now.
      if (!(error instanceof TidemarkError) || error.retryable) throw error;
      counts.refused += 1;
    }
  }

  /**
   * Newest entries of the topic that the store does not have: it was set back, or has lost them.
   * @returns Their keys, and the logs that they are of.
   */
  async missing(): Promise<readonly MissingEntry[]> {
    const found: MissingEntry[] = [];
    for (const { log, seq } of this.#newest.values()) {
      const key = objectKey({ log, seq });
      if ((await this.#store.head(key)) === null) found.push({ key, log });
    }
    return found.sort((a, b) => (a.key < b.key ? -1 : 1));
  }

  get(key: string, options: GetOptions = {}): ByteSource {
    const head = this.#heads.get(key);
    if (head === undefined || options.start !== undefined || options.end !== undefined) {
      return this.#store.get(key, options);
    }
    this.#served += 1;
    return once(head);
  }

  head(key: string): Promise<ObjectInfo | null> {
    return this.#store.head(key);
  }

  list(prefix: string, options?: ListOptions): AsyncIterable<readonly ObjectInfo[]> {
    return this.#store.list(prefix, options);
  }

  putIfAbsent(...args: Parameters<ObjectStore['putIfAbsent']>): Promise<PutOutcome> {
    return this.#store.putIfAbsent(...args);
  }

  delete(key: string): Promise<void> {
    return this.#store.delete(key);
  }

  async #verify({ log, seq, head }: EventMessage): Promise<void> {
    const logKey = await this.#logKey(log.iid);
    const expected = { seq, predecessor: null, logKey, keyProven: true };
    if (log.writer === null) decodeInstanceEntry(head, { ...expected, iid: log.iid });
    else decodeLogEntry(head, { ...expected, log, whole: false });
  }
}

function objectKey({ log, seq }: Pick<EventMessage, 'log' | 'seq'>): string {
  return log.writer === null
    ? instanceLogKey(log.iid, seq)
    : writerLogKey(log.iid, log.shard, log.writer, seq);
}

// eslint wants an await in a generator that is asynchronous for its type alone.
async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  await Promise.resolve();
  yield bytes;
}
