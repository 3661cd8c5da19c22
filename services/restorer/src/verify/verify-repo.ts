import {
  findLogStart,
  readCheckpoint,
  readInstanceLog,
  readInstanceRecord,
  readTdeMarker,
  readWriterLog,
  wholeFoldAt,
  type WriterLogId,
} from '@tidemark/catalog';
import { KeyError, nameObject, TidemarkError, UsageError, type ByteSource } from '@tidemark/core';
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
import { generationsOf } from '../fetch/key-generations.ts';
import { ObjectReader } from '../fetch/object-reader.ts';
import { unwrapDataKey, unwrapStored } from '../fetch/plan-keys.ts';
import type { PlannedObject } from '../plan/restore-plan.ts';
import { verifyUndoPack } from '../write-back/undo/verify-undo-pack.ts';
import { LetGo, type WriterLetGo } from './let-go.ts';
import { lostRecord, lostWriters } from './lost-beginning.ts';
import { OwnCheckpoints } from './own-checkpoints.ts';
import { takeInventory, type InstanceInventory } from './repo-inventory.ts';
import { isInSample, type Sample } from './sample.ts';
import { objectOfEntry, objectsOfRows, type LoggedObject } from './stored-objects.ts';
import { StreamCheck, verifySnapshotContent } from './verify-content.ts';
import { isMissing, leftOver, noteEvent } from './verify-faults.ts';
import { checkStoredSize, verifyObjects } from './verify-objects.ts';

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
  /** Data keys that the log says were destroyed, and are: what they sealed is not looked at. */
  readonly shredded: number;
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

/** What of an instance is verified, and how deep. */
export interface VerifyBackupRequest {
  readonly instance: string;
  /** Only this backup, with the logs that lead to it; null = all there is. */
  readonly backup: string | null;
  /** Only a part of the objects; null = each of them. The logs are read in any case. */
  readonly sample: Sample | null;
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
  const run = new VerifyRun(options, { backup: null, sample: null, content: false });
  for (const inventory of await takeInventory(store, { signal })) await run.instance(inventory);
  return run.result();
}

/**
 * Verifies an instance, or one backup of it, as `verifyRepo` does, and what the objects hold as well:
 * it unpacks, RDB files are whole, command streams decode from one segment to the next.
 * @throws UsageError `TM_NOT_FOUND` when nothing of the instance, or no such backup, is there.
 */
export async function verifyBackups(
  request: VerifyBackupRequest,
  options: VerifyRepoOptions,
): Promise<RepoVerification> {
  const { instance, backup, sample } = request;
  const { store, signal } = options;
  const [inventory] = await takeInventory(store, { signal, iid: instance });
  if (inventory === undefined) {
    throw new UsageError('TM_NOT_FOUND', `no instance ${instance} is in the store`, {
      hint: 'tidemark instance list',
    });
  }
  const run = new VerifyRun(options, { backup, sample, content: true });
  await run.instance(inventory);
  const result = run.result();
  if (backup === null || run.hasBackup || result.faultCount > 0) return result;
  throw new UsageError('TM_NOT_FOUND', `there is no backup ${backup}`, {
    hint: `tidemark backup list ${instance}`,
  });
}

/** The data keys of one instance, as they are met. */
interface MetKeys {
  readonly opened: Map<string, DataKey>;
  /** Keys that did not open: reported once, not for each object that they sealed. */
  readonly refused: Set<string>;
  /** Keys that the log says were destroyed one by one. */
  readonly shredded: Set<string>;
  readonly letGo: LetGo;
}

/** What is looked at, and how deep. */
interface VerifyScope extends Pick<VerifyBackupRequest, 'backup' | 'sample'> {
  /** Whether what objects hold is read too. */
  readonly content: boolean;
}

/** One writer, while its log is walked. */
interface WriterWalk {
  readonly log: WriterLogId;
  readonly logKey: LogKey;
  readonly met: MetKeys;
  readonly stream: StreamCheck;
  readonly letGo: WriterLetGo;
}

class VerifyRun {
  readonly #options: VerifyRepoOptions;
  readonly #scope: VerifyScope;
  #instances = 0;
  #entries = 0;
  #objects = 0;
  #bytes = 0;
  #shredded = 0;
  #faultCount = 0;
  readonly #faults: RepoFault[] = [];
  /** Whether the backup that is looked for was met. */
  hasBackup = false;

  constructor(options: VerifyRepoOptions, scope: VerifyScope) {
    this.#options = options;
    this.#scope = scope;
  }

