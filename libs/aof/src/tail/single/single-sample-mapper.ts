import type { FileIdentity, TailPosition, TailSample } from '../model.ts';
import { sameFile } from '../pin-names.ts';
import type { DiskView, SizedFile } from '../sample-mapper.ts';
import type { ForkBounds } from './overlap.ts';

interface Place {
  readonly runId: string;
  readonly file: SizedFile;
  readonly position: number;
}

/**
 * Maps samples of `INFO persistence` to positions in the single append-only file before 7.0.
 *
 * Pure. What the server counts (redis 6.0 src/aof.c): `aof_current_size` is the size of the file at
 * start and after each rewrite, and what was written since, so it is a position by itself; what
 * `aof_buffer_length` counts is written next.
 *
 *   position = aof_current_size + aof_buffer_length
 *
 * A server whose log was switched on writes it only after its first rewrite (state WAIT_REWRITE) and
 * says until then that it is on. It differs from a rewrite of a log that is written only in that the
 * file does not grow. So while a rewrite runs or is due, a sample counts only when the log grew since
 * an earlier sample of that rewrite.
 */
export class SingleSampleMapper {
  /** The latest sample of the rewrite that runs. */
  #rewrite: Place | null = null;

  /** The last sample before the rewrite that runs or ran last, and the first one of it. */
  #before: Place | null = null;
  #first: Place | null = null;

  /** Forgets what was learnt: the server was restarted or the log switched off. */
  reset(): void {
    this.#rewrite = null;
    this.#before = null;
    this.#first = null;
  }

  /** Between which positions of a file its latest rewrite forked; `null` when it was not seen. */
  forkOf(file: FileIdentity): ForkBounds | null {
    const [before, first] = [this.#before, this.#first];
    if (before === null || first?.runId !== before.runId) return null;
    if (!sameFile(before.file, file) || !sameFile(first.file, file)) return null;
    return { from: before.position, to: first.position };
  }

  /**
   * @param before - The disk before the sample was asked for.
   * @param after - The disk after its answer came.
   * @returns `null` when the position cannot be told for certain.
   */
  map(sample: TailSample, before: DiskView | null, after: DiskView | null): TailPosition | null {
    const [old, file] = [before?.incr[0], after?.incr[0]];
    if (old === undefined || file === undefined || !sameFile(old, file)) return null;
    const written = sample.aofCurrentSize;
    if (written < old.size || written > file.size) return null;
    const position = written + sample.aofBufferLength;
    const { runId = '' } = sample;
    this.#noteFork(sample, { runId, file, position });
    const last = this.#rewrite;
    const rewriting = sample.rewriteInProgress || sample.rewriteScheduled === true;
    this.#rewrite = rewriting ? { runId, file, position } : null;
    const known = last?.runId === runId && sameFile(last.file, file) ? last.position : position;
    if (rewriting && position <= known) return null;
    const { name, seq, dev, ino } = file;
    return { file: { name, seq, dev, ino }, seq, position };
  }
  #noteFork(sample: TailSample, place: Place): void {
    if (!sample.rewriteInProgress) {
      this.#before = place;
      this.#first = null;
    } else this.#first ??= place;
  }
}
