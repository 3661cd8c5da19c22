import {
  objectIdentity,
  openUndo,
  parseObjectKey,
  undoPartKey,
  undoPrefix,
  type UndoHead,
  type UndoPart,
} from '@tidemark/archive';
import {
  FormatError,
  IntegrityError,
  KeyError,
  nameObject,
  StoreError,
  UsageError,
  type TidemarkError,
} from '@tidemark/core';
import {
  OBJECT_KIND,
  openStream,
  Opener,
  parseSealedHeader,
  wipeDataKey,
  type DataKey,
  type Identity,
  type KeyProvider,
} from '@tidemark/crypto';
import type { ObjectStore } from '@tidemark/store';
import { unwrapDataKey } from '../../fetch/plan-keys.ts';

/** Longest header of the container: 100 bytes and an identity of at most 4,096. */
const HEAD_BYTES = 4_196;

/** Where undo packs are read from. */
export interface UndoSource {
  readonly store: ObjectStore;
  readonly keys: KeyProvider;
  readonly signal: AbortSignal;
}

/** A part of an undo pack in the store. */
export interface UndoPartPlace {
  readonly instance: string;
  readonly restore: string;
  readonly part: number;
}

/** A part as a listing shows it. */
export interface ListedUndoPart extends UndoPartPlace {
  /** Sealed bytes. */
  readonly size: number;
}

/** What a sealed part is: bound into its key. */
export function undoIdentity({ instance, restore, part }: UndoPartPlace): Identity {
  return objectIdentity({
    iid: instance,
    writer: 'undo',
    timeline: restore,
    start: BigInt(part),
    kind: OBJECT_KIND.undoPack,
    key: undoPartKey(instance, restore, part),
  });
}

/**
 * Lists the parts of one undo pack, or of all packs of an instance, in order.
 * @throws StoreError `TM_STORE_MISSING` when a part before another one is not there.
 */
export async function listUndoParts(
  instance: string,
  restore: string | null,
  source: Pick<UndoSource, 'store' | 'signal'>,
): Promise<readonly ListedUndoPart[]> {
  const parts = await listThere(instance, restore, source);
  refuseGaps(instance, parts);
  return parts;
}

async function listThere(
  instance: string,
  restore: string | null,
  { store, signal }: Pick<UndoSource, 'store' | 'signal'>,
): Promise<readonly ListedUndoPart[]> {
  const prefix = undoPrefix(instance) + (restore === null ? '' : `${safeId(restore)}/`);
  const parts: ListedUndoPart[] = [];
  for await (const batch of store.list(prefix, { signal })) {
    for (const { key, size } of batch) {
      const place = parseObjectKey(key);
      if (place?.kind !== 'undo') continue; // not ours
      parts.push({ instance, restore: place.restore, part: Number(place.part), size });
    }
  }
  return parts;
}

function refuseGaps(instance: string, parts: readonly ListedUndoPart[]): void {
  let expected = 0;
  for (const [i, part] of parts.entries()) {
    expected = parts[i - 1]?.restore === part.restore ? expected + 1 : 0;
    if (part.part === expected) continue;
    const object = undoPartKey(instance, part.restore, expected);
    throw new StoreError('TM_STORE_MISSING', `${object} is missing, later parts are there`, {
      context: { object },
      hint: 'the store has lost a part of the undo pack; bring it back from a copy of the store',
    });
  }
}

/** @throws UsageError `TM_USAGE` for what is no id of a restore. */
function safeId(restore: string): string {
  const key = `v1/undo/i/${restore}/${'0'.repeat(20)}`;
  if (parseObjectKey(key)?.kind === 'undo') return restore;
  throw new UsageError('TM_USAGE', `${JSON.stringify(restore)} is not a restore id`);
}

/**
 * Opens a part; its items are proven whole when they have ended.
 * @throws StoreError, KeyError, IntegrityError, FormatError that name the object.
 */
export async function openUndoPart(place: UndoPartPlace, source: UndoSource): Promise<UndoPart> {
  const key = undoPartKey(place.instance, place.restore, place.part);
  let dataKey: DataKey | null = null;
  try {
    const dekId = await readDekId(key, source);
    const context = { instance: place.instance, dekId, purpose: 'undo' } as const;
    const opened = await unwrapDataKey(context, source.store, source.keys);
    dataKey = opened;
    const opener = new Opener({
      keyOf: () => opened,
      kind: OBJECT_KIND.undoPack,
      identity: undoIdentity(place),
    });
    const sealed = source.store.get(key, { signal: source.signal });
    const part = await openUndo(openStream(sealed, opener));
    checkHead(part, place, key);
    return {
      head: part.head,
      items: () => named(part.items(), key),
      async [Symbol.asyncDispose]() {
        await part[Symbol.asyncDispose]();
        wipeDataKey(opened);
      },
    };
  } catch (cause) {
    if (dataKey !== null) wipeDataKey(dataKey);
    throw nameObject(cause, key);
  }
}

async function* named<T>(items: AsyncGenerator<T>, key: string): AsyncGenerator<T> {
  try {
    yield* items;
  } catch (cause) {
    throw nameObject(cause, key);
  }
}

