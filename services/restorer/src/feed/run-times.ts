import type { Mark } from '@tidemark/archive';

/** Marks of so many segments are kept: a command may begin in the one before. */
const SEGMENTS_KEPT = 2;

/** Tells when commands of a stream ran, from the marks around them. */
export class RunTimes {
  #segments: (readonly Mark[])[] = [];

  /** Takes the marks of the next segment, in offset order. */
  add(marks: readonly Mark[]): void {
    this.#segments = [...this.#segments.slice(1 - SEGMENTS_KEPT), marks];
  }

  /**
   * When the command that begins at `offset` ran, Unix milliseconds: not later than this, and as
   * near as the marks tell; else not earlier than this. Null when no mark is near.
   */
  at(offset: bigint): number | null {
    let after: number | null = null;
    let before: number | null = null;
    for (const marks of this.#segments) {
      for (const mark of marks) {
        if (mark.offset <= offset) before = mark.notBeforeMs;
        else if (mark.notAfterMs !== null) after ??= mark.notAfterMs;
      }
    }
    return after ?? before;
  }
}
