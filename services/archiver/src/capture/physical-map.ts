/** One consumed stretch of an INCR file: where it stood in the file and in the stream. */
export interface ConsumedStretch {
  readonly seq: number;
  /** Physical position of its first byte, and its physical length. */
  readonly position: number;
  readonly length: number;
  /** Stream offset of its first command byte. */
  readonly offset: bigint;
  /** The stretch, and the slices of it that are command bytes: annotations stand between them. */
  readonly data: Buffer;
  readonly pieces: readonly Buffer[];
}

interface Stretch {
  readonly seq: number;
  readonly position: number;
  readonly length: number;
  readonly offset: bigint;
  /** Where each run of command bytes begins and ends in the stretch; null when there are too many. */
  readonly runs: readonly number[] | null;
}

const STRETCHES_MAX = 512;
/** Annotations come once a second; more in one read is not worth the memory. */
const RUNS_MAX = 1_024;

/**
 * Maps physical positions in INCR files to stream offsets for the recent past.
 *
 * Annotation lines take bytes in the file and none in the stream, so the map keeps where the
 * command bytes stood. A position older than the kept stretches, or one that cannot be told, maps to
 * null: a sample that maps to null is dropped, never guessed.
 */
export class PhysicalMap {
  readonly #stretches: Stretch[] = [];

  /** Notes a consumed stretch. Stretches come in the order of the stream. */
  add(consumed: ConsumedStretch): void {
    const { seq, position, length, offset, data, pieces } = consumed;
    let runs: number[] | null = null;
    if (pieces.length <= RUNS_MAX) {
      runs = [];
      for (const piece of pieces) {
        const at = piece.byteOffset - data.byteOffset;
        runs.push(at, at + piece.length);
      }
    }
    this.#stretches.push({ seq, position, length, offset, runs });
    if (this.#stretches.length > STRETCHES_MAX) this.#stretches.shift();
  }

  /** @returns The stream offset of a position, or null when it is not known. */
  offsetOf(seq: number, position: number): bigint | null {
    for (let i = this.#stretches.length - 1; i >= 0; i--) {
      const stretch = this.#stretches[i];
      if (stretch === undefined || stretch.seq !== seq) continue;
      const into = position - stretch.position;
      if (into < 0 || into > stretch.length) continue;
      return offsetInside(stretch, into);
    }
    return null;
  }
}

/** Within an annotation: the offset at which it stands. */
function offsetInside(stretch: Stretch, into: number): bigint | null {
  const { runs, offset } = stretch;
  if (runs === null) return null;
  let commandBytes = 0;
  for (let i = 0; i < runs.length; i += 2) {
    const [start, end] = [runs[i] as number, runs[i + 1] as number];
    if (into <= start) break;
    commandBytes += Math.min(into, end) - start;
  }
  return offset + BigInt(commandBytes);
}
