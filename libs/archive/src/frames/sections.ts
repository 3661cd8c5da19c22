import { formatError, type ArchiveFormat } from './byte-reader.ts';
import { parseFrameHead } from './frame-stream.ts';
import { FRAME_HEAD_BYTES, FRAME_RAW_MAX, FrameUnpacker, type FramePacker } from './zstd.ts';

/** How a section's content is stored: as it is, or as zstd frames. */
const SECTION_CODEC = { raw: 0, zstd: 1 } as const;

/** One line of the section table. Positions and lengths in bytes of the plain content. */
export interface SectionEntry {
  readonly type: number;
  readonly codec: number;
  readonly offset: number;
  readonly packedLength: number;
  readonly rawLength: number;
}

/** Bytes of the fixed trailer at the very end of the object. */
export const TRAILER_BYTES = 32;
const ENTRY_BYTES = 20;
const SECTIONS_MAX = 64;
const FORMAT_VERSION = 1;
const PACK_FROM_BYTES = 128;
/** First bytes of node facts and undo packs; last ones of an object with sections. */
export const MAGIC: Readonly<Record<ArchiveFormat, Buffer>> = {
  segment: Buffer.from('TMSEG\r\n\x1a', 'latin1'),
  snapshot: Buffer.from('TMSNP\r\n\x1a', 'latin1'),
  facts: Buffer.from('TMFAC\r\n\x1a', 'latin1'),
  undo: Buffer.from('TMUND\r\n\x1a', 'latin1'),
};

/** Bytes that end the frames: a frame head with both lengths 0. */
export const FRAMES_END: Buffer = Buffer.alloc(FRAME_HEAD_BYTES);

/** Collects the sections of one object and writes them, their table and the trailer. */
export class SectionWriter {
  readonly #format: ArchiveFormat;
  readonly #packer: FramePacker;
  readonly #entries: SectionEntry[] = [];
  readonly #parts: Buffer[] = [FRAMES_END];
  #position: number;

  /** @param framesEnd - Position after the last frame. */
  constructor(format: ArchiveFormat, packer: FramePacker, framesEnd: number) {
    this.#format = format;
    this.#packer = packer;
    this.#position = framesEnd + FRAMES_END.length;
  }

