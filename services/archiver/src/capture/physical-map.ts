/** One consumed stretch of an INCR file: where it stood in the file and in the stream. */
interface Stretch {
  readonly seq: number;
  readonly position: number;
  readonly length: number;
  readonly offset: bigint;
  /** Stream offsets of the annotations inside, with the bytes each took in the file; null when unknown. */
  readonly annotations: readonly { readonly offset: bigint; readonly bytes: number | null }[];
}

const STRETCHES_MAX = 512;

/**
 * Maps physical positions in INCR files to stream offsets for the recent past.
 *
 * Annotation lines take bytes in the file and none in the stream, so the map keeps where they
 * stood. A position older than the kept stretches, or one that cannot be told, maps to null: a
 * sample that maps to null is dropped, never guessed.
 */
export class PhysicalMap {
  readonly #stretches: Stretch[] = [];

  /** Notes a consumed stretch. Stretches come in the order of the stream. */
  add(stretch: Stretch): void {
    this.#stretches.push(stretch);
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

function offsetInside(stretch: Stretch, into: number): bigint | null {
  let annotationBytes = 0;
  for (const annotation of stretch.annotations) {
    const at = Number(annotation.offset - stretch.offset) + annotationBytes;
    if (into <= at) break;
    if (annotation.bytes === null) return null;
    annotationBytes += annotation.bytes;
    if (into < at + annotation.bytes) return annotation.offset;
  }
  return stretch.offset + BigInt(into - annotationBytes);
}
