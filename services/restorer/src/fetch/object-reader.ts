import { objectIdentity } from '@tidemark/archive';
import { decodeLogEntry } from '@tidemark/catalog';
import { bytesOf, collectBytes, IntegrityError, nameObject, type ByteSource } from '@tidemark/core';
import {
  Opener,
  verifySealedHeader,
  type DataKey,
  type Identity,
  type LogKey,
  type ObjectKind,
  type SealedHeader,
} from '@tidemark/crypto';
import type { ObjectStore } from '@tidemark/store';
import type { PlannedObject } from '../plan/restore-plan.ts';

/** A log entry with an inline body stays below this. */
const ENTRY_BYTES_MAX = 2 * 1024 * 1024;

/** Up to this sealed size an object is read whole, once, and kept for those who ask again. */
const KEPT_OBJECT_MAX = 256 * 1024;

/** Sealed bytes of all objects that are kept: verified first, then replayed. */
const KEPT_BYTES_MAX = 24 * 1024 * 1024;

/** Where objects are read from, and for whom. */
export interface ObjectReaderOptions {
  readonly instance: string;
  readonly shard: string;
  readonly writer: string;
  readonly store: ObjectStore;
  readonly logKey: LogKey;
  readonly keyOf: (dekId: string) => DataKey;
  readonly signal: AbortSignal;
}

/**
 * Reads the objects of one writer: sealed as they lie there, or opened and checked.
 *
 * Small ones are fetched once: a log of one segment a second has tens of them behind its merged
 * ones, and each read of the store costs as much as one of a large object. They are kept sealed.
 */
export class ObjectReader {
  readonly #options: ObjectReaderOptions;
  /** Sealed bytes by the key that they were read under. */
  readonly #kept = new Map<string, Buffer>();
  #keptBytes = 0;

  constructor(options: ObjectReaderOptions) {
    this.#options = options;
  }

  /** The name of an object for messages: its key, or that of its log entry. */
  nameOf(object: PlannedObject): string {
    return object.ref.readKey;
  }

  /** The data key that the log names for an object. */
  dataKeyOf(object: PlannedObject): DataKey {
    return this.#options.keyOf(object.ref.dekId);
  }

  /** A data key by its id. */
  dataKeyById(dekId: string): DataKey {
    return this.#options.keyOf(dekId);
  }

  /** The identity an object must have. */
  identityOf(object: PlannedObject): Identity {
    const { instance, writer } = this.#options;
    return objectIdentity({
      iid: instance,
      writer,
      timeline: object.timeline,
      start: object.start,
      kind: object.ref.kind as ObjectKind,
      key: object.ref.key,
    });
  }

  /**
   * The sealed bytes.
   * @throws StoreError `TM_STORE_MISSING`, `TM_STORE_RANGE`; IntegrityError `TM_LOG_…` when the log
   *   entry around an inline object was changed.
   */
  async *sealed(object: PlannedObject, end?: number): ByteSource {
    const { store, signal } = this.#options;
    const { key, size, readKey } = object.ref;
    if (key !== null && size > KEPT_OBJECT_MAX) {
      yield* store.get(readKey, { start: 0, end: end ?? size, signal });
      return;
    }
    const whole = this.#kept.get(readKey) ?? this.#keep(readKey, await this.#whole(object));
    yield* bytesOf(end === undefined ? whole : whole.subarray(0, end));
  }

  /** Bytes `[start, end)` of the sealed container. */
  sealedRange(object: PlannedObject, start: number, end: number): ByteSource {
    const { store, signal } = this.#options;
    const { readKey, readStart } = object.ref;
    return store.get(readKey, { start: readStart + start, end: readStart + end, signal });
  }

  /**
   * The plain content, each chunk authenticated before it is yielded; the digest of the whole is
   * compared with the log's at the end.
   */
  async *opened(object: PlannedObject): ByteSource {
    const opener = this.openerFor(object);
    try {
      for await (const part of this.sealed(object)) yield* opener.push(part);
      yield* opener.end();
      this.checkDigest(object, opener.digest());
    } catch (cause) {
      throw nameObject(cause, this.nameOf(object));
    } finally {
      opener.destroy();
    }
  }

  /** An opener that accepts exactly this object. */
  openerFor(object: PlannedObject): Opener {
    return new Opener({
      keyOf: (dekId) => {
        this.#checkDataKey(object, dekId);
        return this.#options.keyOf(dekId);
      },
      kind: object.ref.kind as ObjectKind,
      identity: this.identityOf(object),
    });
  }

  /**
   * Proves without a chunk that a header is that of this object.
   * @throws IntegrityError `TM_SEAL_IDENTITY`, `TM_SEAL_COMMITMENT`.
   */
  proveHeader(object: PlannedObject, header: SealedHeader, dataKey: DataKey): void {
    this.#checkDataKey(object, header.dekId);
    const kind = object.ref.kind as ObjectKind;
    verifySealedHeader({ header, kind, identity: this.identityOf(object), dataKey });
  }

  /** The log says which key sealed an object: another one in the object is damage, not a lack. */
  #checkDataKey(object: PlannedObject, dekId: string): void {
    if (dekId === object.ref.dekId) return;
    throw new IntegrityError(
      'TM_SEAL_COMMITMENT',
      'the object names another data key than the log',
      {
        context: { object: this.nameOf(object), expected: object.ref.dekId, actual: dekId },
      },
    );
  }

  /** @throws IntegrityError `TM_SEAL_DIGEST` when it is not the one in the log. */
  checkDigest(object: PlannedObject, digest: string): void {
    if (digest === object.ref.digest) return;
    throw new IntegrityError('TM_SEAL_DIGEST', 'an object is not the one the log names', {
      context: { object: this.nameOf(object) },
    });
  }

  #whole(object: PlannedObject): Promise<Buffer> {
    const { key, size, readKey } = object.ref;
    if (key === null) return this.#inlineBody(object);
    const { store, signal } = this.#options;
    const tooLong = (): Error => new IntegrityError('TM_SEAL_TRUNCATED', 'a store gave too much');
    return collectBytes(store.get(readKey, { start: 0, end: size, signal }), size, tooLong);
  }

  #keep(readKey: string, sealed: Buffer): Buffer {
    if (this.#keptBytes + sealed.length > KEPT_BYTES_MAX) return sealed;
    this.#keptBytes += sealed.length;
    this.#kept.set(readKey, sealed);
    return sealed;
  }

  /** Reads the whole log entry, so that what surrounds the object is authenticated too. */
  async #inlineBody(object: PlannedObject): Promise<Buffer> {
    const { store, instance, shard, writer, logKey, signal } = this.#options;
    const { readKey, seq, size } = object.ref;
    const bytes = await collectBytes(
      store.get(readKey, { signal }),
      ENTRY_BYTES_MAX,
      (length) =>
        new IntegrityError('TM_LOG_FORMAT', 'a log entry is too long', {
          context: { object: readKey, length },
        }),
    );
    const entry = decodeLogEntry(bytes, {
      log: { iid: instance, shard, writer },
      seq,
      predecessor: null,
      logKey,
      keyProven: true,
      whole: true,
    });
    const body = bytes.subarray(entry.bodyOffset, entry.bodyOffset + entry.bodySize);
    if (body.length === size) return body;
    throw new IntegrityError('TM_LOG_FORMAT', 'a log entry does not hold the object', {
      context: { object: readKey, bytes: body.length, size },
    });
  }
}
