import {
  CommandDecoder,
  digestOf,
  type CommandBatch,
  type IncrFile,
  type TailCursor,
} from '@tidemark/aof';
import type { StreamState } from '@tidemark/catalog';
import { PhysicalMap } from './physical-map.ts';

const DIGEST_BYTES = 4096;
const LINE_FEED = 0x0a;
/** An unfinished command up to this size is held back, so that a segment ends on a whole one. */
const HOLD_BYTES_MAX = 1024 * 1024;

/** Where an intake begins: on a command boundary, `skipBytes` of which are archived already. */
export interface IntakeStart {
  readonly offset: bigint;
  readonly db: number;
  readonly inMulti: boolean;
  /** Bytes at the start that belong to an unfinished command whose head is archived already. */
  readonly skipBytes: number;
}

/** What one push gave: the batches to be indexed, pieces trimmed to what may go into a segment. */
export interface IntakeResult {
  readonly batches: readonly CommandBatch[];
  readonly marks: readonly { readonly offset: bigint; readonly second: number }[];
}

/**
 * Turns the physical bytes of INCR files into command batches for segments.
 *
 * Holds back the bytes of an unfinished command (up to 1 MiB), so that a segment normally ends on
 * a command boundary: a torn tail that the server cuts off at its restart is then never archived.
 */
export class CommandIntake {
  readonly map: PhysicalMap = new PhysicalMap();
  readonly #decoder: CommandDecoder;
  #skip: number;
  #held: Buffer[] = [];
  #heldBytes = 0;
  #file: IncrFile | null = null;
  #position = 0;
  /** The bytes of the file right before `#position`, as far as they were seen: at most 4 KiB. */
  #block: Buffer = Buffer.alloc(0);
  #boundaryPosition = 0;
  /** What `cursor` proves the bytes before the boundary with. */
  #proof: { readonly block: Buffer } | { readonly cursor: TailCursor } = { block: this.#block };
  #end: bigint;
  /** The stream at `end`: kept apart, since a push that fails leaves the decoder somewhere. */
  #after: StreamState;