function checkHead({ head }: UndoPart, place: UndoPartPlace, key: string): void {
  const { instance, restore, part } = head;
  if (instance === place.instance && restore === place.restore && part === place.part) return;
  throw new IntegrityError('TM_UNDO_FORMAT', 'an undo pack says it is another one', {
    context: { object: key },
  });
}

/** The data key that a part is sealed with; which one it may be the key's context decides. */
async function readDekId(key: string, { store, signal }: UndoSource): Promise<string> {
  const info = await store.head(key);
  if (info === null) throw new StoreError('TM_STORE_MISSING', `${key} is missing`);
  const end = Math.min(info.size, HEAD_BYTES);
  const parts: Uint8Array[] = [];
  for await (const part of store.get(key, { start: 0, end, signal })) parts.push(part);
  const header = parseSealedHeader(Buffer.concat(parts));
  if (typeof header !== 'number') return header.dekId;
  throw new IntegrityError('TM_SEAL_TRUNCATED', 'an object ends within its header', {
    context: { size: info.size, needed: header },
  });
}

/** An undo pack as a list shows it. Times are Unix milliseconds. */
export interface UndoPackFacts {
  readonly instance: string;
  readonly restore: string;
  readonly createdMs: number;
  readonly expiresMs: number;
  /** Entries: a key that was tried more than once has more than one. */
  readonly keys: number;
  /** Sealed bytes. */
  readonly bytes: number;
  readonly parts: number;
}

/**
 * Lists the undo packs of an instance, those over their time included. Of each part its head is read.
 * @throws StoreError, KeyError, IntegrityError, FormatError that name the object.
 */
export async function listUndoPacks(
  instance: string,
  source: UndoSource,
): Promise<readonly UndoPackFacts[]> {
  const packs = new Map<string, UndoPackFacts>();
  for (const place of await listUndoParts(instance, null, source)) {
    await using part = await openUndoPart(place, source);
    const { createdMs, expiresMs, keys } = part.head;
    const { restore } = place;
    const known = packs.get(restore);
    packs.set(restore, {
      instance,
      restore,
      createdMs: known?.createdMs ?? createdMs,
      // A restore that went on later keeps all of its pack for longer.
      expiresMs: Math.max(known?.expiresMs ?? 0, expiresMs),
      keys: (known?.keys ?? 0) + keys,
      bytes: (known?.bytes ?? 0) + place.size,
      parts: (known?.parts ?? 0) + 1,
    });
  }
  return [...packs.values()];
}

/** Removes a pack, its last part first: what is left of it at any instant is a pack. */
export async function removeUndoPack(
  instance: string,
  restore: string,
  source: UndoSource,
): Promise<void> {
  const parts = await listThere(instance, restore, source);
  for (const { part } of [...parts].reverse()) {
    await source.store.delete(undoPartKey(instance, restore, part));
  }
}

/**
 * Whether a pack goes. One that is over its time is begun with no more, and stays for a day: an undo may
 * have begun with it just before.
 */
export function isUndoPackOver({ expiresMs }: Pick<UndoHead, 'expiresMs'>, nowMs: number): boolean {
  return expiresMs + 86_400_000 <= nowMs;
}

/** Packs that are over their time, and those of which nobody can tell. */
export interface OverPacks {
  readonly over: readonly string[];
  /** Why they cannot be read: keys that are gone or not given, damage. */
  readonly unread: readonly { readonly restore: string; readonly cause: TidemarkError }[];
}

/** Looks which packs of an instance are over their time. One that cannot be read is in nobody's way. */
export async function findOverPacks(
  instance: string,
  nowMs: number,
  source: UndoSource,
): Promise<OverPacks> {
  const lasts = new Map<string, UndoPartPlace>();
  // The last part has the latest expiry.
  for (const place of await listThere(instance, null, source)) lasts.set(place.restore, place);
  const over: string[] = [];
  const unread: { restore: string; cause: TidemarkError }[] = [];
  for (const [restore, last] of lasts) {
    try {
      if (isUndoPackOver(await readUndoHead(last, source), nowMs)) over.push(restore);
    } catch (cause) {
      if (!isUnreadable(cause)) throw cause;
      unread.push({ restore, cause });
    }
  }
  return { over, unread };
}

/** A store or key service that is away is another matter. */
function isUnreadable(cause: unknown): cause is TidemarkError {
  if (cause instanceof KeyError) return !cause.retryable;
  return cause instanceof IntegrityError || cause instanceof FormatError;
}

/** Removes the packs that are over their time, but those `inUse`; asked once there is one. */
export async function removeExpiredPacks(
  instance: string,
  { nowMs, inUse }: { readonly nowMs: number; readonly inUse: () => Promise<readonly string[]> },
  source: UndoSource,
): Promise<void> {
  const { over } = await findOverPacks(instance, nowMs, source);
  if (over.length === 0) return;
  const used = await inUse();
  for (const restore of over) {
    if (!used.includes(restore)) await removeUndoPack(instance, restore, source);
  }
}

/** The head of a part. */
export async function readUndoHead(place: UndoPartPlace, source: UndoSource): Promise<UndoHead> {
  await using part = await openUndoPart(place, source);
  return part.head;
}
