import type { FileHandle } from 'node:fs/promises';
import { frameCommands, readSegmentFooter } from '@tidemark/archive';
import {
  bytesOf,
  collectBytes,
  IntegrityError,
  TidemarkError,
  type ByteSource,
} from '@tidemark/core';
import {
  openRange,
  parseSealedHeader,
  plainSizeOf,
  type DataKey,
  type OpenRangeOptions,
} from '@tidemark/crypto';
import type { MergeInput } from './merge-segments.ts';

const HEAD_BYTES = 4_196;
const READ_BYTES = 1024 * 1024;
/** A footer holds sections of up to 96 MiB. */
const RANGE_BYTES_MAX = 128 * 1024 * 1024;

/** Which object a copy must be. */
export interface WantedCopy {
  /** Bytes of the file. */
  readonly size: number;
  readonly dataKey: DataKey;
  readonly expected: NonNullable<OpenRangeOptions['expected']>;
}

/**
 * Opens a sealed copy of a segment: its marks at once, its commands as they are asked for.
 * @throws IntegrityError `TM_SEAL_…` and FormatError for one that is torn or damaged.
 */
export async function openCopy(
  file: FileHandle,
  wanted: WantedCopy,
): Promise<Omit<MergeInput, keyof AsyncDisposable>> {
  const { size, dataKey, expected } = wanted;
  const read = (start: number, end: number): ByteSource => fileRange(file, start, end);
  const header = parseSealedHeader(await collect(read(0, Math.min(size, HEAD_BYTES))));
  if (typeof header === 'number') {
    throw new IntegrityError('TM_SEAL_TRUNCATED', 'a copy ends within its header', {
      context: { size, needed: header },
    });
  }
  const plain = (start: number, end: number): ByteSource =>
    openRange({ read, header, dataKey, sealedSize: size, start, end, expected });
  const plainBytes = plainSizeOf(size, header);
  const footer = await readSegmentFooter((start, end) => collect(plain(start, end)), plainBytes);
  const frames = await footer.frames();
  const end = frames.reduce((sum, { length }) => sum + length, 0);
  return {
    marks: await footer.marks(),
    commands: frames.length === 0 ? bytesOf() : frameCommands(plain(0, end), frames),
  };
}

async function* fileRange(file: FileHandle, start: number, end: number): ByteSource {
  for (let at = start; at < end;) {
    const buffer = Buffer.allocUnsafe(Math.min(READ_BYTES, end - at));
    const { bytesRead } = await file.read(buffer, 0, buffer.length, at);
    if (bytesRead === 0) return;
    at += bytesRead;
    yield buffer.subarray(0, bytesRead);
  }
}

async function collect(source: ByteSource): Promise<Buffer> {
  return collectBytes(
    source,
    RANGE_BYTES_MAX,
    (bytes) => new TidemarkError('TM_LIMIT', 'a section is too long', { context: { bytes } }),
  );
}
