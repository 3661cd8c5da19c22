import { parseObjectKey, writerCheckpointKey, wrappedKeyPrefix } from '@tidemark/archive';
import {
  checkpointChain,
  listCheckpoints,
  type CatalogWriter,
  type Tombstone,
  type TombstoneQuestion,
  type WriterLogId,
} from '@tidemark/catalog';
import { nameObject, TidemarkError } from '@tidemark/core';
import { entriesUpTo, findCuts, firstFacts, type WriterCut } from './find-cuts.ts';
import { syncInstance, type RetentionPorts } from './retention-ports.ts';
import { namesOf, type UnnamedFile } from './unnamed-objects.ts';

/** Objects that are deleted at one time; the distance of checkpoints is a multiple of it. */
const AT_ONCE = 8;
const PAGE = 512;

/** What a deletion removed. */
export interface Deleted {
  /** Segments, snapshots and objects that no log named, and their sealed bytes. */
  objects: number;
  bytes: number;
  logEntries: number;
  checkpoints: number;
  dataKeys: number;
  /** Objects that the store holds (Object Lock): they are deleted as ones that no log names, later. */
  locked: number;
}

/**
 * Deletes what a tombstone marked: data first, then keys that open nothing any more, then log entries
 * oldest first. May be killed at any instant and begun anew: what is gone already is no fault.
 *
 * @param options - `isRead`: somebody reads history. He may have planned before a merged segment took the
 *   place of others: those, and the log, wait for another run.
 * Another process may run beside this one, on the same catalog: once it is done with the tombstone,
 * and has perhaps marked more, nothing is deleted here any more.
 * @throws The store's error where it refuses, with what was done so far: all the rest stays marked.
 */
export async function deleteMarked(
  instance: string,
  tombstone: Tombstone,
  { file, isRead }: { readonly file: UnnamedFile; readonly isRead: boolean },
  ports: RetentionPorts,
): Promise<Deleted> {
  const run = new Deletion(instance, tombstone, ports);
  try {
    await run.marked();
    await run.deadKeys();
    if (!isRead) {
      await run.unnamed(await file.read(tombstone));
      await run.logs();
    }
    return run.deleted;
  } catch (cause) {
    if (!(cause instanceof TidemarkError) || ports.signal.aborted) throw cause;
    const { objects, bytes, logEntries } = run.deleted;
    throw new TidemarkError(cause.code, `not everything could be deleted: ${cause.message}`, {
      cause,
      context: { ...cause.context, objects, bytes, logEntries },
      hint: 'what is marked stays hidden, and the next run goes on; deleting needs the right to (s3:DeleteObject)',
    });
  }
}

class Deletion {
  readonly deleted: Deleted = {
    ...{ objects: 0, bytes: 0, logEntries: 0, checkpoints: 0, dataKeys: 0, locked: 0 },
  };
  readonly #instance: string;
  readonly #tombstone: Tombstone;
  readonly #ports: RetentionPorts;

  constructor(instance: string, tombstone: Tombstone, ports: RetentionPorts) {
    this.#instance = instance;
    this.#tombstone = tombstone;
    this.#ports = ports;
  }

  /** Segments and snapshots below the floors, and single backups above them. */
  async marked(): Promise<void> {
    for (let after = ''; ;) {
      const page = this.#ask((ask, marks) =>
        ask.marked(this.#instance, marks, { after, limit: PAGE }),
      );
      const last = page?.at(-1);
      if (page === null || last === undefined) return;
      await this.#each(page, async ({ key, bytes }) => {
        if (!(await this.#remove(key))) return;
        this.deleted.objects += 1;
        this.deleted.bytes += bytes;
      });
      after = last.key;
    }
  }

