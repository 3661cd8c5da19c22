import type { FileIdentity, IncrFile, TailPosition, TailSample } from './model.ts';
import { sameFile } from './pin-names.ts';

/** One file of a manifest with its size at that time. */
export interface SizedFile extends IncrFile {
  readonly size: number;
}

/** The files of the manifest on the disk at one moment. */
export interface DiskView {
  readonly base: SizedFile | null;
  readonly incr: readonly SizedFile[];
}

/** Samples after which an epoch that may begin with a cut log is taken to be as it seems. */
const TRUST_SAMPLES = 25;

interface Epoch {
  readonly key: string;
  /** Bounds of the constant error of `aof_current_size`, inclusive. */
  low: number;
  high: number;
  count: number;
  error: number | null;
}

const totalOf = (files: readonly SizedFile[]): number =>
  files.reduce((sum, file) => sum + file.size, 0);

const sameBase = (a: DiskView, b: DiskView): boolean =>
  a.base === null || b.base === null ? a.base === b.base : sameFile(a.base, b.base);

const sizeOf = (view: DiskView): number => view.base?.size ?? 0;

/**
 * Maps samples of `INFO persistence` to positions in the increments.
 *
 * Pure. What the server counts (redis 7.0 src/aof.c): `aof_current_size` is the bytes of base and
 * all increments of the manifest in force, of which the server keeps account by adding what it
 * writes. The account can be off by a constant until the next rewrite: a server that made a new
 * AOF at its start did not count the base, and one that cut a torn tail while loading still counts
 * what it cut. So the constant is bounded by the file sizes before and after each sample, and a
 * sample counts only once the constant is known. `aof_base_size` is not the size of the base (a
 * rewrite adds what was written meanwhile); it only tells that a rewrite ended or the server
 * started in between.
 *
 *   position in all increments = aof_current_size - error - base + aof_buffer_length
 */
