import { createDecipheriv } from 'node:crypto';
import { IntegrityError } from '@tidemark/core';
import { TAG_BYTES } from './constants.ts';
import { truncated } from './digest.ts';
import { Gather } from './gather.ts';
import type { ObjectKeys } from './key-schedule.ts';

/** Opens a run of chunks of one object. Plain bytes leave only after their tag has held. */
export class ChunkOpener {
  readonly #keys: ObjectKeys;
  readonly #chunkBytes: number;
  readonly #gather: Gather;
  readonly #onTag: (tag: Uint8Array) => void;
  #chunk: number;
  #offset: number;

  /** `first` is the number of the first chunk, `offset` its byte position in the object. */
  constructor(o: {
    readonly keys: ObjectKeys;
    readonly chunkLog2: number;
    readonly first: number;
    readonly offset: number;
    readonly onTag: (tag: Uint8Array) => void;
  }) {
    this.#keys = o.keys;
    this.#chunkBytes = 2 ** o.chunkLog2 + TAG_BYTES;
    this.#gather = new Gather(this.#chunkBytes);
    this.#chunk = o.first;
    this.#offset = o.offset;
    this.#onTag = o.onTag;
  }

  /** @throws IntegrityError `TM_SEAL_CHUNK` with chunk number and byte position. */
  push(bytes: Uint8Array): Buffer[] {
    const opened: Buffer[] = [];
    let at = 0;
    if (this.#gather.length > 0) {
      at = this.#gather.add(bytes);
      if (!this.#gather.full) return opened;
      opened.push(this.#open(this.#gather.view()));
      this.#gather.clear();
    }
    for (; bytes.length - at >= this.#chunkBytes; at += this.#chunkBytes) {
      opened.push(this.#open(bytes.subarray(at, at + this.#chunkBytes)));
    }
    if (at < bytes.length) this.#gather.add(bytes.subarray(at));
    return opened;
  }

  /**
   * Opens what is left as the final, shorter chunk.
   * @returns Its plain bytes, perhaps none.
   * @throws IntegrityError `TM_SEAL_TRUNCATED` when not even a tag is left, `TM_SEAL_CHUNK`.
   */
  end(): Buffer {
    const rest = this.#gather.view();
    if (rest.length < TAG_BYTES) throw truncated(this.#offset + rest.length);
    return this.#open(rest);
  }

  /** Zero-fills keys and what is gathered. */
  destroy(): void {
    this.#keys.destroy();
    this.#gather.destroy();
  }

  #open(sealed: Uint8Array): Buffer {
    const nonce = this.#keys.nonceOf(this.#chunk);
    const tag = sealed.subarray(sealed.length - TAG_BYTES);
    // Without authTagLength Node 20 takes tags of 4 bytes (DEP0182).
    const options = { authTagLength: TAG_BYTES };
    const decipher = createDecipheriv('aes-256-gcm', this.#keys.key, nonce, options);
    decipher.setAuthTag(tag);
    const plain = decipher.update(sealed.subarray(0, sealed.length - TAG_BYTES));
    try {
      decipher.final();
    } catch (cause) {
      plain.fill(0);
      throw new IntegrityError('TM_SEAL_CHUNK', `chunk ${this.#chunk} of the object was changed`, {
        context: { offset: this.#offset, chunk: this.#chunk },
        hint: 'the object is damaged or was tampered with; see "tidemark repo verify"',
        cause,
      });
    }
    this.#onTag(tag);
    this.#chunk++;
    this.#offset += sealed.length;
    return plain;
  }
}
