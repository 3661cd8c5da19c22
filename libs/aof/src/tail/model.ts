import type { Clock } from '@tidemark/core';

/** How well the files are held against a rewrite: hard link, open descriptor, or by the server. */
export type PinClass = 'pinned' | 'held' | 'hold';

/** Why continuity could not be proven. */
export type BreakReason = 'aof-off' | 'rewrite-unobserved' | 'divergent-tail' | 'pin-dropped';

/** How a server keeps its log: manifest and files in a folder (7.0 and newer), or one file. */
export type AofLayout = 'multi-part' | 'single-file';

/** What a file is, beyond its name: names and seqs are used again by the server. */
export interface FileIdentity {
  readonly seq: number;
  /** Device number, decimal. */
  readonly dev: string;
  /** Inode number, decimal. */
  readonly ino: string;
}

/** An increment of the command log. */
export interface IncrFile extends FileIdentity {
  readonly name: string;
}

/** A base (the dataset as a file) and the increment at whose first byte it stands. */
export interface BaseFile {
  readonly name: string;
  readonly seq: number;
  /**
   * `rdb` (default): an RDB of `size` bytes at the start of the file at `path`, which may go on with
   * commands. `empty`: the dataset before the first command is empty, there is nothing to read.
   * `commands`: the base of a rewrite is a list of commands, which is no snapshot.
   */
  readonly form?: 'rdb' | 'empty' | 'commands';
  /** Where its bytes can be read until `releaseBase`; empty where there are none. */
  readonly path: string;
  /** Bytes of the RDB. */
  readonly size: number;
  /** `seq` of the increment that begins exactly where this base ends. */
  readonly alignedSeq: number;
}

/** A place in the files from which a later process can go on. All fields are plain JSON. */
export interface TailCursor extends FileIdentity {
  /** Name of the increment, or of the single file. */
  readonly file: string;
  /** Bytes of it that were taken. */
  readonly position: number;
  /** SHA-256, hex, of the `digestBytes` bytes before `position`. */
  readonly digest: string;
  /** At most 4096, and never more than `position`. */
  readonly digestBytes: number;
}

/** How an increment that is opened hangs together with what was delivered before it. */
export type Continuity = 'first' | 'resumed' | 'proven' | 'broken';

/** What `AofTail.next` gives. */
export type TailItem =
  | {
      readonly kind: 'opened';
      readonly file: IncrFile;
      readonly continuity: Continuity;
      /** Only with continuity `broken`. */
      readonly reason?: BreakReason;
      /** The base that stands at the start of this increment, if it exists already. */
      readonly base: BaseFile | null;
      /** Physical position of the first byte that follows. */
      readonly position: number;
      /**
       * Physical position of the first command of the file: 0, or where an RDB at its head ends. With
       * continuity `proven`, what lies between it and `position` was delivered already.
       */
      readonly start: number;
    }
  | { readonly kind: 'bytes'; readonly data: Buffer; readonly position: number }
  | { readonly kind: 'base'; readonly base: BaseFile }
  | { readonly kind: 'ended'; readonly position: number }
  | { readonly kind: 'idle' }
  | {
      readonly kind: 'broken';
      readonly reason: BreakReason;
      readonly detail: string;
      /** Whether the file itself is there but lost its end: `resumeAt` may go on before that. */
      readonly cut: boolean;
    };

/** Settings of a tail. */
export interface AofTailOptions {
  /** The folder of the multi-part AOF (`dir`/`appenddirname`). */
  readonly dir: string;
  /** Default `appendonly.aof.manifest`; of a single file its own name. */
  readonly manifestName?: string;
  /** What {@link probeAofDir} found. Default `multi-part`. */
  readonly layout?: AofLayout;
  /**
   * Reads the RDB that a file begins with and tells how many bytes it has. Needed for logs with an
   * RDB head: the single file of 6.x, and its file after an upgrade.
   */
  readonly rdbBytes?: (path: string, signal: AbortSignal) => Promise<number>;
  /** Where an earlier process stopped, or `null` to start at the base. */
  readonly resume: TailCursor | null;
  /**
   * Bytes before `resume` that are delivered once more: of a command that was not finished there.
   * Default 0.
   */
  readonly resumeBack?: number;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** Upper bound of one chunk in bytes. Default 1 MiB. */
  readonly readBytesMax?: number;
  /** Bytes that pins alone may keep on the disk of the node. */
  readonly pinBytesMax: number;
  /** How long a pin alone may keep a file, in milliseconds. */
  readonly pinAgeMaxMs: number;
  /**
   * Keeps the pins of two captures of one folder apart: `[a-z0-9][a-z0-9-]{0,62}`. Default none:
   * one capture per folder.
   */
  readonly pinOwner?: string;
  /** The server keeps its history files (`aof-disable-auto-gc`), with consent. Default false. */
  readonly hold?: boolean;
}

/** The fields of `INFO persistence` that place a sample. Bytes. */
export interface TailSample {
  readonly aofCurrentSize: number;
  readonly aofBaseSize: number;
  readonly aofBufferLength: number;
  readonly rewriteInProgress: boolean;
  /** `aof_rewrite_scheduled`. */
  readonly rewriteScheduled?: boolean;
  /** `aof_rewrites`: how many rewrites were begun; -1 where the server does not tell. */
  readonly rewrites: number;
  /** `run_id`; without it a restart between two samples is seen only by its effects. */
  readonly runId?: string;
}

/** Where the log stood when a sample was taken: everything before it ran before the sample. */
export interface TailPosition {
  readonly file: IncrFile;
  readonly seq: number;
  /** Physical bytes, annotations counted. Several positions may name one offset. */
  readonly position: number;
}

/** Bytes of the block before a cursor that prove that a file is still the same. */
export const DIGEST_BYTES_MAX = 4096;

/**
 * How the detail of a break ends when the file was delivered to its end, and the next file of the
 * manifest was never listed together with it: a rewrite that nobody saw.
 */
export const UNSEEN_SUCCESSOR = 'came unseen';
