import type { IncrFile } from '@tidemark/aof';
import { command } from './command-log.ts';

/** A place between two elements of an INCR file. */
export interface Boundary {
  /** In the file. */
  readonly position: number;
  /** In the stream. */
  readonly offset: bigint;
}

/** One element of an INCR file: the arguments of a command, or the text of an annotation line. */
export type Element = readonly (string | Buffer)[] | string;

/** The bytes of an INCR file, with the place of every element in file and stream. */
export interface AofLayout {
  /** What lies in the file. */
  readonly file: Buffer;
  /** The commands alone. */
  readonly stream: Buffer;
  /** Start of the first element and end of each one. */
  readonly boundaries: readonly Boundary[];
  /** Stream offsets at which commands end, 0 among them. */
  readonly commandEnds: ReadonlySet<bigint>;
}

/** Lays elements out as the server writes them. */
export function layOut(elements: readonly Element[]): AofLayout {
  const file: Buffer[] = [];
  const stream: Buffer[] = [];
  const boundaries: Boundary[] = [{ position: 0, offset: 0n }];
  const commandEnds = new Set([0n]);
  let position = 0;
  let offset = 0n;
  for (const element of elements) {
    const isLine = typeof element === 'string';
    const bytes = isLine ? Buffer.from(`${element}\r\n`) : command(...element);
    file.push(bytes);
    position += bytes.length;
    if (!isLine) {
      stream.push(bytes);
      offset += BigInt(bytes.length);
      commandEnds.add(offset);
    }
    boundaries.push({ position, offset });
  }
  return { file: Buffer.concat(file), stream: Buffer.concat(stream), boundaries, commandEnds };
}

/** An INCR file as a tail names it. */
export function incrFile(seq = 1): IncrFile {
  return { name: `appendonly.aof.${seq}.incr.aof`, seq, dev: '66', ino: String(1000 + seq) };
}
