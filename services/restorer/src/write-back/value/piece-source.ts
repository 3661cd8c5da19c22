import type { Argument } from '@tidemark/client';
import type { Side } from '../compare/side.ts';

/** What one piece of a value is to take at most; a single element may be larger. */
export const PIECE_BYTES = 1024 * 1024;
const PAGE_MAX = 1_000;
/** Elements of the first page: how large they are is not known yet. */
const PAGE_FIRST = 16;

/** A key whose value is read in pieces. */
export class PieceSource {
  readonly side: Side;
  readonly db: number;
  readonly key: Buffer;
  /** Elements to ask for next, by the size of those that came. */
  page: number = PAGE_FIRST;

  constructor(side: Side, db: number, key: Buffer) {
    this.side = side;
    this.db = db;
    this.key = key;
  }

  /** One command about the key; further words follow its name. */
  async ask(command: string, ...args: readonly Argument[]): Promise<unknown> {
    return this.side.ask(this.db, [...command.split(' '), this.key, ...args], PIECE_BYTES);
  }

  async count(command: string): Promise<number> {
    return Number(await this.ask(command));
  }

  /** Learns from a page how many elements make a piece. */
  learn(bytes: number, elements: number): void {
    if (elements === 0) return;
    const fitting = Math.floor((PIECE_BYTES * elements) / Math.max(1, bytes));
    // Not too fast: the next ones may be larger.
    this.page = Math.max(1, Math.min(PAGE_MAX, fitting, this.page * 4));
  }

  /** Pages of SSCAN, HSCAN, ZSCAN: flat lists of buffers. */
  async *scan(command: string): AsyncGenerator<readonly Buffer[]> {
    let cursor = '0';
    do {
      const [next, flat] = (await this.ask(command, cursor, 'COUNT', this.page)) as [
        Buffer,
        readonly Buffer[],
      ];
      cursor = next.toString();
      this.learn(bytesOf(flat), flat.length);
      if (flat.length > 0) yield flat;
    } while (cursor !== '0');
  }
}

/** Cuts a flat list where its bytes or elements make a piece; `width` elements stay together. */
export function* cutPieces(flat: readonly Buffer[], width: number): Generator<Buffer[]> {
  let piece: Buffer[] = [];
  let bytes = 0;
  for (let at = 0; at < flat.length; at += width) {
    const group = flat.slice(at, at + width);
    const more = bytesOf(group);
    if (piece.length > 0 && (bytes + more > PIECE_BYTES || piece.length >= PAGE_MAX * width)) {
      yield piece;
      piece = [];
      bytes = 0;
    }
    piece.push(...group);
    bytes += more;
  }
  if (piece.length > 0) yield piece;
}

export function bytesOf(parts: readonly Buffer[]): number {
  return parts.reduce((sum, part) => sum + part.length, 0);
}
