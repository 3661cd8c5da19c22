/** The maxima of a command log. */
export interface DecoderLimits {
  /** Largest argument in bytes, inclusive. Default 512 MiB (redis `proto-max-bulk-len`). */
  readonly bulkBytesMax: number;
  /** Most arguments of one command, the name included. Default 1,048,576. */
  readonly argumentsMax: number;
}

export const DEFAULT_LIMITS: DecoderLimits = {
  bulkBytesMax: 512 * 1024 * 1024,
  argumentsMax: 1024 * 1024,
};

/** Most digits of a count or length, leading zeros included. */
export const DIGITS_MAX = 20;

/** A command that spans chunks is kept whole up to this many bytes of arguments. */
export const SPANNING_WHOLE_BYTES_MAX = 1024 * 1024;
/** Above that only arguments up to this size are kept. */
export const KEPT_ARGUMENT_BYTES_MAX = 64 * 1024;
/** ... and of those no more than this in all, so that a command of many GB needs no more. */
export const KEPT_BYTES_MAX = 16 * 1024 * 1024;

/** Largest chunk: positions in it are 32-bit. */
export const CHUNK_BYTES_MAX = 1024 * 1024 * 1024;
