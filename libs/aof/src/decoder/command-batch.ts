/** A `#TS` annotation: commands at or after `offset` ran at or after `second`. */
export interface AnnotationMark {
  /** Stream offset of the command that follows the annotation. */
  readonly offset: bigint;
  /** Unix time in whole seconds, as the server wrote it. */
  readonly second: number;
}

/** Arguments of commands: positions into `data`, one row for each argument. */
export interface ArgumentColumns {
  /** Bytes that the positions point into. */
  readonly data: Buffer;
  /** First byte of an argument, or -1 when the argument was elided. */
  readonly argStart: Int32Array;
  /** End of an argument, exclusive, or -1 when the argument was elided. */
  readonly argEnd: Int32Array;
}

/** Where the arguments of a command lie in its own raw bytes, counted from its first byte. */
export interface RawPositions {
  /** Bytes of the line that holds the argument count. */
  readonly headerBytes: number;
  /** First byte of each argument's content. */
  readonly rawStart: Float64Array;
  /** End of each argument's content, exclusive; a CR LF follows. */
  readonly rawEnd: Float64Array;
}

/**
 * Commands that ended in one `push`, in columns: row `i` of every column belongs to command `i`,
 * rows from `count` on are undefined.
 *
 * A batch is valid until the next `push` of its decoder: columns and scratch are used again.
 * Nothing is copied but the arguments of a command that spans two chunks.
 */
export interface CommandBatch extends ArgumentColumns {
  /** Commands that ended in this push. */
  readonly count: number;
  /** Stream offset that `start` and `end` count from. */
  readonly base: bigint;
  /** First byte of each command, relative to `base`. */
  readonly start: Float64Array;
  /** End of each command, exclusive, relative to `base`. */
  readonly end: Float64Array;
  /** Index into `COMMANDS`; 0 = unknown. Not durable: do not store it. */
  readonly spec: Uint16Array;
  /** Database the command runs in; SELECT itself carries the new one. */
  readonly db: Int32Array;
  /** 1 from MULTI to EXEC, both included. */
  readonly inMulti: Uint8Array;
  /** Number of arguments, the name included. */
  readonly argc: Uint32Array;
  /** Index of the first argument in `argStart` and `argEnd`. */
  readonly argAt: Uint32Array;
  /**
   * Raw command bytes of the push in order, annotations left out, those of a still unfinished
   * command included. Only on the last batch of a push; empty on the others.
   */
  readonly pieces: readonly Buffer[];
  /** Annotations met in the push. Only on the last batch of a push. */
  readonly marks: readonly AnnotationMark[];
  /** Raw positions of the one command of a spanning batch; null when `data` is the chunk itself. */
  readonly spanning: RawPositions | null;
}

/** A command of which a part has been taken. */
export interface UnfinishedCommand extends ArgumentColumns, RawPositions {
  /** Index into `COMMANDS`; 0 = unknown, or the name is not complete. */
  readonly spec: number;
  /** Arguments that the command claims to have; 0 while its first line is not complete. */
  readonly argc: number;
  /** Arguments that are complete; the rows of the columns that hold something. */
  readonly complete: number;
  /** Whether the length of the argument after those is known: its raw positions are filled in. */
  readonly inContent: boolean;
}
