import { watch, type FSWatcher } from 'node:fs';
import { realpath } from 'node:fs/promises';
import { dirname } from 'node:path';

/** Pauses of a watch, milliseconds. */
export interface WatchPauses {
  /** Without a further event before the files are looked at. */
  readonly settleMs: number;
  /** Between two looks without any event: a watch may miss some (network file systems). */
  readonly pollMs: number;
}

/**
 * Says when files may have changed. It watches folders, not files: a careful operator swaps a file by
 * a rename, and Kubernetes the link of the whole folder. Nothing of it keeps the process alive.
 */
export class FolderWatch implements Disposable {
  readonly #paths: readonly string[];
  readonly #look: () => void;
  readonly #pauses: WatchPauses;
  readonly #watchers = new Map<string, FSWatcher>();
  readonly #poll: NodeJS.Timeout;
  #settling: NodeJS.Timeout | null = null;
  #closed = false;

  /** @param look - Called when events have settled, and at every poll. */
  constructor(paths: readonly string[], pauses: WatchPauses, look: () => void) {
    this.#paths = paths;
    this.#look = look;
    this.#pauses = pauses;
    this.#poll = setInterval(() => {
      void this.refresh();
      look();
    }, pauses.pollMs).unref();
  }

  /** Watches the folders of the files and of what they link to, as they are now. */
  async refresh(): Promise<void> {
    const folders = new Set<string>();
    for (const path of this.#paths) {
      folders.add(dirname(path));
      // One that is missing now is told by the look.
      folders.add(dirname(await realpath(path).catch(() => path)));
    }
    if (this.#closed) return;
    for (const [folder, watcher] of this.#watchers) {
      if (folders.has(folder)) continue;
      watcher.close();
      this.#watchers.delete(folder);
    }
    for (const folder of folders) this.#open(folder);
  }

  #open(folder: string): void {
    if (this.#watchers.has(folder)) return;
    try {
      const watcher = watch(folder, { persistent: false }, () => this.#settle());
      watcher.on('error', () => {
        watcher.close();
        this.#watchers.delete(folder); // the next poll opens it again
      });
      this.#watchers.set(folder, watcher);
    } catch {
      // Out of watches, or the folder is gone: the poll still looks.
    }
  }

  /** A busy folder must not put the look off for ever: the first event starts the pause. */
  #settle(): void {
    this.#settling ??= setTimeout(() => {
      this.#settling = null;
      void this.refresh();
      this.#look();
    }, this.#pauses.settleMs).unref();
  }

  [Symbol.dispose](): void {
    this.#closed = true;
    clearInterval(this.#poll);
    if (this.#settling !== null) clearTimeout(this.#settling);
    for (const watcher of this.#watchers.values()) watcher.close();
    this.#watchers.clear();
  }
}
