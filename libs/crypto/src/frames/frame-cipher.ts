import {
  createCipheriv,
  createDecipheriv,
  createHash,
  hkdfSync,
  timingSafeEqual,
} from 'node:crypto';
import { FormatError, IntegrityError, TidemarkError, UsageError } from '@tidemark/core';
import { TAG_BYTES } from '../container/constants.ts';
import type { DataKey } from '../container/key-schedule.ts';

/** Bytes before the ciphertext of a frame: length, kind, number. */
export const FRAME_HEAD_BYTES = 16;
/** What a frame takes beside its plain bytes. */
export const FRAME_OVERHEAD_BYTES = FRAME_HEAD_BYTES + TAG_BYTES;
/** Plain bytes of one frame at most: 256 KiB. */
export const FRAME_BYTES_MAX = 256 * 1024;
/** Bytes of the commitment that follows the header of a file of frames. */
export const FRAME_COMMITMENT_BYTES = 32;

const INFO = Buffer.from('tidemark/frames/v1\0', 'latin1');
const DIGEST_BYTES = 32;
const CIPHER = 'aes-256-gcm';
const TAG = { authTagLength: TAG_BYTES } as const;

/** The clear front of a frame. */
export interface FrameHead {
  /** Plain bytes that follow, 0 to 256 KiB. */
  readonly length: number;
  /** 1..255; what it means is the file's business. */
  readonly kind: number;
  /** Place in the file, from 0. */
  readonly number: number;
}

/**
 * Seals and opens the frames of one append-only file (docs/formats/wire-spool.md).
 *
 * Unlike a container, a file of frames has no end: each frame stands alone, so what was appended
 * before a crash can be read. The keys come from the file's header, which holds a random salt: no
 * two files share a key, and a nonce is a frame's number. So a number must be used once only: a file
 * whose last write failed, or that was cut, is never appended to again.
 */
export class FrameCipher {
  /** Says, beside the header, which key the file was sealed with. 32 bytes. */
  readonly commitment: Buffer;
  readonly #okm: Buffer;
  readonly #key: Buffer;
  #isDestroyed = false;
  readonly #nonce = Buffer.alloc(12);
  /** Digest of the header, then the frame's head. */
  readonly #bound = Buffer.alloc(DIGEST_BYTES + FRAME_HEAD_BYTES);

  /**
   * @param header - All of the header, its salt included; none of it can be changed unseen.
   * @param salt - 32 random bytes of this file.
   */
  constructor(o: { readonly dataKey: DataKey; readonly header: Buffer; readonly salt: Buffer }) {
    if (o.dataKey.key.length !== 32) throw new UsageError('TM_USAGE', 'a data key has 32 bytes');
    const digest = createHash('sha512').update(o.header).digest();
    const info = Buffer.concat([INFO, digest]);
    this.#okm = Buffer.from(hkdfSync('sha512', o.dataKey.key, o.salt, info, 64));
    this.#key = this.#okm.subarray(0, 32);
    this.commitment = Buffer.from(this.#okm.subarray(32, 64));
    digest.copy(this.#bound, 0, 0, DIGEST_BYTES);
  }

  /** @throws IntegrityError `TM_SEAL_COMMITMENT` when header or key are not those of the sealing. */
  assertCommitment(commitment: Buffer): void {
    const { length } = this.commitment;
    if (commitment.length === length && timingSafeEqual(commitment, this.commitment)) return;
    throw new IntegrityError('TM_SEAL_COMMITMENT', 'the key does not fit the header of the file');
  }

  /**
   * @param plain - At most 256 KiB.
   * @returns The frame in pieces: head, ciphertext, tag.
   * @throws TidemarkError `TM_INTERNAL` once the keys are gone.
   */
  seal(number: number, kind: number, plain: Uint8Array): Buffer[] {
    if (plain.length > FRAME_BYTES_MAX) throw new UsageError('TM_USAGE', 'a frame is too long');
    const head = Buffer.alloc(FRAME_HEAD_BYTES);
    head.writeUInt32BE(plain.length, 0);
    head.writeUInt8(kind, 4);
    head.writeBigUInt64BE(BigInt(number), 8);
    this.#bind(number, head);
    const cipher = createCipheriv(CIPHER, this.#key, this.#nonce, TAG);
    cipher.setAAD(this.#bound);
    const sealed = cipher.update(plain);
    cipher.final();
    return [head, sealed, cipher.getAuthTag()];
  }

  /**
   * @param frame - The frame, of the length that its head says.
   * @param head - Its head as {@link parseFrameHead} gave it.
   * @returns The plain bytes, in a buffer of their own.
   * @throws IntegrityError `TM_SEAL_CHUNK` when the tag does not hold; TidemarkError `TM_INTERNAL` once
   *   the keys are gone.
   */
  open(frame: Buffer, head: FrameHead): Buffer {
    this.#bind(head.number, frame.subarray(0, FRAME_HEAD_BYTES));
    const decipher = createDecipheriv(CIPHER, this.#key, this.#nonce, TAG);
    decipher.setAAD(this.#bound);
    decipher.setAuthTag(frame.subarray(frame.length - TAG_BYTES));
    const plain = decipher.update(frame.subarray(FRAME_HEAD_BYTES, frame.length - TAG_BYTES));
    try {
      decipher.final();
    } catch (cause) {
      plain.fill(0);
      throw new IntegrityError('TM_SEAL_CHUNK', `frame ${head.number} of the file was changed`, {
        context: { frame: head.number },
        cause,
      });
    }
    return plain;
  }

  /** Zero-fills the keys; nothing can be sealed or opened afterwards. */
  destroy(): void {
    this.#isDestroyed = true;
    this.#okm.fill(0);
  }

  /** Of keys that are gone zeros are left: anybody could open what they seal. */
  #bind(number: number, head: Buffer): void {
    if (this.#isDestroyed) throw new TidemarkError('TM_INTERNAL', 'the keys of the file are gone');
    this.#nonce.writeBigUInt64BE(BigInt(number), 4);
    head.copy(this.#bound, DIGEST_BYTES);
  }
}

/**
 * Reads the clear front of a frame. It is proven only when the frame is opened.
 * @param bytes - At least 16 bytes.
 * @throws FormatError `TM_SEAL_FORMAT` for what no frame begins with; `TM_SEAL_LIMIT` for a length
 *   over 256 KiB.
 */
export function parseFrameHead(bytes: Buffer): FrameHead {
  const length = bytes.readUInt32BE(0);
  const kind = bytes.readUInt8(4);
  const number = bytes.readBigUInt64BE(8);
  if (length > FRAME_BYTES_MAX) {
    throw new FormatError('TM_SEAL_LIMIT', `frame of ${length} exceeds ${FRAME_BYTES_MAX}`);
  }
  if (kind === 0 || bytes.readUIntBE(5, 3) !== 0 || number > BigInt(Number.MAX_SAFE_INTEGER)) {
    throw new FormatError('TM_SEAL_FORMAT', 'these bytes do not begin a frame');
  }
  return { length, kind, number: Number(number) };
}
