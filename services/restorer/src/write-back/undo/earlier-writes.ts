import { createHash } from 'node:crypto';
import type { UndoKey } from '@tidemark/archive';
import { contentDigest } from '../value/content-digest.ts';
import { sameExpiry } from '../write/make-tasks.ts';
import type { Present } from '../write/write-task.ts';
import { openUndoPart, type UndoPartPlace, type UndoSource } from './undo-objects.ts';

/** Keys that are remembered, a few hundred bytes each; of more only the first ones are. */
const KEYS_MAX = 250_000;
const DIGEST_BYTES = 16;

/** A value, known again by its digest; null: the key is not there. */
type Known = { readonly expiryMs: number | null; readonly digest: string } | null;

interface Written {
  /** Undefined: it was too large to be told. */
  readonly before: Known | undefined;
  readonly written: Known;
}

/**
 * What earlier runs of a write have written, as its undo pack tells: when it goes on, what a client has made of
 * those keys since is no difference that is left to be written, but a conflict.
 */
export class EarlierWrites {
  readonly #known = new Map<string, Written>();
  #isFull = false;

  /** Reads a pack. @throws StoreError, KeyError, IntegrityError, FormatError that name the object. */
  static async read(parts: readonly UndoPartPlace[], source: UndoSource): Promise<EarlierWrites> {
    const writes = new EarlierWrites();
    for (const place of parts) {
      await using part = await openUndoPart(place, source);
      for await (const item of part.items()) if (item.kind === 'key') writes.#take(item);
    }
    return writes;
  }

  /** Whether there were more than could be remembered. */
  get isFull(): boolean {
    return this.#isFull;
  }

  /**
   * Why a key is neither as it was before those runs nor as they left it; null when it is, or they did not
   * write it.
   * @param offMs - How far expiries that are reckoned may be off.
   */
  conflict(
    { db, key }: { readonly db: number; readonly key: Buffer },
    present: Present | null,
    offMs: number,
  ): string | null {
    const known = this.#known.get(nameOf(db, key));
    if (known === undefined) return null;
    const { before, written } = known;
    if (before === undefined || isAs(before, present, offMs)) return null;
    return isAs(written, present, offMs)
      ? null
      : 'it was changed after this restore had written it';
  }

  #take({ db, key, standing, before, written }: UndoKey): void {
    const name = nameOf(db, key);
    if (standing === 'void') {
      this.#known.delete(name);
      return;
    }
    if (this.#known.size >= KEYS_MAX && !this.#known.has(name)) {
      this.#isFull = true;
      return;
    }
    this.#known.set(name, {
      before: before === null ? null : beforeOf(before),
      written: written && { expiryMs: written.expiryMs, digest: shortened(written.digest) },
    });
  }
}

function beforeOf({ expiryMs, payload }: NonNullable<UndoKey['before']>): Known | undefined {
  return payload === null ? undefined : { expiryMs, digest: shortened(contentDigest(payload)) };
}

/** A large value, of which no digest is at hand, is taken to be the one that is known. */
function isAs(known: Known, present: Present | null, offMs: number): boolean {
  if (known === null || present === null) {
    return known === present || (known !== null && known.expiryMs !== null);
  }
  if (!sameExpiry(known.expiryMs, present.expiryMs, offMs)) return false;
  return present.payload === null || shortened(contentDigest(present.payload)) === known.digest;
}

function nameOf(db: number, key: Buffer): string {
  return `${db.toString()} ${shortened(createHash('sha256').update(key).digest())}`;
}

function shortened(digest: Buffer): string {
  return digest.toString('latin1', 0, DIGEST_BYTES);
}
