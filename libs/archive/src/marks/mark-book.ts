import { TidemarkError } from '@tidemark/core';
import { provenSecond, type Mark } from './mark.ts';

const MARKS_PER_SECOND = 4;

interface Entry {
  readonly mark: Mark;
  taken: boolean;
}

/**
 * The marks of one stretch of a timeline, between two steps back of the clock, in offset order.
 *
 * Marks may be added out of order: a sample names the server's position, which may lie ahead of the
 * bytes read so far or behind those that a segment holds already. Of the marks of one second at
 * most 4 stay; its first mark, its first and last sample always do, and of many marks at one offset
 * (nothing was written) the first and the last. `forget` bounds the memory.
 */
export class MarkBook {
  readonly #entries: Entry[] = [];
  #annotationSecond: number | null = null;
  #annotationsWhole = true;
  #forgottenMs: number | null = null;

  /** In offset order; of two at one offset the earlier comes first. */
  get marks(): readonly Mark[] {
    return this.#entries.map((entry) => entry.mark);
  }

  /**
   * Adds a `#TS` line.
   *
   * The server writes one before the first command of every second that is later than the last one
   * written, so the commands before it are older than its second, provided that the line before
   * named an earlier second. The first line of a timeline, and a second that does not grow (restart,
   * clock set back), say only that nothing is younger than the end of the latest second.
   * @param second - Unix seconds.
   * @see redis src/aof.c, genAofTimestampAnnotationIfNeeded
   */
  addAnnotation(offset: bigint, second: number): Mark {
    const before = this.#annotationSecond;
    const grew = before !== null && before < second && this.#annotationsWhole;
    const latest = before === null ? second : Math.max(before, second);
    const notAfterMs = grew ? second * 1000 - 1 : latest * 1000 + 999;
    const mark: Mark = { offset, notBeforeMs: second * 1000, notAfterMs, source: 'annotation' };
    this.#insert(mark, false);
    this.#annotationSecond = latest;
    this.#annotationsWhole = true;
    return mark;
  }

  /**
   * Says that commands may have been written without `#TS` lines since the last one: the server was
   * restarted or the setting was off. The next line then gets the wide upper bound.
   */
  annotationsInterrupted(): void {
    this.#annotationsWhole = false;
  }

  /**
   * Adds a sample: server time and stream position taken in one transaction.
   * @param timeUs - Unix microseconds.
   */
  addSample(offset: bigint, timeUs: number): Mark {
    const timeMs = Math.floor(timeUs / 1000);
    const mark: Mark = { offset, notBeforeMs: timeMs, notAfterMs: timeMs, source: 'sample' };
    this.#insert(mark, false);
    return mark;
  }

  /**
   * Adds what an earlier process has proven: no command at or after `offset` is older.
   * @param notBeforeMs - Unix milliseconds.
   */
  addProven(offset: bigint, notBeforeMs: number): void {
    this.#insert({ offset, notBeforeMs, notAfterMs: null, source: 'sample' }, false);
  }

  /** Puts back a mark that a segment holds already, as after a restart. */
  restore(mark: Mark): void {
    this.#insert(mark, true);
    if (mark.source === 'sample') return;
    const second = Math.floor(mark.notBeforeMs / 1000);
    this.#annotationSecond = Math.max(this.#annotationSecond ?? second, second);
  }

  /**
   * The latest second that can be restored, given what is stored.
   * @param durableOffset - Everything before it is stored.
   * @returns The greatest T for which a mark at or before `durableOffset` is at (T + 1) s or later.
   */
  provenTo(durableOffset: bigint): number | null {
    let latest = this.#forgottenMs;
    for (const { mark } of this.#entries) {
      if (mark.offset > durableOffset) break;
      if (latest === null || mark.notBeforeMs > latest) latest = mark.notBeforeMs;
    }
    return latest === null ? null : provenSecond(latest);
  }

  /**
   * The marks for a segment that ends at `end`: all up to there that no segment was given yet, late
   * ones of earlier segments among them.
   */
  take(end: bigint): readonly Mark[] {
    const marks: Mark[] = [];
    for (const entry of this.#entries) {
      if (entry.mark.offset > end) break;
      if (!entry.taken) marks.push(entry.mark);
      entry.taken = true;
    }
    return marks;
  }

  /** Drops the marks before `offset` that were taken; `provenTo` still knows of them. */
  forget(offset: bigint): void {
    let kept = 0;
    for (const entry of this.#entries) {
      if (entry.mark.offset < offset && entry.taken) {
        this.#forgottenMs = Math.max(this.#forgottenMs ?? 0, entry.mark.notBeforeMs);
      } else {
        this.#entries[kept++] = entry;
      }
    }
    this.#entries.length = kept;
  }

  #insert(mark: Mark, taken: boolean): void {
    if (!Number.isSafeInteger(mark.notBeforeMs) || mark.notBeforeMs < 0 || mark.offset < 0n) {
      throw new TidemarkError('TM_INTERNAL', 'a mark needs an offset and a time', {
        context: { offset: mark.offset, notBeforeMs: mark.notBeforeMs },
      });
    }
    let at = this.#entries.length;
    while (at > 0 && comesAfter(this.#entries[at - 1]?.mark, mark)) at--;
    this.#entries.splice(at, 0, { mark, taken });
    this.#thinOffset(at);
    this.#thinSecond(at);
  }

  /**
   * Drops the mark before `at` when it says nothing more: marks at one offset speak of the same
   * commands, so the earliest upper and the latest lower bound are enough.
   */
  #thinOffset(at: number): void {
    const [first, middle, last] = [at - 2, at - 1, at].map((i) => this.#entries[i]?.mark);
    if (first === undefined || middle === undefined || last === undefined) return;
    if (first.offset !== last.offset || first.notAfterMs === null) return;
    if (middle.notAfterMs !== null && middle.notAfterMs < first.notAfterMs) return;
    this.#entries.splice(at - 1, 1);
  }

  /** Drops a mark of the run of marks of one second around `near` when there are too many. */
  #thinSecond(near: number): void {
    const at = Math.min(near, this.#entries.length - 1);
    const second = secondOf(this.#entries[at]);
    let start = at;
    while (start > 0 && secondOf(this.#entries[start - 1]) === second) start--;
    let end = at + 1;
    while (end < this.#entries.length && secondOf(this.#entries[end]) === second) end++;
    if (end - start <= MARKS_PER_SECOND) return;
    let firstSample = -1;
    let lastSample = -1;
    for (let i = start; i < end; i++) {
      if (this.#entries[i]?.mark.source !== 'sample') continue;
      if (firstSample === -1) firstSample = i;
      lastSample = i;
    }
    for (let i = end - 1; i > start; i--) {
      if (i === firstSample || i === lastSample) continue;
      this.#entries.splice(i, 1);
      return;
    }
  }
}

function comesAfter(other: Mark | undefined, mark: Mark): boolean {
  if (other === undefined) return false;
  if (other.offset !== mark.offset) return other.offset > mark.offset;
  return other.notBeforeMs > mark.notBeforeMs;
}

function secondOf(entry: Entry | undefined): number {
  return entry === undefined ? NaN : Math.floor(entry.mark.notBeforeMs / 1000);
}
