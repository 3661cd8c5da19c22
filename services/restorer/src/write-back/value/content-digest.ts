import { createHash } from 'node:crypto';
import { TidemarkError } from '@tidemark/core';
import { visitDumpContent, type ContentKind, type ContentVisitor } from '@tidemark/rdb';

const DIGEST_BYTES = 32;

/**
 * A digest (SHA-256, 32 bytes) of the content of a value, the same for all its encodings and for all
 * orders of a set, hash or sorted set. It is held against that of a later DUMP of the same key, from
 * another server version or after a restart, to see whether anybody has changed the value.
 *
 * A value that is not understood (a type of a newer server) is taken as it stands, without its tail.
 * @param payload - As DUMP gives it.
 */
export function contentDigest(payload: Buffer): Buffer {
  const sum = new ContentSum();
  try {
    visitDumpContent(payload, sum);
    return sum.digest();
  } catch (cause) {
    if (!(cause instanceof TidemarkError)) throw cause;
    const tail = 10;
    const bytes = payload.subarray(0, Math.max(0, payload.length - tail));
    return createHash('sha256').update('as it stands\0').update(bytes).digest();
  }
}

/** Kinds whose groups stand in an order that means something. */
const ORDERED: ReadonlySet<ContentKind> = new Set(['string', 'list', 'stream', 'raw']);

/** Adds up what a value holds, group by group. */
export class ContentSum implements ContentVisitor {
  readonly #sum = new Uint32Array(DIGEST_BYTES / 4);
  readonly #length = Buffer.alloc(4);
  #kind: ContentKind = 'raw';
  #groups = 0;
  #bytes = 0;
  #hash = createHash('sha256');

  begin(kind: ContentKind): void {
    this.#kind = kind;
  }

  part(bytes: Uint8Array, start: number, end: number): void {
    this.#bytes += end - start;
    // A string may come in pieces: its length counts as a whole.
    if (this.#kind !== 'string') {
      this.#length.writeUInt32BE(end - start);
      this.#hash.update(this.#length);
    }
    this.#hash.update(bytes.subarray(start, end));
  }

  /** Of an unordered value the digests of the groups are added: the order is then no matter. */
  endGroup(): void {
    this.#groups += 1;
    if (ORDERED.has(this.#kind)) return;
    const digest = this.#hash.digest();
    for (let i = 0; i < this.#sum.length; i++) {
      this.#sum[i] = ((this.#sum[i] ?? 0) + digest.readUInt32BE(4 * i)) >>> 0;
    }
    this.#hash = createHash('sha256');
  }

  /** Groups so far. */
  get groups(): number {
    return this.#groups;
  }

  digest(): Buffer {
    const inner = ORDERED.has(this.#kind) ? this.#hash.digest() : this.#sumBytes();
    const head = `${this.#kind}\0${String(this.#groups)}\0${String(this.#bytes)}\0`;
    return createHash('sha256').update(head).update(inner).digest();
  }

  #sumBytes(): Buffer {
    const bytes = Buffer.alloc(DIGEST_BYTES);
    for (const [i, word] of this.#sum.entries()) bytes.writeUInt32BE(word, 4 * i);
    return bytes;
  }
}
