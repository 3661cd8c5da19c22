import { COMMANDS, CommandDecoder, type CommandDecoderOptions } from '@tidemark/aof';

/** One command as RESP. */
export function command(...args: readonly (string | number | Buffer)[]): Buffer {
  const parts: Buffer[] = [Buffer.from(`*${args.length}\r\n`)];
  for (const arg of args) {
    const bytes = Buffer.isBuffer(arg) ? arg : Buffer.from(String(arg), 'latin1');
    parts.push(Buffer.from(`$${bytes.length}\r\n`), bytes, Buffer.from('\r\n'));
  }
  return Buffer.concat(parts);
}

/** Commands as a log, from lines such as `SET key value`. */
export function log(...lines: readonly string[]): Buffer {
  return Buffer.concat(
    lines.map((line) =>
      line.startsWith('#') ? Buffer.from(`${line}\r\n`) : command(...line.split(' ')),
    ),
  );
}

/** Cuts bytes into chunks of the given sizes, in turn; the last size is used for the rest. */
export function split(bytes: Buffer, ...sizes: readonly number[]): Buffer[] {
  const chunks: Buffer[] = [];
  let turn = 0;
  for (let at = 0; at < bytes.length; turn += 1) {
    const size = Math.max(1, sizes[Math.min(turn, sizes.length - 1)] ?? bytes.length);
    chunks.push(bytes.subarray(at, at + size));
    at += size;
  }
  return chunks;
}

/** A command as it came out of a batch. */
export interface DecodedCommand {
  readonly name: string;
  /** latin1 text of each argument; null = elided. */
  readonly args: readonly (string | null)[];
  readonly start: bigint;
  readonly end: bigint;
  readonly db: number;
  readonly inMulti: boolean;
}

/** Everything that a decoder said of some chunks. */
export interface Decoded {
  readonly commands: readonly DecodedCommand[];
  readonly raw: Buffer;
  readonly marks: readonly { readonly offset: bigint; readonly second: number }[];
  readonly decoder: CommandDecoder;
}

/** Feeds chunks and copies what comes out. */
export function decodeChunks(
  chunks: readonly Buffer[],
  options: CommandDecoderOptions = {},
): Decoded {
  const decoder = new CommandDecoder(options);
  const commands: DecodedCommand[] = [];
  const raw: Buffer[] = [];
  const marks: { offset: bigint; second: number }[] = [];
  for (const chunk of chunks) {
    for (const batch of decoder.push(chunk)) {
      for (let row = 0; row < batch.count; row += 1) {
        const at = batch.argAt[row]!;
        const args = Array.from({ length: batch.argc[row]! }, (_, index) => {
          const start = batch.argStart[at + index]!;
          return start < 0 ? null : batch.data.toString('latin1', start, batch.argEnd[at + index]);
        });
        commands.push({
          name: COMMANDS[batch.spec[row]!]!.name,
          args,
          start: batch.base + BigInt(batch.start[row]!),
          end: batch.base + BigInt(batch.end[row]!),
          db: batch.db[row]!,
          inMulti: batch.inMulti[row] === 1,
        });
      }
      raw.push(...batch.pieces.map((piece) => Buffer.from(piece)));
      marks.push(...batch.marks);
    }
  }
  return { commands, raw: Buffer.concat(raw), marks, decoder };
}

/** The arguments of every command of a log, as lines. */
export function linesOf(bytes: Buffer): string[] {
  const { commands, decoder } = decodeChunks([bytes]);
  decoder.end();
  return commands.map(({ args }) => args.join(' '));
}
