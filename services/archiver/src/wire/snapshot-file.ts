import { stat } from 'node:fs/promises';
import { IntegrityError, TidemarkError } from '@tidemark/core';
import type { DataKey } from '@tidemark/crypto';
import { FrameLine } from './frame-line.ts';
import { FrameReader, nullIfDamaged } from './frame-reader.ts';
import { SealedFile, type NewWireFile, type WireFolder } from './sealed-file.ts';
import { WIRE_FRAME, type WireHeader } from './wire-header.ts';

/** Plain bytes of the frame that ends a snapshot: how many came before it. */
const END_BYTES = 8;

/** Writes a snapshot, which is whole only with its last frame. */
export class SnapshotWriter {
  readonly #file: SealedFile;
  readonly #line: FrameLine;

  private constructor(file: SealedFile) {
    this.#file = file;
    this.#line = new FrameLine((data) => file.write(WIRE_FRAME.bytes, data));
  }

  /** @throws TidemarkError `TM_SPOOL`. */
  static async create(folder: WireFolder, facts: NewWireFile): Promise<SnapshotWriter> {
    return new SnapshotWriter(await SealedFile.create(folder, facts));
  }

  get path(): string {
    return this.#file.path;
  }

  /** Sealed bytes on the disk. */
  get size(): number {
    return this.#file.size;
  }

  /** @throws TidemarkError `TM_SPOOL`. */
  append(chunk: Uint8Array): Promise<void> {
    return this.#line.append(chunk);
  }

  /** @throws TidemarkError `TM_SPOOL`. */
  flush(): Promise<void> {
    return this.#line.flush();
  }

  /**
   * Makes it whole.
   * @returns Plain bytes.
   * @throws TidemarkError `TM_SPOOL`.
   */
  async end(): Promise<number> {
    await this.#line.flush();
    const bytes = this.#file.plainBytes;
    const total = Buffer.alloc(END_BYTES);
    total.writeBigUInt64BE(BigInt(bytes));
    await this.#file.write(WIRE_FRAME.end, total);
    await this.#file.close();
    return bytes;
  }

  /** Gives it up. */
  async abandon(): Promise<void> {
    await this.#line.discard();
    await this.#file.close();
  }
}

/**
 * The bytes of a snapshot, each frame proven before it is given out.
 * @throws IntegrityError `TM_SPOOL_DAMAGED` for a file that is not whole, damaged or another one.
 */
export async function* readSnapshot(
  path: string,
  name: string,
  key: DataKey,
): AsyncGenerator<Buffer, void, undefined> {
  try {
    const { size } = await stat(path);
    await using reader = await FrameReader.open(path, key);
    assertName(reader.header, name);
    let bytes = 0;
    for (;;) {
      const frame = await reader.next(size);
      if (frame === null) throw damaged(name, 'it has no end');
      if (frame.kind === WIRE_FRAME.end) {
        if (isEnd(frame.data, bytes) && reader.offset === size) return;
        throw damaged(name, 'its end does not fit');
      }
      bytes += frame.data.length;
      yield frame.data;
    }
  } catch (cause) {
    throw damaged(name, 'it cannot be read', cause);
  }
}

/**
 * Whether a snapshot has its last frame; what lies before is proven when it is read.
 * @returns Its header; null for anything else.
 */
export async function wholeSnapshot(
  path: string,
  name: string,
  key: DataKey,
): Promise<{ readonly header: WireHeader; readonly size: number } | null> {
  try {
    const { size } = await stat(path);
    await using reader = await FrameReader.open(path, key);
    assertName(reader.header, name);
    await reader.seekLast(size, END_BYTES);
    const frame = await reader.next(size);
    return frame?.kind === WIRE_FRAME.end ? { header: reader.header, size } : null;
  } catch (cause) {
    return nullIfDamaged(cause);
  }
}

/** A file of another name would be one that was moved here. */
function assertName(header: WireHeader, name: string): void {
  if (header.name !== name) throw damaged(name, 'it is another file');
}

/** A file of the spool that does not hold what was written. */
export function damaged(name: string, what: string, cause?: unknown): TidemarkError {
  if (cause instanceof TidemarkError && cause.code === 'TM_SPOOL_DAMAGED') return cause;
  return new IntegrityError('TM_SPOOL_DAMAGED', `a file of the wire spool is damaged: ${what}`, {
    context: { file: name },
    hint: 'what was damaged is fetched from the source again, as far as it still has it',
    cause,
  });
}

function isEnd(data: Buffer, bytes: number): boolean {
  return data.length === END_BYTES && data.readBigUInt64BE() === BigInt(bytes);
}
