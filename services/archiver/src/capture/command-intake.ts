import { createHash } from 'node:crypto';
import { CommandDecoder, type CommandBatch, type IncrFile, type TailCursor } from '@tidemark/aof';
import { PhysicalMap } from './physical-map.ts';

const DIGEST_BYTES = 4096;
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
  #boundaryPosition = 0;
  #boundaryTail: Buffer = Buffer.alloc(0);
  #end: bigint;

  constructor(start: IntakeStart) {
    this.#decoder = new CommandDecoder({
      offset: start.offset,
      db: start.db,
      inMulti: start.inMulti,
    });
    this.#skip = start.skipBytes;
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
    return this.#decoder.db;
  }
  get inMulti(): boolean {
    return this.#decoder.inMulti;
  }
  /** Bytes of an unfinished command that were handed out already. */
  get partialBytes(): number {
    return this.#decoder.partialBytes - this.#heldBytes;
  }

  /** Begins an INCR file at a physical position. */
  open(file: IncrFile, position: number): void {
    this.#file = file;
    this.#position = position;
    this.#boundaryPosition = position - this.#decoder.partialBytes;
    this.#boundaryTail = Buffer.alloc(0);
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
      this.map.add({
        seq: this.#file.seq,
        position,
        length: data.length,
        offset: before,
        annotations: annotationsOf(marks, data.length - Number(this.#decoder.offset - before)),
      });
    }
    const ready = this.#ready(pieces);
    const out = batches.map((batch) =>
      batch === last ? (Object.create(batch, { pieces: { value: ready } }) as CommandBatch) : batch,
    );
    return { batches: out, marks };
  }

  /** The place from which a later run goes on: the last command boundary, with its digest. */
  cursor(): TailCursor | null {
    if (this.#file === null) return null;
    return {
      ...this.#file,
      file: this.#file.name,
      position: this.#boundaryPosition,
      digest: createHash('sha256').update(this.#boundaryTail).digest('hex'),
      digestBytes: this.#boundaryTail.length,
    };
  }

  /** Physical position after the last byte taken in. */
  get position(): number {
    return this.#position;
  }

  #noteBoundary(data: Buffer, position: number): void {
    const boundary = position + data.length - this.#decoder.partialBytes;
    if (boundary <= position) return; // the whole push belongs to a command begun earlier
    const inside = boundary - position;
    const own = data.subarray(Math.max(0, inside - DIGEST_BYTES), inside);
    const fromBefore = Math.min(
      DIGEST_BYTES - own.length,
      this.#boundaryPosition === position ? this.#boundaryTail.length : 0,
    );
    // Bytes before this push count only when the last boundary stood right at its start.
    this.#boundaryTail = Buffer.concat([
      this.#boundaryTail.subarray(this.#boundaryTail.length - fromBefore),
      own,
    ]);
    this.#boundaryPosition = boundary;
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

function annotationsOf(
  marks: readonly { readonly offset: bigint; readonly second: number }[],
  annotationBytes: number,
): { offset: bigint; bytes: number | null }[] {
  // `#TS:<seconds>\r\n`; when the sum does not come out, other annotations stand in between.
  const sized = marks.map((mark) => ({
    offset: mark.offset,
    bytes: 6 + String(mark.second).length,
  }));
  const sum = sized.reduce((total, mark) => total + mark.bytes, 0);
  if (sum === annotationBytes) return sized;
  if (sized.length === 1) return sized.map((mark) => ({ ...mark, bytes: annotationBytes }));
  if (sized.length === 0) return [{ offset: 0n, bytes: null }];
  return sized.map((mark) => ({ ...mark, bytes: null }));
}
