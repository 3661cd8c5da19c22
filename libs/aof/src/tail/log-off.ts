import { statOrNull } from './pin-files.ts';
import { sameFile } from './pin-names.ts';
import type { SeenFile } from './seen.ts';

/** Whether reading may start again after the log was switched off. */
export type Unblocked = 'yes' | 'no' | 'new-file' | 'same-file';

const sizeOf = (file: SeenFile): number => {
  const stat = statOrNull(file.path);
  const same = stat?.ino.toString() === file.ino && stat.dev.toString() === file.dev;
  return same ? Number(stat.size) : file.size;
};

/**
 * Remembers that the server stopped writing its log, and where.
 *
 * `CONFIG SET appendonly no` leaves the manifest as it is, and `yes` brings base and increment at
 * once, later, in one manifest. Until then the old files describe a dataset that is gone. Only a
 * restart goes on in the old file: it loads it first, so that the dataset is the file's again.
 *
 * Legal moves: on, noteOff, latch, noteOn (any number of both), clear.
 */
export class LogOff {
  #off = false;
  #latched = false;
  #enabled = true;
  #runIdOff = '';
  #runIdOn = '';
  #file: SeenFile | null = null;
  #end: number | null = null;

  /** Whether the log is off, or was and nothing new was opened since. */
  get active(): boolean {
    return this.#off;
  }

  /** The increment that was the newest one when the log went off. */
  get file(): SeenFile | null {
    return this.#file;
  }

  /** @returns Whether this is news. */
  noteOff(runId: string): boolean {
    this.#enabled = false;
    if (this.#off) return false;
    this.#off = true;
    this.#runIdOff = runId;
    return true;
  }

  /** @returns Whether this is news. */
  noteOn(runId: string): boolean {
    if (!this.#off || this.#enabled) return false;
    this.#enabled = true;
    this.#runIdOn = runId;
    return true;
  }

  /** Fixes where the log ends: the present end of its newest increment. */
  latch(file: SeenFile | null): void {
    this.#off = true;
    this.#latched = true;
    this.#file = file;
    this.#end = file === null ? null : sizeOf(file);
  }

  /** Where a file ends for the timeline, or `null` when it just goes on. */
  endOf(file: SeenFile | null): number | null {
    if (!this.#off || file === null || this.#file === null) return null;
    return sameFile(file, this.#file) ? this.#end : null;
  }

  /** Whether the present newest increment may be read as a log that is written. */
  unblocked(newest: SeenFile | null): Unblocked {
    if (!this.#off) return 'yes';
    if (newest === null || !this.#latched) return 'no';
    if (this.#file === null || !sameFile(newest, this.#file)) return 'new-file';
    if (!this.#enabled) return 'no';
    const restarted = this.#runIdOn !== this.#runIdOff;
    return restarted || sizeOf(newest) > (this.#end ?? 0) ? 'same-file' : 'no';
  }

  clear(): void {
    this.#off = false;
    this.#latched = false;
    this.#enabled = true;
    this.#file = null;
    this.#end = null;
  }
}