  result(): RepoVerification {
    return {
      instances: this.#instances,
      entries: this.#entries,
      objects: this.#objects,
      bytes: this.#bytes,
      shredded: this.#shredded,
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
    const letGo = new LetGo();
    const met: MetKeys = { opened: new Map(), refused: new Set(), shredded: new Set(), letGo };
    const own = new OwnCheckpoints(inventory.ownCheckpoints);
    let nextSeq = 0;
    const whole = await this.#guard(iid, async () => {
      const log = readInstanceLog({ ...source, keyProven }, { endCheck: 'list' });
      for await (const batch of log) {
        for (const entry of batch) {
          this.#entries += 1;
          nextSeq = entry.seq + 1;
          own.note(entry);
          letGo.note(entry);
          noteEvent(entry.event, iid, { writers, met });
        }
      }
    });
    if (whole) {
      const log = { nextSeq, writers };
      for (const fault of lostWriters(inventory, log)) this.#report(iid, fault);
    }
    for (const seq of inventory.ownCheckpoints) {
      await this.#guard(iid, () => own.check({ ...source, keyProven }, seq, whole));
    }
    try {
      for (const writer of writers) {
        await this.#guard(iid, () => this.#writer(writer, logKey, met));
        const seqs = inventory.checkpoints.get(`${writer.shard}/${writer.writer}`) ?? [];
        for (const seq of seqs) {
          const log = { ...source, ...writer, keyProven: true };
          await this.#guard(iid, () => readCheckpoint(log, seq));
        }
      }
      if (this.#scope.backup !== null) return;
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
    const open = (object: PlannedObject): Promise<ByteSource> => this.#open(object, walk);
    // Where retention took the beginning, a checkpoint says what is left of it.
    const start = await findLogStart(source);
    const fold = start.state.seq < 0 ? null : await wholeFoldAt(source, start.state.seq);
    const letGo = met.letGo.ofWriter(log.writer, start.state.seq, fold);
    const walk: WriterWalk = { log, logKey, met, stream: new StreamCheck(open), letGo };
    for (const logged of objectsOfRows(fold?.rows ?? [], log)) {
      if (!letGo.isGone(logged, true)) await this.#logged(logged, walk);
    }
    letGo.beginEntries();
    for await (const batch of readWriterLog(source, { after: start.state, endCheck: 'list' })) {
      for (const entry of batch) {
        this.#entries += 1;
        letGo.note(entry);
        const logged = objectOfEntry(entry, log);
        if (logged !== null && !letGo.isGone(logged, false)) await this.#logged(logged, walk);
      }
    }
    for (const fault of letGo.missing) this.#report(log.iid, fault);
  }

  async #logged(logged: LoggedObject, walk: WriterWalk): Promise<void> {
    const { backup, sample } = this.#scope;
    if (backup !== null) {
      if (logged.kind !== 'snapshot' || logged.event.backup !== backup) return;
      this.hasBackup = true;
    }
    if (sample !== null && !isInSample(sample, logged.object.ref.readKey)) {
      if (logged.kind === 'segment') walk.stream.pass(logged);
      return;
    }
    await this.#guard(walk.log.iid, async () => {
      try {
        await this.#object(logged, walk);
      } catch (cause) {
        // A merged segment that comes later in the log may have taken its place.
        if (logged.kind !== 'segment' || !isMissing(cause)) throw cause;
        walk.letGo.miss(logged, cause);
        walk.stream.pass(logged);
      }
      if (logged.kind === 'segment') walk.letGo.holds(logged.header);
    });
  }

  async #object(logged: LoggedObject, walk: WriterWalk): Promise<void> {
    const { store, signal, onProgress } = this.#options;
    const { object } = logged;
    const dataKey = await this.#dataKey(object, walk.log, walk.met);
    if (dataKey === null) return;
    this.#objects += 1;
    if (!this.#scope.content || logged.kind === 'facts') {
      const keyOf = (): DataKey => dataKey;
      const reader = this.#reader(walk, keyOf);
      this.#bytes += await verifyObjects([object], 'full', { store, reader, keyOf, signal });
    } else {
      try {
        const open = (each: PlannedObject): Promise<ByteSource> => this.#open(each, walk);
        if (logged.kind === 'snapshot') await verifySnapshotContent(logged, open);
        else await walk.stream.verify(logged);
        await checkStoredSize(object, store);
      } catch (cause) {
        throw nameObject(cause, object.ref.readKey);
      }
      this.#bytes += object.ref.size;
    }
    onProgress(this.#objects, this.#bytes);
  }

  /** The plain content of an object. Memory: one chunk of it. */
  async #open(object: PlannedObject, walk: WriterWalk): Promise<ByteSource> {
    const dataKey = await this.#dataKey(object, walk.log, walk.met);
    if (dataKey === null) {
      throw new KeyError('TM_KEY_MISSING', `the key of ${object.ref.readKey} did not open`, {
        context: { object: object.ref.readKey, dekId: object.ref.dekId },
      });
    }
    return this.#reader(walk, () => dataKey).opened(object);
  }

  #reader({ log, logKey }: WriterWalk, keyOf: () => DataKey): ObjectReader {
    const { store, signal } = this.#options;
    const { iid: instance, shard, writer } = log;
    return new ObjectReader({ instance, shard, writer, store, logKey, keyOf, signal });
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

  /**
   * Keys that no object is sealed with, for their writer was killed before it was stored; generations
   * beside the one that was opened; keys that should not be there any more.
   */
  async #otherKeys({ iid, dataKeys }: InstanceInventory, met: MetKeys): Promise<void> {
    const { store, keys } = this.#options;
    const generations = new Map<string, number>();
    for (const dekId of dataKeys.values()) {
      generations.set(dekId, (generations.get(dekId) ?? 0) + 1);
    }
    for (const [path, dekId] of dataKeys) {
      if (met.shredded.has(dekId)) this.#report(iid, leftOver(path));
      if (met.refused.has(dekId)) continue;
      if (met.opened.has(dekId) && generations.get(dekId) === 1) continue;
      const { sample } = this.#scope;
      if (sample !== null && !isInSample(sample, path)) continue;
      await this.#guard(iid, async () => {
        const asSaid = ({ context }: WrappedDataKey): KeyContext => ({
          instance: iid,
          dekId,
          purpose: context.purpose,
        });
        try {
          wipeDataKey(await unwrapStored(path, asSaid, store, keys));
        } catch (cause) {
          // A rewrapping may have put another generation in its place since it was listed.
          const isGone = isMissing(cause);
          if (!isGone || (await generationsOf(iid, dekId, store)).length === 0) throw cause;
        }
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
      if (cause.code === 'TM_KEY_SHREDDED') {
        this.#shredded += 1;
        return true;
      }
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
