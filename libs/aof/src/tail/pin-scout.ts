import {
  closeSync,
  constants,
  fstatSync,
  openSync,
  readSync,
  watch,
  type BigIntStats,
  type FSWatcher,
} from 'node:fs';
import { join } from 'node:path';
import { FormatError } from '@tidemark/core';
import {
  MANIFEST_BYTES_MAX,
  parseManifest,
  type AofManifest,
  type ManifestFile,
} from '../manifest/parse-manifest.ts';
import {
  errorCode,
  findFile,
  isMissing,
  listPins,
  statOrNull,
  type FoundFile,
  type FoundPin,
} from './pin-files.ts';
import { headOf, holdFile } from './hold-file.ts';
import { fileKey } from './pin-names.ts';
import type { PinReport, PinScoutOptions, SeenFile, SeenVersion } from './seen.ts';
import type { FileIdentity } from './model.ts';

/** Poll while a rewrite runs, or where no watch can be had, in milliseconds. */
const FAST_POLL_MS = 20;
const SLOW_POLL_MS = 200;
/** How often every file of the manifest is looked at although the manifest did not change. */
const FULL_LOOK_MS = 1_000;
/** Manifest versions taken in one go before other work of the thread gets its turn. */
const ROUNDS_MAX = 64;

const stampOf = (stat: BigIntStats): string =>
  `${stat.dev}.${stat.ino}.${stat.size}.${stat.ctimeNs}`;

/** What makes two versions differ for a reader: which files, in which order, held how. */
function shapeOf(version: SeenVersion): string {
  const one = (file: SeenFile | null): string =>
    file === null ? '-' : `${fileKey(file.type, file)}.${file.pinned ? 'p' : 'h'}.${file.name}`;
  const { base, incr, history } = version;
  return [one(base), ...incr.map(one), 'history', ...history.map(one)].join('\n');
}

/**
 * A base that is no RDB from its first byte to its last: commands (`aof-use-rdb-preamble no`), or the
 * single file that an upgrade from 6.x took over. Its commands come right before the increments; it
 * gets the number before theirs, for its own may be that of one of them.
 */
function baseThatIsALog({ base, incr }: AofManifest): ManifestFile | null {
  if (base === null || base.name.endsWith('.rdb')) return null;
  return { ...base, seq: (incr[0]?.seq ?? 1) - 1 };
}

interface ManifestRead {
  readonly bytes: Buffer;
  readonly stamp: string;
}

/** Pins of earlier processes; a folder that cannot be read holds none for us. */
function pinsIn(pinDir: string): readonly FoundPin[] {
  try {
    return listPins(pinDir);
  } catch {
    return [];
  }
}

function readManifestFile(path: string): ManifestRead | null {
  let fd: number;
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  } catch (error) {
    if (isMissing(error)) return null;
    throw error;
  }
  try {
    const stat = fstatSync(fd, { bigint: true });
    if (!stat.isFile()) throw new Error('the manifest is not a regular file');
    const size = Math.min(Number(stat.size), MANIFEST_BYTES_MAX + 1);
    const bytes = Buffer.alloc(size);
    let length = 0;
    while (length < size) {
      const count = readSync(fd, bytes, length, size - length, length);
      if (count === 0) break;
      length += count;
    }
    return { bytes: bytes.subarray(0, length), stamp: stampOf(stat) };
  } finally {
    closeSync(fd);
  }
}

/**
 * Follows the manifest of one AOF folder and holds its files before the server can remove them.
 *
 * The server replaces the manifest by rename, so the watch sits on the manifest's own inode: it
 * fires when the name is taken over and stays silent while the log grows. It is set before each
 * read, hence no change after a read goes unseen; a poll covers file systems without inotify.
 * After the files are linked the manifest is read again, until it stays the same. Every version
 * that was read is reported in order. Runs in a thread that does nothing else: the version that
 * lists old and new increment together lives only as long as the rewrite.
 *
 * Synchronous calls are meant here: each is a few microseconds, and order is everything.
 */
export class PinScout {
  readonly #options: PinScoutOptions;
  readonly #report: (report: PinReport) => void;
  readonly #manifestPath: string;
  #watcher: FSWatcher | null = null;
  #timer: NodeJS.Timeout | null = null;
  #closed = false;
  #stale = true;
  #stamp = '';
  #shape = '';
  #fullLookAt = 0;
  #rewriting = false;
  #rewriteTold = false;
  /** Files of the manifest in force, by key: held once, not again after their release. */
  #held = new Map<string, SeenFile>();
  /** The increment before each one, as earlier processes proved it (from pin names). */
  #previous = new Map<string, FileIdentity | null>();

  constructor(options: PinScoutOptions, report: (report: PinReport) => void) {
    this.#options = options;
    this.#report = report;
    this.#manifestPath = join(options.dir, options.manifestName);
  }