  /**
   * Objects that no log named when they were marked, and none names now. Those of a writer that has
   * shown no life since might be on their way into its log: a frozen process goes on where it stopped.
   */
  async unnamed(keys: readonly string[]): Promise<void> {
    if (keys.length === 0) return;
    const { catalog, store } = this.#ports;
    await syncInstance(this.#instance, this.#ports);
    const isNamed = namesOf(this.#instance, catalog);
    const writers = new Map(catalog.writers(this.#instance).map((each) => [each.writer, each]));
    const free = keys.filter((key) => {
      const parts = parseObjectKey(key);
      const writer = parts !== null && 'writer' in parts ? writers.get(parts.writer) : undefined;
      return writer !== undefined && hasGoneOn(writer, this.#tombstone.dueMs) && !isNamed(key);
    });
    await this.#each(free, async (key) => {
      const size = (await store.head(key))?.size;
      if (size === undefined || !(await this.#remove(key))) return;
      this.deleted.objects += 1;
      this.deleted.bytes += size;
    });
  }

  /** Wrapped data keys that sealed only what is gone. */
  async deadKeys(): Promise<void> {
    const dead = this.#ask((ask, marks) => ask.deadKeys(this.#instance, marks));
    for (const dekId of dead ?? []) await this.#removeKey(dekId);
  }

  /** Entries that checkpoints stand for: those that were marked, as far as they are still free. */
  async logs(): Promise<void> {
    const { cuts } = this.#tombstone;
    if (cuts.length === 0) return;
    for (const free of await findCuts(this.#instance, [], this.#ports)) {
      // What was found is of this tombstone only if it still stands behind it.
      if (!this.#stands) return;
      const marked = cuts.find(({ writer }) => writer === free.writer);
      // A later checkpoint than the marked one may stand for more by now: that waits for its turn.
      if (marked !== undefined) await this.#cut({ ...free, seq: Math.min(marked.seq, free.seq) });
    }
  }

  async #cut({ shard, writer, seq, checkpoints }: WriterCut): Promise<void> {
    const { catalog, store, signal, keys } = this.#ports;
    const place = { iid: this.#instance, shard, writer };
    const source = { ...place, store, signal, logKey: await keys.logKey(this.#instance) };
    const chain = await checkpointChain(source, seq);
    // What stands for the entries cannot be read any more: they stay.
    if (chain === null) return;
    const kept = firstFacts(this.#instance, writer, { catalog, floors: [] }) ?? Infinity;
    for (const facts of catalog.retention((ask) => ask.facts(this.#instance, writer))) {
      if (facts.seq <= seq && facts.seq < kept) await this.#removeKey(facts.dekId);
    }
    await this.#entries(seq, place);
    const stays = new Set([...checkpoints, ...chain]);
    for (const checkpoint of await listCheckpoints(source)) {
      if (checkpoint >= seq || stays.has(checkpoint)) continue;
      const key = writerCheckpointKey(this.#instance, shard, writer, checkpoint);
      if (await this.#remove(key)) this.deleted.checkpoints += 1;
    }
  }

  /**
   * Removes entries oldest first, a few at one time. Those never lie on both sides of a checkpoint: what is
   * left of a log at any instant begins before one, or with the entry behind one.
   */
  async #entries(upTo: number, place: WriterLogId): Promise<void> {
    let together: string[] = [];
    let group = -1;
    const remove = async (): Promise<void> =>
      this.#each(together, async (key) => {
        if (await this.#remove(key)) this.deleted.logEntries += 1;
      });
    for await (const { key, seq } of entriesUpTo(upTo, place, this.#ports)) {
      const own = Math.ceil(seq / AT_ONCE);
      if (own !== group) {
        await remove();
        [together, group] = [[], own];
      }
      together.push(key);
    }
    await remove();
  }

  async #removeKey(dekId: string): Promise<void> {
    const { store, signal } = this.#ports;
    const prefix = `${wrappedKeyPrefix(this.#instance)}${dekId}/`;
    let removed = false;
    for await (const batch of store.list(prefix, { signal })) {
      for (const { key } of batch) removed = (await this.#remove(key)) || removed;
    }
    if (removed) this.deleted.dataKeys += 1;
  }

  async #each<T>(all: readonly T[], work: (one: T) => Promise<void>): Promise<void> {
    for (let at = 0; at < all.length; at += AT_ONCE) {
      this.#ports.signal.throwIfAborted();
      await Promise.all(all.slice(at, at + AT_ONCE).map(work));
    }
  }

  /** @returns Null when the tombstone does not stand any more. */
  #ask<T>(ask: TombstoneQuestion<T>): T | null {
    const { tombstone } = this.#tombstone;
    return this.#ports.catalog.ofTombstone(this.#instance, tombstone, ask);
  }

  get #stands(): boolean {
    return this.#ask(() => true) ?? false;
  }

  /** @returns False when the store holds the object, or the tombstone does not stand any more. */
  async #remove(key: string): Promise<boolean> {
    if (!this.#stands) return false;
    try {
      await this.#ports.store.delete(key);
      return true;
    } catch (cause) {
      if (!(cause instanceof TidemarkError) || cause.code !== 'TM_STORE_LOCKED') {
        throw nameObject(cause, key);
      }
      this.deleted.locked += 1;
      return false;
    }
  }
}

/**
 * Whether a writer wrote to its log after an instant, or has given it up. One without an entry has lost
 * its log: objects are put only by who has claimed it.
 */
function hasGoneOn({ state }: CatalogWriter, ms: number): boolean {
  const { owner, lastEntryMs } = state;
  return owner !== null && (owner.released || (lastEntryMs ?? -Infinity) >= ms);
}
