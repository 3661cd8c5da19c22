import { join } from 'node:path';
import { headOf, holdFile } from '../hold-file.ts';
import { errorCode, findFile, listPins, type FoundFile } from '../pin-files.ts';
import type { PinReport, PinScoutOptions, SeenFile } from '../seen.ts';

/** Poll while a rewrite runs, and else, in milliseconds. */
const FAST_POLL_MS = 20;
const SLOW_POLL_MS = 100;
const ATTEMPTS = 5;

/**
 * Follows the single append-only file of a server before 7.0 and holds it before it is replaced.
 *
 * A rewrite renames a new file over the name, so that each inode is one generation of the log. It is
 * linked as soon as it is seen; the next rename then takes nothing away. Generations are numbered in
 * the order in which they are seen; pins and the reader's cursor carry the number to the next process.
 */
export class SingleScout {
  readonly #options: PinScoutOptions;
  readonly #report: (report: PinReport) => void;
  #timer: NodeJS.Timeout | null = null;
  #closed = false;
  #rewriting = false;
  #current: SeenFile | null = null;
  #told = '';

  constructor(options: PinScoutOptions, report: (report: PinReport) => void) {
    this.#options = options;
    this.#report = report;
  }

  /** Reports the present state before it returns, then each change. */
  start(): void {
    this.#tick();
  }

  /** Looks at once; everything found is reported before it returns. */
  look(): void {
    try {
      this.#look();
    } catch (error) {
      const reason = errorCode(error) || (error instanceof Error ? error.message : String(error));
      const message = `the append-only file cannot be read (${reason})`;
      const context = { dir: this.#options.dir };
      this.#tell(message, { kind: 'failed', code: 'TM_AOF_DIR', message, context });
    }
  }

  /** Says that the server runs a rewrite: poll faster. */
  noteRewrite(running: boolean): void {
    if (running && !this.#rewriting) this.#schedule(FAST_POLL_MS);
    this.#rewriting = running;
  }

  close(): void {
    this.#closed = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
  }

  #tick(): void {
    this.look();
    this.#schedule(this.#rewriting ? FAST_POLL_MS : SLOW_POLL_MS);
  }

  #schedule(delayMs: number): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    if (!this.#closed) this.#timer = setTimeout(() => this.#tick(), delayMs);
  }

  #look(): void {
    const { dir, manifestName } = this.#options;
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const found = findFile(join(dir, manifestName), 0);
      if (found === null) {
        this.#tell('absent', { kind: 'absent' });
        return;
      }
      const current = this.#isCurrent(found) ? this.#current : this.#hold(found);
      if (current === null) continue; // replaced between look and link
      this.#current = current;
      const version = { base: null, incr: [current], history: [] };
      this.#tell(`${current.dev}.${current.ino}`, { kind: 'version', version });
      return;
    }
  }

  #isCurrent({ identity }: FoundFile): boolean {
    return this.#current?.ino === identity.ino && this.#current.dev === identity.dev;
  }

  #hold(found: FoundFile): SeenFile | null {
    const { dev, ino } = found.identity;
    const identity = { seq: this.#numberOf(dev, ino), dev, ino };
    const { manifestName } = this.#options;
    const held = holdFile(this.#options, manifestName, 'i', { ...found, identity }, null);
    return held === null ? null : { ...held, head: headOf(held) };
  }

  /** The number the file had in an earlier process, or one above all that are known. */
  #numberOf(dev: string, ino: string): number {
    const { resume, pinDir } = this.#options;
    const known = listPins(pinDir).map(({ pin }) => pin);
    if (resume !== null) known.push({ type: 'i', previous: null, ...resume });
    if (this.#current !== null) known.push(this.#current);
    const same = known.find((file) => file.dev === dev && file.ino === ino);
    return same?.seq ?? 1 + Math.max(0, ...known.map(({ seq }) => seq));
  }

  #tell(what: string, report: PinReport): void {
    if (what === this.#told) return;
    this.#told = what;
    this.#report(report);
  }
}
