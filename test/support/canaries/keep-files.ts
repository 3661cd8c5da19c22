import { linkSync, mkdirSync, readdirSync, type Dirent } from 'node:fs';
import { join } from 'node:path';

const POLL_MS = 3;

/**
 * Keeps every file that ever appears below a folder, also those that are deleted again soon, by
 * linking it into another folder of the same file system. A file that comes and goes between two
 * looks is missed.
 */
export class FileKeeper implements Disposable {
  readonly #from: string;
  readonly #to: string;
  readonly #kept = new Set<string>();
  readonly #timer: NodeJS.Timeout;

  constructor(from: string, to: string) {
    this.#from = from;
    this.#to = to;
    mkdirSync(to, { recursive: true });
    this.#timer = setInterval(() => this.#look(), POLL_MS);
  }

  /** Paths of what was kept, as they were. */
  get kept(): readonly string[] {
    return [...this.#kept];
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }

  #look(): void {
    let entries: Dirent[];
    try {
      entries = readdirSync(this.#from, { recursive: true, withFileTypes: true });
    } catch {
      return; // a folder went while it was read
    }
    for (const entry of entries) {
      const path = join(entry.parentPath, entry.name);
      if (!entry.isFile() || this.#kept.has(path)) continue;
      try {
        linkSync(path, join(this.#to, `${this.#kept.size}-${entry.name}`));
        this.#kept.add(path);
      } catch {
        // It went before it could be linked.
      }
    }
  }
}
