import type { AofLayout, FileIdentity } from './model.ts';

/** A file that a manifest named, as it was found on the disk and held. */
export interface SeenFile extends FileIdentity {
  readonly type: 'b' | 'i';
  readonly name: string;
  /** Bytes when it was looked at; final for a base and for an increment that is not the last. */
  readonly size: number;
  /** Hard link in the pin folder, or the file itself where no link could be made. */
  readonly path: string;
  /** Whether `path` is a hard link of ours. */
  readonly pinned: boolean;
  /** Open descriptor that holds the file where no link could be made. */
  readonly fd: number | null;
  /** The increment that one manifest listed right before this one as `i`. */
  readonly previous: FileIdentity | null;
  /** What stands before its commands, where it is no plain increment. */
  readonly head?: LogHead;
}

/**
 * What a log that follows no base begins with: an RDB at its first byte (written with
 * `aof-use-rdb-preamble`), or nothing: its commands then make the dataset from an empty one.
 */
export type LogHead = 'rdb' | 'none';

/** One manifest that was read. Files that could not be found are `null`. */
export interface SeenVersion {
  /** An RDB. A base that holds commands is no base here but the first of `incr`, with a `head`. */
  readonly base: SeenFile | null;
  readonly incr: readonly (SeenFile | null)[];
  /** Files marked `h`: only looked at, not held. */
  readonly history: readonly SeenFile[];
  /** No increment is listed: `incr` holds at most a base, and the log is not written. */
  readonly closed?: boolean;
}

/** What the pin worker reports, in the order in which it saw it. */
export type PinReport =
  | { readonly kind: 'version'; readonly version: SeenVersion }
  /** There is no manifest now. */
  | { readonly kind: 'absent' }
  /** The manifest or a file of it cannot be used; a later report may be good again. */
  | {
      readonly kind: 'failed';
      readonly code: 'TM_AOF_MANIFEST' | 'TM_AOF_DIR';
      readonly message: string;
      readonly context: Readonly<Record<string, number | string>>;
    }
  /** Answer to `look`: everything seen before has been reported. */
  | { readonly kind: 'looked'; readonly ticket: number };

/** What the main side tells the pin worker. */
export type PinOrder =
  | { readonly kind: 'look'; readonly ticket: number }
  | { readonly kind: 'rewrite'; readonly running: boolean }
  | { readonly kind: 'close' };

/** What the pin worker is started with. */
export interface PinScoutOptions {
  readonly dir: string;
  /** Of the manifest, or of the log itself where it is a single file. */
  readonly manifestName: string;
  readonly pinRoot: string;
  readonly pinDir: string;
  readonly layout: AofLayout;
  /** The file that the reader goes on in: a single file keeps its number. */
  readonly resume: FileIdentity | null;
}
