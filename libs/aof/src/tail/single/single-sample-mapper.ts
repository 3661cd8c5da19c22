import type { TailPosition, TailSample } from '../model.ts';
import { sameFile } from '../pin-names.ts';
import type { DiskView, SizedFile } from '../sample-mapper.ts';

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
  #rewrite: {
    readonly runId: string;
    readonly file: SizedFile;
    readonly position: number;
  } | null = null;

  /** Forgets what was learnt: the server was restarted or the log switched off. */
  reset(): void {
    this.#rewrite = null;
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
    const last = this.#rewrite;
    const rewriting = sample.rewriteInProgress || sample.rewriteScheduled === true;
    this.#rewrite = rewriting ? { runId, file, position } : null;
    const known = last?.runId === runId && sameFile(last.file, file) ? last.position : position;
    if (rewriting && position <= known) return null;
    const { name, seq, dev, ino } = file;
    return { file: { name, seq, dev, ino }, seq, position };
  }
}
