import type { CommandBatch, RawPositions } from '../../decoder/command-batch.ts';
import type { HeldCommand } from './held-command.ts';

/** A whole command with the raw positions of its parts, all in one space of positions. */
export interface RawCommand {
  /** Row of the first argument in `contentEnd`. */
  readonly at: number;
  readonly argc: number;
  /** Position of the `*`. */
  readonly start: number;
  /** Position after the line with the count. */
  readonly headerEnd: number;
  /** End of the content of each argument, exclusive, from row `at` on. */
  readonly contentEnd: Float64Array | Int32Array;
  /** Raw bytes of a range. */
  slice(from: number, to: number): Buffer;
}

const CRLF_BYTES = 2;
const STAR = 0x2a;
const DOLLAR = 0x24;

/** A command that lies in a chunk: raw positions are positions in the chunk. */
export function commandInChunk(batch: CommandBatch, row: number): RawCommand {
  const { data } = batch;
  const at = batch.argAt[row] as number;
  const headerEnd = data.lastIndexOf(DOLLAR, (batch.argStart[at] as number) - CRLF_BYTES);
  return {
    at,
    argc: batch.argc[row] as number,
    start: data.lastIndexOf(STAR, headerEnd),
    headerEnd,
    contentEnd: batch.argEnd,
    slice: (from, to) => data.subarray(from, to),
  };
}

/** A command whose raw bytes are held: raw positions count from its first byte. */
export function heldCommand(positions: RawPositions, argc: number, held: HeldCommand): RawCommand {
  return {
    at: 0,
    argc,
    start: 0,
    headerEnd: positions.headerBytes,
    contentEnd: positions.rawEnd,
    slice: (from, to) => held.slice(from, to),
  };
}

/** An argument as RESP. */
export function encodeArgument(content: string | Buffer): Buffer {
  const bytes = typeof content === 'string' ? Buffer.from(content, 'latin1') : content;
  return Buffer.concat([
    Buffer.from(`$${bytes.length}\r\n`, 'latin1'),
    bytes,
    Buffer.from('\r\n', 'latin1'),
  ]);
}

/** A command as RESP. */
export function encodeCommand(...args: readonly (string | Buffer)[]): Buffer {
  return Buffer.concat([encodeCount(args.length), ...args.map(encodeArgument)]);
}

/** The first line of a command of `argc` arguments. */
export function encodeCount(argc: number): Buffer {
  return Buffer.from(`*${argc}\r\n`, 'latin1');
}

/** Raw position of argument `index`, its length line included. */
export function rawFrom(command: RawCommand, index: number): number {
  return index === 0 ? command.headerEnd : rawTo(command, index - 1);
}

/** Raw position after argument `index` and its CR LF. */
export function rawTo(command: RawCommand, index: number): number {
  return (command.contentEnd[command.at + index] as number) + CRLF_BYTES;
}