  /** Adds a section; types must rise from call to call. @returns Its packed length in bytes. */
  add(type: number, raw: Buffer): number {
    const packed = packSection(this.#packer, raw);
    this.addPacked(type, packed);
    return packed.length;
  }

  /** Adds a section that was packed before, to look at its length. */
  addPacked(type: number, section: PackedSection): void {
    const { codec, length, rawLength } = section;
    const entry = { type, codec, offset: this.#position, packedLength: length, rawLength };
    this.#entries.push(entry);
    this.#parts.push(...section.parts);
    this.#position += length;
  }

  /** @returns Everything after the last frame: end mark, sections, table, trailer. */
  finish(): Buffer[] {
    const table = Buffer.alloc(this.#entries.length * ENTRY_BYTES);
    let at = 0;
    for (const entry of this.#entries) {
      table.writeUInt16BE(entry.type, at);
      table.writeUInt8(entry.codec, at + 2);
      table.writeUInt32BE(entry.packedLength, at + 4);
      table.writeBigUInt64BE(BigInt(entry.offset), at + 8);
      table.writeUInt32BE(entry.rawLength, at + 16);
      at += ENTRY_BYTES;
    }
    const trailer = Buffer.alloc(TRAILER_BYTES);
    trailer.set(MAGIC[this.#format], 0);
    trailer.writeUInt16BE(FORMAT_VERSION, 8);
    trailer.writeUInt16BE(this.#entries.length, 10);
    trailer.writeUInt32BE(table.length, 12);
    trailer.writeBigUInt64BE(BigInt(this.#position), 16);
    trailer.writeBigUInt64BE(BigInt(this.#position + table.length + TRAILER_BYTES), 24);
    return [...this.#parts, table, trailer];
  }
}

/** A section ready to be placed. */
export interface PackedSection {
  readonly codec: number;
  readonly parts: readonly Buffer[];
  readonly length: number;
  readonly rawLength: number;
}

/** Packs a section's content; content that zstd would not make smaller stays as it is. */
export function packSection(packer: FramePacker, raw: Buffer): PackedSection {
  const asIs = {
    codec: SECTION_CODEC.raw,
    parts: [raw],
    length: raw.length,
    rawLength: raw.length,
  };
  if (raw.length < PACK_FROM_BYTES) return asIs;
  const parts: Buffer[] = [];
  let length = 0;
  for (let start = 0; start < raw.length; start += FRAME_RAW_MAX) {
    const frame = packer.pack(raw.subarray(start, start + FRAME_RAW_MAX));
    parts.push(frame);
    length += frame.length;
  }
  if (length >= raw.length) return asIs;
  return { codec: SECTION_CODEC.zstd, parts, length, rawLength: raw.length };
}

/** What the trailer says. */
export interface Trailer {
  readonly tablePosition: number;
  readonly tableLength: number;
}

/**
 * Parses the trailer: the last `TRAILER_BYTES` of an object of `objectBytes` bytes.
 * @throws FormatError when it is not the trailer of such an object.
 */
export function parseTrailer(bytes: Buffer, objectBytes: number, format: ArchiveFormat): Trailer {
  const position = objectBytes - TRAILER_BYTES;
  const fail = (message: string): never => {
    throw formatError(format, `trailer: ${message}`, Math.max(position, 0));
  };
  if (bytes.length !== TRAILER_BYTES) fail(`${bytes.length} bytes instead of ${TRAILER_BYTES}`);
  if (!bytes.subarray(0, 8).equals(MAGIC[format])) fail(`this is not a ${format}`);
  const version = bytes.readUInt16BE(8);
  if (version !== FORMAT_VERSION) fail(`version ${version} is not known`);
  const sections = bytes.readUInt16BE(10);
  const tableLength = bytes.readUInt32BE(12);
  const tablePosition = Number(bytes.readBigUInt64BE(16));
  const length = Number(bytes.readBigUInt64BE(24));
  if (length !== objectBytes) fail(`it ends an object of ${length} bytes, this has ${objectBytes}`);
  if (sections > SECTIONS_MAX) fail(`${sections} sections, at most ${SECTIONS_MAX}`);
  if (tableLength !== sections * ENTRY_BYTES) fail(`a table of ${tableLength} bytes`);
  if (tablePosition + tableLength !== position) fail(`the table is at ${tablePosition}`);
  return { tablePosition, tableLength };
}

/**
 * Parses the section table. Sections must follow each other without a gap up to the table, with
 * rising types.
 */
export function parseTable(
  bytes: Buffer,
  trailer: Trailer,
  format: ArchiveFormat,
): readonly SectionEntry[] {
  const entries: SectionEntry[] = [];
  let next = -1;
  for (let at = 0; at < trailer.tableLength; at += ENTRY_BYTES) {
    const entry = {
      type: bytes.readUInt16BE(at),
      codec: bytes.readUInt8(at + 2),
      offset: Number(bytes.readBigUInt64BE(at + 8)),
      packedLength: bytes.readUInt32BE(at + 4),
      rawLength: bytes.readUInt32BE(at + 16),
    };
    const known =
      (entry.codec === SECTION_CODEC.raw || entry.codec === SECTION_CODEC.zstd) &&
      bytes.readUInt8(at + 3) === 0;
    const follows = next === -1 ? entry.offset >= FRAMES_END.length : entry.offset === next;
    const rises = entry.type > (entries.at(-1)?.type ?? 0);
    if (!known || !follows || !rises || entry.offset > trailer.tablePosition) {
      const message = `section ${entry.type} with codec ${entry.codec} at ${entry.offset} is out of place`;
      throw formatError(format, message, trailer.tablePosition + at);
    }
    next = entry.offset + entry.packedLength;
    entries.push(entry);
  }
  if (next !== trailer.tablePosition) {
    throw formatError(format, `the sections end at ${next}`, trailer.tablePosition);
  }
  return entries;
}

/**
 * Gives a section's content. Memory follows what is unpacked, frame by frame, never the claim.
 * @param rawMax - Upper bound for this type of section, in bytes.
 */
export function openSection(
  packed: Buffer,
  entry: SectionEntry,
  rawMax: number,
  format: ArchiveFormat,
): Buffer {
  const fail = (message: string, at: number): never => {
    throw formatError(format, `section ${entry.type}: ${message}`, entry.offset + at);
  };
  if (entry.rawLength > rawMax) fail(`raw length ${entry.rawLength} exceeds ${rawMax}`, 0);
  if (packed.length !== entry.packedLength) fail(`${packed.length} bytes were read`, packed.length);
  if (entry.codec === SECTION_CODEC.raw) {
    if (entry.rawLength !== packed.length) fail(`raw length is ${entry.rawLength}`, 0);
    return packed;
  }
  const unpacker = new FrameUnpacker();
  const parts: Buffer[] = [];
  let length = 0;
  for (let at = 0; at < packed.length;) {
    if (packed.length - at < FRAME_HEAD_BYTES) fail('it ends within a frame head', at);
    const head = parseFrameHead(packed, at, format, entry.offset + at);
    const end = at + FRAME_HEAD_BYTES + head.packedLength;
    length += head.rawLength;
    if (head.rawLength === 0 || end > packed.length || length > entry.rawLength) {
      fail(`a frame of ${head.rawLength} bytes is out of place`, at);
    }
    const part = Buffer.allocUnsafeSlow(head.rawLength);
    if (!unpacker.unpack(packed.subarray(at + FRAME_HEAD_BYTES, end), part)) {
      fail('a frame does not unpack', at);
    }
    parts.push(part);
    at = end;
  }
  if (length !== entry.rawLength) fail(`${length} raw bytes of ${entry.rawLength}`, packed.length);
  return parts.length === 1 && parts[0] !== undefined ? parts[0] : Buffer.concat(parts, length);
}
