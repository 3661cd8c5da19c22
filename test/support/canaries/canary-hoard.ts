import { randomBytes } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expandLzf, expandZstd } from './expand.ts';
import { NeedleIndex, type Hit } from './needle-index.ts';

const CANARY_BYTES = 64;
const BLANKS = Buffer.alloc(200, ' ');

/** A canary that was found in a file. */
export interface FoundCanary extends Hit {
  readonly file: string;
}

/** Random values of 64 bytes, text and binary in turn, and the search for them. */
export class CanaryHoard {
  readonly #canaries: Buffer[] = [];
  #index: NeedleIndex | null = null;

  /** How many were given out. */
  get size(): number {
    return this.#canaries.length;
  }

  /**
   * A new canary, to be written as a key, field or value. Every fifth is followed by blanks, so that
   * a server packs it (LZF).
   */
  readonly next = (): Buffer => {
    const canary =
      this.#canaries.length % 2 === 0
        ? randomBytes(CANARY_BYTES)
        : Buffer.from(randomBytes(CANARY_BYTES).toString('base64url').slice(0, CANARY_BYTES));
    this.#canaries.push(canary);
    this.#index = null;
    return this.#canaries.length % 5 === 0 ? Buffer.concat([canary, BLANKS]) : canary;
  };

  /** Looks through bytes: as they are, and with zstd frames and LZF strings expanded. */
  async searchBytes(bytes: Buffer, onHit: (hit: Hit) => void): Promise<void> {
    const index = (this.#index ??= new NeedleIndex(this.#canaries));
    const look = (found: Buffer, before: string): void => {
      index.search(found, (hit) => onHit({ ...hit, form: before + hit.form }));
      for (const plain of expandLzf(found)) {
        index.search(plain, (hit) => onHit({ ...hit, form: `${before}lzf ${hit.form}` }));
      }
    };
    look(bytes, '');
    for await (const plain of expandZstd(bytes)) look(plain, 'zstd ');
  }

  /**
   * Looks through every file below a folder.
   * @returns One hit for each canary, form and file; and how much was looked through.
   */
  async searchFolder(root: string): Promise<{
    readonly found: readonly FoundCanary[];
    readonly files: number;
    readonly bytes: number;
  }> {
    const found = new Map<string, FoundCanary>();
    let [files, bytes] = [0, 0];
    for (const entry of await readdir(root, { recursive: true, withFileTypes: true })) {
      if (!entry.isFile()) continue;
      const file = join(entry.parentPath, entry.name);
      const content = await readFile(file);
      files += 1;
      bytes += content.length;
      const note = (hit: Hit): void =>
        void found.set(`${hit.canary} ${hit.form} ${file}`, { ...hit, file });
      await this.searchBytes(content, note);
      // A name is bytes on a disk as well.
      await this.searchBytes(Buffer.from(entry.name, 'latin1'), note);
    }
    return { found: [...found.values()], files, bytes };
  }
}
