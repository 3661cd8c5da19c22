import { writerLogKey } from '@tidemark/archive';
import {
  listInstanceIds,
  readInstanceLog,
  readInstanceRecord,
  readWriterLog,
  type LogEntry,
  type WriterEvent,
  type WriterLogId,
} from '@tidemark/catalog';
import { TidemarkError } from '@tidemark/core';
import {
  OBJECT_KIND,
  wipeDataKey,
  type DataKey,
  type KeyProvider,
  type LogKey,
} from '@tidemark/crypto';
import type { ObjectStore } from '@tidemark/store';
import { ObjectReader } from '../fetch/object-reader.ts';
import { unwrapDataKey } from '../fetch/plan-keys.ts';
import type { PlannedObject } from '../plan/restore-plan.ts';
import { verifyObjects } from './verify-objects.ts';

/** Faults that are listed; more are only counted. */
const FAULTS_LISTED_MAX = 100;

/** One damaged or missing thing. */
export interface RepoFault {
  readonly instance: string;
  readonly code: string;
  readonly exitCode: number;
  readonly message: string;
}

/** What a verification found. */
export interface RepoVerification {
  readonly instances: number;
  readonly entries: number;
  readonly objects: number;
  readonly bytes: number;
  readonly faultCount: number;
  readonly faults: readonly RepoFault[];
}

/** What a verification looks with. */
export interface VerifyRepoOptions {
  readonly store: ObjectStore;
  readonly keys: KeyProvider;
  readonly signal: AbortSignal;
  readonly onProgress: (objects: number, bytes: number) => void;
}

/**
 * Reads every record, log entry and object of a store and authenticates each byte. A fault does not
 * end it: all of them are found in one run.
 */
export async function verifyRepo(options: VerifyRepoOptions): Promise<RepoVerification> {
  const run = new RepoRun(options);
  for (const iid of await listInstanceIds(options.store, options.signal)) await run.instance(iid);
  return run.result();
}

class RepoRun {
  readonly #options: VerifyRepoOptions;
  #instances = 0;
  #entries = 0;
  #objects = 0;
  #bytes = 0;
  #faultCount = 0;
  readonly #faults: RepoFault[] = [];

  constructor(options: VerifyRepoOptions) {
    this.#options = options;
  }

  result(): RepoVerification {
    return {
      instances: this.#instances,
      entries: this.#entries,
      objects: this.#objects,
      bytes: this.#bytes,
      faultCount: this.#faultCount,
      faults: this.#faults,
    };
  }

  async instance(iid: string): Promise<void> {
    const { store, keys, signal } = this.#options;
    this.#instances += 1;
    const logKey = await keys.logKey(iid);
    const source = { store, iid, logKey, signal };
    await this.#guard(iid, async () => {
      await readInstanceRecord(source);
    });
    const writers: WriterLogId[] = [];
    await this.#guard(iid, async () => {
      for await (const batch of readInstanceLog(source, { endCheck: 'list' })) {
        for (const { event } of batch) {
          this.#entries += 1;
          if (event.type === 'WriterRegistered') {
            writers.push({ iid, shard: event.shard, writer: event.writer });
          }
        }
      }
    });
    for (const writer of writers) await this.#guard(iid, () => this.#writer(writer, logKey));
  }

  async #writer(log: WriterLogId, logKey: LogKey): Promise<void> {
    const { store, signal } = this.#options;
    const dataKeys = new Map<string, DataKey>();
    try {
      const source = { ...log, store, logKey, signal };
      for await (const batch of readWriterLog(source, { endCheck: 'list' })) {
        for (const entry of batch) {
          this.#entries += 1;
          const object = objectOf(entry, log);
          if (object !== null) {
            await this.#guard(log.iid, () => this.#object(object, log, logKey, dataKeys));
          }
        }
      }
    } finally {
      for (const key of dataKeys.values()) wipeDataKey(key);
    }
  }

  async #object(
    object: PlannedObject,
    log: WriterLogId,
    logKey: LogKey,
    dataKeys: Map<string, DataKey>,
  ): Promise<void> {
    const { store, keys, signal, onProgress } = this.#options;
    const { dekId, kind } = object.ref;
    let dataKey = dataKeys.get(dekId);
    if (dataKey === undefined) {
      const purpose = kind === OBJECT_KIND.snapshot ? 'snapshot' : 'segments';
      dataKey = await unwrapDataKey({ instance: log.iid, dekId, purpose }, store, keys);
      dataKeys.set(dekId, dataKey);
    }
    const known = dataKey;
    const keyOf = (): DataKey => known;
    const { iid: instance, shard, writer } = log;
    const reader = new ObjectReader({ instance, shard, writer, store, logKey, keyOf, signal });
    this.#objects += 1;
    this.#bytes += await verifyObjects([object], 'full', { store, reader, keyOf, signal });
    onProgress(this.#objects, this.#bytes);
  }

  async #guard(instance: string, work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (cause) {
      if (!(cause instanceof TidemarkError) || this.#options.signal.aborted) throw cause;
      this.#faultCount += 1;
      if (this.#faults.length >= FAULTS_LISTED_MAX) return;
      const { code, exitCode, message } = cause;
      const where = cause.context['object'] ?? cause.context['seq'];
      const suffix =
        where === undefined || message.includes(String(where)) ? '' : ` (${String(where)})`;
      this.#faults.push({ instance, code, exitCode, message: `${message}${suffix}` });
    }
  }
}

function objectOf(entry: LogEntry, log: WriterLogId): PlannedObject | null {
  const { event, seq } = entry;
  const place = placeOf(event);
  if (place === null || !('object' in event)) return null;
  const { key } = event.object;
  return {
    ref: {
      ...event.object,
      ...log,
      seq,
      readKey: key ?? writerLogKey(log.iid, log.shard, log.writer, seq),
      readStart: key === null ? entry.bodyOffset : 0,
    },
    ...place,
  };
}

function placeOf(event: WriterEvent): { readonly timeline: string; readonly start: bigint } | null {
  switch (event.type) {
    case 'SegmentStored':
      return { timeline: event.segment.timeline, start: event.segment.start };
    case 'SnapshotStored':
      return { timeline: event.timeline, start: event.offset };
    default:
      return null;
  }
}
