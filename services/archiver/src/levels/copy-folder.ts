import { mkdir, open, readdir, rm, stat, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { objectIdentity, type SegmentHeader } from '@tidemark/archive';
import { bytesOf, type Random } from '@tidemark/core';
import {
  COMPRESSION,
  OBJECT_KIND,
  Sealer,
  sealStream,
  type DataKey,
  type Identity,
} from '@tidemark/crypto';
import type { MergeInput } from './merge-segments.ts';
import { openCopy } from './open-copy.ts';

/** Sealed bytes of all copies: those of an hour of what is merged take at most three times 64 MiB. */
const BYTES_MAX = 256 * 1024 * 1024;
/** Room left on the disk below which no copy is kept: the spool needs it more. */
const FREE_BYTES_MIN = 256 * 1024 * 1024;
const CHUNK_LOG2 = 16;
const NAME = /^(\d{20})-(\d{20})-([a-z0-9_-]{1,64})\.copy$/;

/** What names a copy. */
export type CopyPlace = Pick<SegmentHeader, 'timeline' | 'start' | 'end'>;

/** Where copies lie, and how they are sealed. */
export interface CopyFolderOptions {
  readonly dir: string;
  /** The local spool key: copies of an earlier run can be opened, and no other key is needed. */
  readonly key: DataKey;
  readonly instance: string;
  readonly writer: string;
  readonly random: Random;
  /** Default 256 MiB. */
  readonly bytesMax?: number;
}

/**
 * Sealed copies of the segments that are not merged yet, on the archiver's own disk: what lies in the
 * store it has no right to open.
 *
 * They may be lost or torn at any time: what cannot be opened stays unmerged. So nothing is synced,
 * and a copy that finds no room is not kept.
 */
export class CopyFolder {
  readonly #options: CopyFolderOptions;
  readonly #bytesMax: number;
  /** Sealed bytes by file name, oldest first. */
  readonly #sizes = new Map<string, number>();
  #bytes = 0;

  private constructor(options: CopyFolderOptions) {
    this.#options = options;
    this.#bytesMax = options.bytesMax ?? BYTES_MAX;
  }

  /** Opens the folder (made with 0700) with the copies that an earlier run left. */
  static async open(options: CopyFolderOptions): Promise<CopyFolder> {
    const { dir } = options;
    const copies = new CopyFolder(options);
    await mkdir(dir, { recursive: true, mode: 0o700 });
    for (const name of (await readdir(dir)).sort()) {
      if (NAME.test(name)) copies.#count(name, (await stat(join(dir, name))).size);
    }
    return copies;
  }

  /** Sealed bytes that lie here. */
  get bytes(): number {
    return this.#bytes;
  }

  has(place: CopyPlace): boolean {
    return this.#sizes.has(nameOf(place));
  }

  /** Keeps the plain content of a segment. Where that fails there is no copy, and no error. */
  async keep(place: CopyPlace, payload: readonly Uint8Array[]): Promise<void> {
    const name = nameOf(place);
    try {
      await this.#makeRoom(payload.reduce((sum, part) => sum + part.length, 0));
      let size = 0;
      {
        await using file = await open(join(this.#options.dir, name), 'w', 0o600);
        for await (const part of sealStream(bytesOf(...payload), this.#sealerOf(place))) {
          await file.write(part);
          size += part.length;
        }
      }
      this.#count(name, size);
    } catch (cause) {
      await this.#drop(name);
      if (!isOfDisk(cause)) throw cause;
    }
  }

  /**
   * Opens the copy of a segment; whoever has it disposes of it.
   * @throws FormatError or IntegrityError for one that is torn or damaged; an error of the disk.
   */
  async open(place: CopyPlace): Promise<MergeInput> {
    const file = await open(join(this.#options.dir, nameOf(place)), 'r');
    try {
      const { size } = await file.stat();
      const expected = { kind: OBJECT_KIND.spool, identity: this.#identityOf(place) };
      const copy = await openCopy(file, { size, dataKey: this.#options.key, expected });
      return { ...copy, [Symbol.asyncDispose]: () => file.close() };
    } catch (cause) {
      await file.close();
      throw cause;
    }
  }

  /**
   * Removes the copies that nobody wants any more.
   * @param wanted - Segments that may still be merged.
   * @param ahead - Copies of this timeline from this offset on are of segments that come yet.
   */
  async sweep(
    wanted: readonly CopyPlace[],
    ahead: { readonly timeline: string | null; readonly from: bigint },
  ): Promise<void> {
    const names = new Set(wanted.map(nameOf));
    for (const name of [...this.#sizes.keys()]) {
      const [, start = '', , timeline = ''] = NAME.exec(name) ?? [];
      const isAhead = timeline === ahead.timeline && BigInt(start) >= ahead.from;
      if (!names.has(name) && !isAhead) await this.#drop(name);
    }
  }

  /** Removes the copy of a segment, if there is one. */
  async remove(place: CopyPlace): Promise<void> {
    await this.#drop(nameOf(place));
  }

  async #makeRoom(more: number): Promise<void> {
    for (const name of this.#sizes.keys()) {
      if (this.#bytes + more <= this.#bytesMax) break;
      await this.#drop(name);
    }
    const { bavail, bsize } = await statfs(this.#options.dir);
    if (more > this.#bytesMax || bavail * bsize - more < FREE_BYTES_MIN) throw new NoRoom();
  }

  async #drop(name: string): Promise<void> {
    this.#count(name, 0);
    await rm(join(this.#options.dir, name), { force: true }).catch(() => undefined);
  }

  #count(name: string, size: number): void {
    this.#bytes += size - (this.#sizes.get(name) ?? 0);
    this.#sizes.delete(name);
    if (size > 0) this.#sizes.set(name, size);
  }

  #sealerOf(place: CopyPlace): Sealer {
    return new Sealer({
      dataKey: this.#options.key,
      kind: OBJECT_KIND.spool,
      compression: COMPRESSION.zstd,
      chunkLog2: CHUNK_LOG2,
      identity: this.#identityOf(place),
      random: this.#options.random,
    });
  }

  #identityOf(place: CopyPlace): Identity {
    const { instance: iid, writer } = this.#options;
    const { timeline, start } = place;
    const kind = OBJECT_KIND.spool;
    return objectIdentity({ iid, writer, timeline, start, kind, key: nameOf(place) });
  }
}

/** No copy finds room on the disk, or within the limit. */
class NoRoom extends Error {}

function nameOf({ timeline, start, end }: CopyPlace): string {
  const digits = (offset: bigint): string => offset.toString().padStart(20, '0');
  return `${digits(start)}-${digits(end)}-${timeline}.copy`;
}

/** Whether an error is one of the local disk. */
export function isOfDisk(cause: unknown): boolean {
  return cause instanceof NoRoom || (cause instanceof Error && 'syscall' in cause);
}
