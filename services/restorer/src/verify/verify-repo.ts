import { NODE_FACTS_PLACE, writerLogKey } from '@tidemark/archive';
import {
  readCheckpoint,
  readInstanceLog,
  readInstanceRecord,
  readTdeMarker,
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
  type KeyContext,
  type KeyProvider,
  type LogKey,
  type WrappedDataKey,
} from '@tidemark/crypto';
import type { ObjectStore } from '@tidemark/store';
import { ObjectReader } from '../fetch/object-reader.ts';
import { unwrapDataKey, unwrapStored } from '../fetch/plan-keys.ts';
import type { PlannedObject } from '../plan/restore-plan.ts';
import { verifyUndoPack } from '../write-back/undo/verify-undo-pack.ts';
import { lostRecord, lostWriters } from './lost-beginning.ts';
import { takeInventory, type InstanceInventory } from './repo-inventory.ts';
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
 * Reads every record, log entry, checkpoint, key and object of a store and authenticates each byte.
 * A fault does not end it: all of them are found in one run.
 *
 * Objects that a log names are looked for; that the end of a writer log is gone cannot be seen from
 * the store alone (docs/promises.md).
 */
export async function verifyRepo(options: VerifyRepoOptions): Promise<RepoVerification> {
  const { store, signal } = options;
  const run = new RepoRun(options);
  for (const inventory of await takeInventory(store, { signal })) await run.instance(inventory);
  return run.result();
}

/** The data keys of one instance, as they are met. */
interface MetKeys {
  readonly opened: Map<string, DataKey>;
  /** Keys that did not open: reported once, not for each object that they sealed. */
  readonly refused: Set<string>;
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

  async instance(inventory: InstanceInventory): Promise<void> {
    const { store, keys, signal } = this.#options;
    const { iid } = inventory;
    this.#instances += 1;
    const logKey = await keys.logKey(iid);
    const source = { store, iid, logKey, signal };
    const lost = lostRecord(inventory);
    if (lost !== null) this.#report(iid, lost);
    const keyProven = lost === null && (await this.#guard(iid, () => readInstanceRecord(source)));
    const writers: WriterLogId[] = [];
    let nextSeq = 0;
    const whole = await this.#guard(iid, async () => {
      const log = readInstanceLog({ ...source, keyProven }, { endCheck: 'list' });
      for await (const batch of log) {
        for (const { event, seq } of batch) {
          this.#entries += 1;
          nextSeq = seq + 1;
          if (event.type === 'WriterRegistered') {
            writers.push({ iid, shard: event.shard, writer: event.writer });
          }
        }
      }
    });
    if (whole) {
      const log = { nextSeq, writers };
      for (const fault of lostWriters(inventory, log)) this.#report(iid, fault);
    }
    const met: MetKeys = { opened: new Map(), refused: new Set() };
    try {
      for (const writer of writers) {
        await this.#guard(iid, () => this.#writer(writer, logKey, met));
        const seqs = inventory.checkpoints.get(`${writer.shard}/${writer.writer}`) ?? [];
        for (const seq of seqs) {
          const log = { ...source, ...writer, keyProven: true };
          await this.#guard(iid, () => readCheckpoint(log, seq));
        }
      }
      await this.#otherKeys(inventory, met);
      await this.#undoPacks(inventory);
      if (inventory.hasTdeMarker) await this.#guard(iid, () => readTdeMarker(source));
    } finally {
      for (const key of met.opened.values()) wipeDataKey(key);
    }
  }

  async #writer(log: WriterLogId, logKey: LogKey, met: MetKeys): Promise<void> {
    const { store, signal } = this.#options;
    const source = { ...log, store, logKey, signal, keyProven: true };
    for await (const batch of readWriterLog(source, { endCheck: 'list' })) {
      for (const entry of batch) {
        this.#entries += 1;
        const object = objectOf(entry, log);
        if (object === null) continue;
        await this.#guard(log.iid, () => this.#object(object, log, logKey, met));
      }
    }
  }

  async #object(
    object: PlannedObject,
    log: WriterLogId,
    logKey: LogKey,
    met: MetKeys,
  ): Promise<void> {
    const { store, signal, onProgress } = this.#options;
    const dataKey = await this.#dataKey(object, log, met);
    if (dataKey === null) return;
    const keyOf = (): DataKey => dataKey;
    const { iid: instance, shard, writer } = log;
    const reader = new ObjectReader({ instance, shard, writer, store, logKey, keyOf, signal });
    this.#objects += 1;
    this.#bytes += await verifyObjects([object], 'full', { store, reader, keyOf, signal });
    onProgress(this.#objects, this.#bytes);
  }

  /** The key of an object; null when it was refused before. */
  async #dataKey(object: PlannedObject, log: WriterLogId, met: MetKeys): Promise<DataKey | null> {
    const { store, keys } = this.#options;
    const { dekId, kind } = object.ref;
    if (met.refused.has(dekId)) return null;
    const known = met.opened.get(dekId);
    if (known !== undefined) return known;
    const purpose = kind === OBJECT_KIND.snapshot ? 'snapshot' : 'segments';
    met.refused.add(dekId);
    const dataKey = await unwrapDataKey({ instance: log.iid, dekId, purpose }, store, keys);
    met.refused.delete(dekId);
    met.opened.set(dekId, dataKey);
    return dataKey;
  }

  /** Keys that no object is sealed with: their writer was killed before it was stored. */
  async #otherKeys({ iid, dataKeys }: InstanceInventory, met: MetKeys): Promise<void> {
    const { store, keys } = this.#options;
    for (const [path, dekId] of dataKeys) {
      if (met.opened.has(dekId) || met.refused.has(dekId)) continue;
      await this.#guard(iid, async () => {
        const asSaid = ({ context }: WrappedDataKey): KeyContext => ({
          instance: iid,
          dekId,
          purpose: context.purpose,
        });
        wipeDataKey(await unwrapStored(path, asSaid, store, keys));
      });
    }
  }

  async #undoPacks({ iid, undoParts }: InstanceInventory): Promise<void> {
    const { onProgress } = this.#options;
    for (const restore of new Set(undoParts.map((part) => part.restore))) {
      await this.#guard(iid, () =>
        verifyUndoPack(iid, restore, this.#options, (bytes) => {
          this.#objects += 1;
          this.#bytes += bytes;
          onProgress(this.#objects, this.#bytes);
        }),
      );
    }
  }

  /** Runs work and reports the fault it ends in; whether it ended in none. */
  async #guard(instance: string, work: () => Promise<unknown>): Promise<boolean> {
    try {
      await work();
      return true;
    } catch (cause) {
      if (!(cause instanceof TidemarkError) || this.#options.signal.aborted) throw cause;
      this.#report(instance, cause);
      return false;
    }
  }

  #report(instance: string, { code, exitCode, message }: TidemarkError): void {
    this.#faultCount += 1;
    if (this.#faults.length >= FAULTS_LISTED_MAX) return;
    this.#faults.push({ instance, code, exitCode, message });
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
    case 'SegmentsMerged':
      return { timeline: event.segment.timeline, start: event.segment.start };
    case 'SnapshotStored':
      return { timeline: event.timeline, start: event.offset };
    case 'NodeFactsStored':
      return NODE_FACTS_PLACE;
    default:
      return null;
  }
}
