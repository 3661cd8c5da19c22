import { readSegmentFooter, segmentCommands } from '@tidemark/archive';
import { bytesOf } from '@tidemark/core';
import type { CopyPlace } from '../../services/archiver/src/levels/copy-folder.ts';
import type { Copies } from '../../services/archiver/src/levels/segment-levels.ts';

/**
 * Copies in memory, for histories of a hundred thousand segments: what they are on a disk, copy-folder
 * tests show.
 */
export class MemoryCopies implements Copies {
  readonly #plain = new Map<string, Buffer>();

  has(place: CopyPlace): boolean {
    return this.#plain.has(nameOf(place));
  }

  keep(place: CopyPlace, payload: readonly Uint8Array[]): Promise<void> {
    this.#plain.set(nameOf(place), Buffer.concat(payload));
    return Promise.resolve();
  }

  async open(place: CopyPlace): ReturnType<Copies['open']> {
    const plain = this.#plain.get(nameOf(place));
    if (plain === undefined) throw new Error(`there is no copy of ${nameOf(place)}`);
    const read = (start: number, end: number): Promise<Buffer> =>
      Promise.resolve(plain.subarray(start, end));
    const footer = await readSegmentFooter(read, plain.length);
    return {
      marks: await footer.marks(),
      commands: segmentCommands(bytesOf(plain), footer.header),
      [Symbol.asyncDispose]: () => Promise.resolve(),
    };
  }

  remove(place: CopyPlace): Promise<void> {
    this.#plain.delete(nameOf(place));
    return Promise.resolve();
  }

  sweep(): Promise<void> {
    return Promise.resolve();
  }
}

function nameOf({ timeline, start, end }: CopyPlace): string {
  return `${timeline}/${start}-${end}`;
}