  constructor(start: IntakeStart) {
    this.#decoder = new CommandDecoder({
      offset: start.offset,
      db: start.db,
      inMulti: start.inMulti,
    });
    this.#skip = start.skipBytes;
    this.#after = { db: start.db, inMulti: start.inMulti, partialBytes: start.skipBytes };
    this.#end = start.offset + BigInt(start.skipBytes);
  }

  /** Stream offset up to which bytes were handed out for segments. */
  get end(): bigint {
    return this.#end;
  }
  /** Stream offset after the last byte taken in. */
  get taken(): bigint {
    return this.#decoder.offset;
  }
  get db(): number {
    return this.#after.db;
  }
  get inMulti(): boolean {
    return this.#after.inMulti;
  }
  /** Bytes of an unfinished command that were handed out already. */
  get partialBytes(): number {
    return this.#after.partialBytes;
  }

  /**
   * Begins an INCR file at a physical position.
   * @param cursor - The durable cursor that led here: until a boundary is passed it stays the proof.
   */
  open(file: IncrFile, position: number, cursor: TailCursor | null = null): void {
    this.#file = file;
    this.#position = position;
    this.#block = Buffer.alloc(0);
    this.#boundaryPosition = position - this.#decoder.partialBytes;
    const same = cursor !== null && cursor.position === this.#boundaryPosition;
    this.#proof = same ? { cursor } : { block: this.#block };
  }

  /** Takes bytes of the open file in; `position` is the physical position of the first. */
  push(data: Buffer, position: number): IntakeResult {
    const before = this.#decoder.offset;
    const batches = this.#decoder.push(data);
    const last = batches[batches.length - 1];
    const pieces = last?.pieces ?? [];
    this.#noteBoundary(data, position);
    const marks = batches.flatMap((batch) => batch.marks);
    this.#position = position + data.length;
    if (this.#file !== null) {
      const { seq } = this.#file;
      this.map.add({ seq, position, length: data.length, offset: before, pieces, data });
    }
    const ready = this.#ready(pieces);
    const { db, inMulti, partialBytes } = this.#decoder;
    this.#after = { db, inMulti, partialBytes: partialBytes - this.#heldBytes };
    const out = batches.map((batch) =>
      batch === last ? (Object.create(batch, { pieces: { value: ready } }) as CommandBatch) : batch,
    );
    return { batches: out, marks };
  }

  /**
   * The place from which a later run goes on: the last command boundary, with its digest. When bytes
   * after it were handed out it is the end of those: they must be proven too, and are read again.
   */
  cursor(): TailCursor | null {
    if (this.#file === null) return null;
    const { seq, dev, ino, name } = this.#file;
    if (this.partialBytes > 0) {
      // Nothing is held then: the hand-out ended where the last push did.
      const [digest, digestBytes] = [digestOf(this.#block), this.#block.length];
      return { file: name, seq, dev, ino, position: this.#position, digest, digestBytes };
    }
    const proof =
      'cursor' in this.#proof
        ? { digest: this.#proof.cursor.digest, digestBytes: this.#proof.cursor.digestBytes }
        : { digest: digestOf(this.#proof.block), digestBytes: this.#proof.block.length };
    return { file: name, seq, dev, ino, position: this.#boundaryPosition, ...proof };
  }

  /** Physical position after the last byte taken in. */
  get position(): number {
    return this.#position;
  }

  #noteBoundary(data: Buffer, position: number): void {
    const inside = data.length - (this.#decoder.partialBytes || unfinishedLine(data));
    // Else the whole push belongs to a command or an annotation begun earlier.
    if (inside > 0) {
      this.#boundaryPosition = position + inside;
      this.#proof = { block: blockBefore(this.#block, data.subarray(0, inside)) };
    }
    this.#block = blockBefore(this.#block, data);
  }

  /** Pieces that may go into a segment now; the rest is held. */
  #ready(pieces: readonly Buffer[]): readonly Buffer[] {
    const all = this.#skipPieces([...this.#held, ...pieces]);
    let total = 0;
    for (const piece of all) total += piece.length;
    const partial = this.#decoder.partialBytes;
    const hold = partial <= HOLD_BYTES_MAX ? Math.min(partial, total) : 0;
    const out: Buffer[] = [];
    this.#held = [];
    let room = total - hold;
    for (const piece of all) {
      const take = Math.min(room, piece.length);
      if (take > 0) out.push(piece.subarray(0, take));
      // A copy: a kept slice would pin its whole chunk.
      if (take < piece.length) this.#held.push(Buffer.from(piece.subarray(take)));
      room -= take;
    }
    this.#heldBytes = hold;
    this.#end += BigInt(total - hold);
    return out;
  }

  #skipPieces(pieces: readonly Buffer[]): Buffer[] {
    if (this.#skip === 0) return [...pieces];
    const out: Buffer[] = [];
    for (const piece of pieces) {
      const drop = Math.min(this.#skip, piece.length);
      this.#skip -= drop;
      if (drop < piece.length) out.push(piece.subarray(drop));
    }
    return out;
  }
}

/**
 * Bytes at the end that belong to an unfinished annotation, when no command is unfinished: whole
 * commands and whole annotations end with a line feed, and an annotation holds no other.
 */
function unfinishedLine(data: Buffer): number {
  return data.length - 1 - data.lastIndexOf(LINE_FEED);
}

/** The last bytes of `before` and `data` together, as a copy: a slice would pin its whole chunk. */
function blockBefore(before: Buffer, data: Buffer): Buffer {
  const own = data.subarray(Math.max(0, data.length - DIGEST_BYTES));
  const rest = before.subarray(Math.max(0, before.length - (DIGEST_BYTES - own.length)));
  return Buffer.concat([rest, own]);
}