export class SampleMapper {
  #epoch: Epoch | null = null;
  /** What the last accepted sample saw: to notice a rewrite that opened no new increment. */
  #last: {
    readonly runId: string;
    readonly rewrites: number;
    readonly newest: FileIdentity;
    readonly view: DiskView;
    readonly baseSize: number;
  } | null = null;
  /** A rewrite was begun and no increment opened for it: the log stands still. */
  #waiting: FileIdentity | null = null;

  /** Forgets what was learnt: the server was restarted or the log switched off. */
  reset(): void {
    this.#epoch = null;
    this.#last = null;
    this.#waiting = null;
  }

  /**
   * @param before - The disk before the sample was asked for.
   * @param after - The disk after its answer came.
   * @returns `null` when the position cannot be told for certain.
   */
  map(sample: TailSample, before: DiskView | null, after: DiskView | null): TailPosition | null {
    if (before === null || after === null) return null;
    const newest = after.incr.at(-1);
    if (newest === undefined || this.#waitsForRewrite(sample, newest, after)) return null;
    const position = sameBase(before, after)
      ? this.#inOneEpoch(sample, before, after)
      : this.#acrossRewrite(sample, before, after);
    if (position === null) return null;
    const { rewrites, runId = '', aofBaseSize: baseSize } = sample;
    // The older of both views: an increment opened after the sample must not count as known.
    const known = before.incr.at(-1) ?? newest;
    this.#last = { runId, rewrites, newest: known, view: after, baseSize };
    return position;
  }

  /**
   * Whether the server rewrites without having opened an increment: it was switched on, or loaded
   * another dataset, and logs nothing that a manifest lists (state WAIT_REWRITE).
   */
  #waitsForRewrite(sample: TailSample, newest: SizedFile, after: DiskView): boolean {
    if (this.#waiting !== null && !sameFile(this.#waiting, newest)) this.#waiting = null;
    const last = this.#last;
    if (last === null || last.runId !== (sample.runId ?? '')) {
      this.#waiting = null;
      return sample.rewriteInProgress && after.incr.length < 2;
    }
    if (sample.rewrites > last.rewrites && sameFile(last.newest, newest)) this.#waiting = newest;
    return this.#waiting !== null;
  }

  #inOneEpoch(sample: TailSample, before: DiskView, after: DiskView): TailPosition | null {
    const counted = sample.aofCurrentSize - sizeOf(after);
    const bounds = { low: counted - totalOf(after.incr), high: counted - totalOf(before.incr) };
    const error = this.#errorOf(sample, after, bounds);
    return error === null ? null : place(after.incr, counted - error + sample.aofBufferLength);
  }

  /** The base changed around the sample: it is placed only if its epoch is beyond doubt. */
  #acrossRewrite(sample: TailSample, before: DiskView, after: DiskView): TailPosition | null {
    const last = this.#last;
    const epoch = this.#epoch;
    const first = after.incr[0];
    const newest = before.incr.at(-1);
    const oneRewrite = first !== undefined && newest !== undefined && sameFile(first, newest);
    if (!oneRewrite || last === null || epoch === null || !sameBase(last.view, before)) return null;
    if (last.runId !== (sample.runId ?? '')) return null;
    const inNew = sample.aofCurrentSize - sizeOf(after);
    const fitsNew = inNew >= 0 && inNew <= totalOf(after.incr);
    if (sample.aofBaseSize !== last.baseSize) {
      if (!fitsNew) return null;
      const key = epochKey(sample, after);
      const low = inNew - totalOf(after.incr);
      this.#epoch = { key, low, high: inNew, count: 1, error: 0 };
      return place(after.incr, inNew + sample.aofBufferLength);
    }
    if (fitsNew || epoch.error === null) return null;
    const inOld = sample.aofCurrentSize - sizeOf(before) - epoch.error;
    const written = totalOf(before.incr);
    if (inOld < written || inOld > written - newest.size + first.size) return null;
    return place(before.incr, inOld + sample.aofBufferLength);
  }

  /** The constant error of this epoch, once it is known. */
  #errorOf(
    sample: TailSample,
    view: DiskView,
    bounds: { readonly low: number; readonly high: number },
  ): number | null {
    const key = epochKey(sample, view);
    let epoch = this.#epoch;
    if (epoch?.key !== key) {
      epoch = { key, ...bounds, count: 0, error: this.#rewriteSeen(sample, view) ? 0 : null };
      this.#epoch = epoch;
    }
    epoch.count++;
    epoch.low = Math.max(epoch.low, bounds.low);
    epoch.high = Math.min(epoch.high, bounds.high);
    if (epoch.low > epoch.high) {
      this.#epoch = { key, ...bounds, count: 1, error: null }; // not constant: learn anew
      return null;
    }
    epoch.error ??= this.#guess(sample, view, epoch);
    if (epoch.error === null) return null;
    if (epoch.error >= epoch.low && epoch.error <= epoch.high) return epoch.error;
    epoch.error = null;
    return null;
  }

  #guess(sample: TailSample, view: DiskView, epoch: Epoch): number | null {
    if (epoch.low === epoch.high) return epoch.low;
    const within = (error: number): number | null =>
      error >= epoch.low && error <= epoch.high ? error : null;
    // Only a server that made its AOF at this start shows no base size: it did not count the base.
    if (sample.aofBaseSize === 0) return within(-sizeOf(view));
    // Only a rewrite makes it differ from the base's own size, and a rewrite counts anew.
    if (sample.aofBaseSize > sizeOf(view)) return within(0);
    return epoch.count >= TRUST_SAMPLES ? within(0) : null;
  }

  /** Whether this epoch began with a rewrite between two samples of one server process. */
  #rewriteSeen(sample: TailSample, view: DiskView): boolean {
    const last = this.#last;
    if (last === null || last.runId !== (sample.runId ?? '')) return false;
    return sample.runId !== undefined && !sameBase(last.view, view);
  }
}

const epochKey = (sample: TailSample, view: DiskView): string => {
  const { base } = view;
  const file = base === null ? '' : `${base.seq}.${base.dev}.${base.ino}`;
  return `${sample.runId ?? ''}|${sample.aofBaseSize}|${file}`;
};

/** The file in which a position counted over all increments lies. */
function place(files: readonly SizedFile[], total: number): TailPosition | null {
  if (total < 0) return null;
  let rest = total;
  for (const [i, file] of files.entries()) {
    const last = i === files.length - 1;
    if (!last && rest > file.size) {
      rest -= file.size;
      continue;
    }
    const { name, seq, dev, ino } = file;
    return { file: { name, seq, dev, ino }, seq, position: rest };
  }
  return null;
}
