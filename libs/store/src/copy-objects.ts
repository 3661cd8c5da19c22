import { createHash } from 'node:crypto';
import { StoreError, type ByteSource } from '@tidemark/core';
import { digestOf } from './digest-of.ts';
import type { ObjectInfo, ObjectStore } from './object-store.ts';

/** Objects up to this size are copied several at once, larger ones one after another, in bytes. */
const SMALL_BYTES_MAX = 1024 * 1024;
const AT_ONCE = 8;

/** What is to be copied, and how. */
export interface CopyOptions {
  readonly source: ObjectStore;
  readonly target: ObjectStore;
  /** What keys begin with. */
  readonly prefix: string;
  /**
   * Whether an object names others. Those are copied last, and none that came after the beginning:
   * what they name is there then, although the source goes on growing.
   */
  readonly namesOthers: (key: string) => boolean;
  /** Whether an object is left out. */
  readonly isLeftOut: (key: string) => boolean;
  /** Reads what the target holds, also from an earlier run, and compares it. */
  readonly verify: boolean;
  readonly onProgress: (done: CopyCounts) => void;
  readonly signal: AbortSignal;
}

/** What a copy did. */
export interface CopyCounts {
  /** Objects of the source that were to be copied. */
  readonly objects: number;
  readonly bytes: number;
  /** Those that were put into the target now. */
  readonly copied: number;
  readonly copiedBytes: number;
  /** Those that were there already, of the same size. */
  readonly kept: number;
  /** Those whose bytes were compared. */
  readonly verified: number;
  /** Those that the source let go of in between. */
  readonly gone: number;
}

type Counts = { -readonly [K in keyof CopyCounts]: CopyCounts[K] };

/**
 * Copies the objects of one store to another, as they are: sealed. It can be run again: what is
 * there is not sent a second time.
 * @throws StoreError `TM_STORE_DIFFERS` for an object that the target holds with other bytes; as the
 *   calls of both stores; the signal's reason.
 */
export async function copyObjects(options: CopyOptions): Promise<CopyCounts> {
  const counts: Counts = {
    ...{ objects: 0, bytes: 0, copied: 0, copiedBytes: 0, kept: 0, verified: 0, gone: 0 },
  };
  const { namesOthers } = options;
  const last = await lastOfFolders(options);
  await copyThose(options, counts, (key) => !namesOthers(key));
  await copyThose(
    options,
    counts,
    (key) => namesOthers(key) && key <= (last.get(folderOf(key)) ?? ''),
  );
  return counts;
}

/** The last object of each folder whose objects name others: one key a log, not one an entry. */
async function lastOfFolders(options: CopyOptions): Promise<ReadonlyMap<string, string>> {
  const { source, prefix, namesOthers, signal } = options;
  const last = new Map<string, string>();
  for await (const batch of source.list(prefix, { signal })) {
    for (const { key } of batch) if (namesOthers(key)) last.set(folderOf(key), key);
  }
  return last;
}

function folderOf(key: string): string {
  return key.slice(0, key.lastIndexOf('/'));
}

async function copyThose(
  options: CopyOptions,
  counts: Counts,
  isMeant: (key: string) => boolean,
): Promise<void> {
  const { source, target, prefix, isLeftOut, signal } = options;
  const there = new Listing(target.list(prefix, { signal }));
  const underWay = new Set<Promise<void>>();
  const failures: unknown[] = [];
  for await (const batch of source.list(prefix, { signal })) {
    for (const info of batch) {
      if (!isMeant(info.key) || isLeftOut(info.key)) continue;
      const known = await there.at(info.key);
      if (underWay.size >= AT_ONCE) await Promise.race(underWay);
      if (failures.length > 0) break;
      const small = info.size <= SMALL_BYTES_MAX;
      if (!small) await Promise.all(underWay);
      const copying: Promise<void> = copyOne(options, counts, info, known)
        .catch((cause: unknown) => void failures.push(cause))
        .finally(() => underWay.delete(copying));
      underWay.add(copying);
      if (!small) await copying;
    }
    if (failures.length > 0) break;
  }
  await Promise.all(underWay);
  signal.throwIfAborted();
  if (failures.length > 0) throw failures[0];
}

async function copyOne(
  options: CopyOptions,
  counts: Counts,
  info: ObjectInfo,
  known: ObjectInfo | null,
): Promise<void> {
  const { source, target, verify, signal } = options;
  const { key } = info;
  if (known !== null && known.size !== info.size) throw differs(key, info.size, known.size);
  const before = known === null ? await copyBytes(options, info) : null;
  if (before === 'gone') {
    counts.gone++;
    return;
  }
  if (before === null ? verify : verify || before.outcome === 'exists') {
    const digest = before?.digest ?? (await digestOf(source.get(key, { signal }))).digest;
    const copy = await digestOf(target.get(key, { signal }));
    if (copy.digest !== digest) throw differs(key, info.size, copy.size);
    counts.verified++;
  }
  counts.objects++;
  counts.bytes += info.size;
  if (before?.outcome === 'created') {
    counts.copied++;
    counts.copiedBytes += info.size;
  } else {
    counts.kept++;
  }
  options.onProgress(counts);
}

async function copyBytes(
  { source, target, signal }: CopyOptions,
  { key, size }: ObjectInfo,
): Promise<{ readonly outcome: 'created' | 'exists'; readonly digest: string } | 'gone'> {
  const hash = createHash('sha256');
  let read = 0;
  const counted = async function* (): ByteSource {
    for await (const chunk of source.get(key, { signal })) {
      hash.update(chunk);
      read += chunk.length;
      yield chunk;
    }
    // Before the target takes it for whole.
    if (read !== size) throw differs(key, size, read);
  };
  try {
    const outcome = await target.putIfAbsent(key, counted(), { signal });
    if (outcome === 'created') return { outcome, digest: hash.digest('hex') };
    // A target that saw the key taken may not have read the body to its end.
    return { outcome, digest: (await digestOf(source.get(key, { signal }))).digest };
  } catch (cause) {
    const missing = cause instanceof StoreError && cause.code === 'TM_STORE_MISSING';
    if (missing && (await source.head(key)) === null) return 'gone';
    throw cause;
  }
}

function differs(key: string, size: number, other: number): StoreError {
  return new StoreError('TM_STORE_DIFFERS', 'an object in the other store is not the same', {
    context: { key, size, other },
    hint: 'nothing was overwritten: copy to another prefix, or find out which of the two is damaged',
  });
}

/** A listing that is asked for keys in its own order. */
class Listing {
  readonly #batches: AsyncIterator<readonly ObjectInfo[]>;
  #batch: readonly ObjectInfo[] = [];
  #at = 0;

  constructor(batches: AsyncIterable<readonly ObjectInfo[]>) {
    this.#batches = batches[Symbol.asyncIterator]();
  }

  async at(key: string): Promise<ObjectInfo | null> {
    for (;;) {
      const info = this.#batch[this.#at];
      if (info === undefined) {
        const step = await this.#batches.next();
        if (step.done === true) return null;
        [this.#batch, this.#at] = [step.value, 0];
      } else if (info.key < key) {
        this.#at++;
      } else {
        return info.key === key ? info : null;
      }
    }
  }
}