  /** Reports the present state before it returns, then each change. */
  start(): void {
    for (const { pin } of pinsIn(this.#options.pinDir)) {
      this.#previous.set(fileKey(pin.type, pin), pin.previous);
    }
    this.#tick();
  }

  /** Looks at once; everything found is reported before it returns. */
  look(): void {
    this.#stale = true;
    this.#lookIfChanged();
  }

  /** Says that the server runs a rewrite: poll faster. */
  noteRewrite(running: boolean): void {
    if (running && !this.#rewriteTold) this.#schedule(FAST_POLL_MS);
    this.#rewriteTold = running;
  }

  close(): void {
    this.#closed = true;
    this.#watcher?.close();
    if (this.#timer !== null) clearTimeout(this.#timer);
  }

  #tick(): void {
    this.#lookIfChanged();
    const fast = this.#rewriting || this.#rewriteTold || this.#watcher === null;
    this.#schedule(fast ? FAST_POLL_MS : SLOW_POLL_MS);
  }

  #schedule(delayMs: number): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    if (!this.#closed) this.#timer = setTimeout(() => this.#tick(), delayMs);
  }

  #watch(): void {
    this.#watcher?.close();
    this.#watcher = null;
    try {
      const watcher = watch(this.#manifestPath, () => {
        if (this.#watcher !== watcher || this.#closed) return;
        this.#watcher = null; // the name may have left this inode: watch anew before reading
        watcher.close();
        this.#stale = true;
        this.#tick();
      });
      watcher.on('error', () => {
        if (this.#watcher === watcher) this.#watcher = null;
        watcher.close();
      });
      this.#watcher = watcher;
    } catch {
      this.#watcher = null; // no manifest yet, or no inotify: the poll is fast then
    }
  }

  #lookIfChanged(): void {
    try {
      if (!this.#stale && performance.now() - this.#fullLookAt < FULL_LOOK_MS) {
        const stat = statOrNull(this.#manifestPath);
        if ((stat === null ? '' : stampOf(stat)) === this.#stamp) return;
      }
      this.#stale = false;
      this.#fullLookAt = performance.now();
      for (let round = 0; round < ROUNDS_MAX; round++) if (!this.#lookOnce()) return;
      this.#stale = true;
    } catch (error) {
      this.#fail(error);
    }
  }

  /** Reads once; returns whether it found something new, so that it must read again. */
  #lookOnce(): boolean {
    const before = statOrNull(this.#manifestPath);
    if (this.#watcher === null || before === null || stampOf(before) !== this.#stamp) this.#watch();
    const read = readManifestFile(this.#manifestPath);
    this.#stamp = read?.stamp ?? '';
    if (read === null) return this.#changed('absent', { kind: 'absent' });
    const version = this.#hold(parseManifest(read.bytes));
    this.#rewriting = version.incr.length > 1;
    return this.#changed(shapeOf(version), { kind: 'version', version });
  }

  #changed(shape: string, report: PinReport): boolean {
    if (shape === this.#shape) return false;
    this.#shape = shape;
    this.#report(report);
    return true;
  }

  #fail(error: unknown): void {
    const format = error instanceof FormatError;
    const message = error instanceof Error ? error.message : String(error);
    this.#changed(`failed ${message}`, {
      kind: 'failed',
      code: format ? 'TM_AOF_MANIFEST' : 'TM_AOF_DIR',
      message: format ? message : `the AOF folder cannot be read (${errorCode(error) || message})`,
      context: format
        ? { line: Number(error.context.line), offset: Number(error.context.offset) }
        : { dir: this.#options.dir },
    });
  }

  #hold(manifest: AofManifest): SeenVersion {
    const held = new Map<string, SeenFile>();
    const keep = (file: SeenFile | null): SeenFile | null => {
      if (file !== null) held.set(fileKey(file.type, file), file);
      return file;
    };
    const incr: (SeenFile | null)[] = [];
    let previous: SeenFile | null = null;
    const log = baseThatIsALog(manifest);
    if (log !== null) {
      const held = this.#holdFile(log, 'i', null);
      previous = keep(held === null || held.head ? held : { ...held, head: headOf(held) });
      incr.push(previous);
    }
    for (const file of manifest.incr) {
      previous = keep(this.#holdFile(file, 'i', previous));
      incr.push(previous);
    }
    const rdb = log === null ? manifest.base : null;
    const base = rdb === null ? null : keep(this.#holdFile(rdb, 'b', null));
    const history: SeenFile[] = [];
    for (const file of manifest.history) {
      const seen = this.#lookAtHistory(file);
      if (seen !== null) history.push(seen);
    }
    this.#held = held;
    return { base, incr, history, closed: manifest.incr.length === 0 };
  }

  #holdFile(file: ManifestFile, type: 'b' | 'i', previous: SeenFile | null): SeenFile | null {
    const path = join(this.#options.dir, file.name);
    for (let attempt = 0; attempt < 3; attempt++) {
      const found = findFile(path, file.seq);
      if (found === null) break;
      const key = fileKey(type, found.identity);
      const known = this.#held.get(key);
      if (known !== undefined) return { ...known, name: file.name, size: found.size };
      const seen = this.#secure(file, type, found, previous);
      if (seen !== null) return seen;
    }
    // Gone between manifest and look: it is the file that the version before named, if it did.
    for (const known of this.#held.values()) {
      if (known.type === type && known.name === file.name && known.seq === file.seq) return known;
    }
    return null;
  }

  #secure(
    file: ManifestFile,
    type: 'b' | 'i',
    found: FoundFile,
    before: SeenFile | null,
  ): SeenFile | null {
    const known = this.#previous.get(fileKey(type, found.identity)) ?? null;
    const previous =
      before === null ? known : { seq: before.seq, dev: before.dev, ino: before.ino };
    return holdFile(this.#options, file.name, type, found, previous);
  }

  #lookAtHistory(file: ManifestFile): SeenFile | null {
    const path = join(this.#options.dir, file.name);
    const found = findFile(path, file.seq);
    if (found === null) return null;
    const { identity, size } = found;
    const seen = { ...identity, name: file.name, size, path, pinned: false, fd: null };
    return { ...seen, type: 'i', previous: null };
  }
}
