import { FormatError } from '@tidemark/core';
import { splitWords } from './manifest-tokens.ts';

/** `b` base, `h` history (to be removed by the server), `i` increment. */
export type ManifestFileType = 'b' | 'h' | 'i';

/** One line of an AOF manifest. */
export interface ManifestFile {
  /** A plain file name inside the AOF folder: no separator, no control character, not `..`. */
  readonly name: string;
  readonly seq: number;
  readonly type: ManifestFileType;
  /** Pairs the line carries beside these three, e.g. `startoffset` (Redis 8.0 and newer). */
  readonly extra: Readonly<Record<string, string>>;
}

/** The files of one AOF: dataset = base, then every increment in order. */
export interface AofManifest {
  readonly base: ManifestFile | null;
  readonly history: readonly ManifestFile[];
  /** Ascending by `seq`. */
  readonly incr: readonly ManifestFile[];
}

/** Bytes of one line with its newline: the server's own limit (redis src/aof.c). */
const LINE_BYTES_MAX = 1024;
/** Bytes of a whole manifest: room for thousands of increments. The server has no limit here. */
export const MANIFEST_BYTES_MAX = 1 << 20;
const NAME_BYTES_MAX = 255;

interface Place {
  readonly line: number;
  readonly offset: number;
}

const wrong = (message: string, place: Place): FormatError =>
  new FormatError('TM_AOF_MANIFEST', message, {
    context: { line: place.line, offset: place.offset },
    hint: 'the server itself would refuse this manifest; repair it with the server stopped',
  });

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

function textOf(word: Buffer, place: Place): string {
  try {
    return decoder.decode(word);
  } catch {
    throw wrong('a word that is not UTF-8', place);
  }
}

/** Whether a name stands for a file of this very folder and nothing else. */
export function isPlainFileName(name: string): boolean {
  if (name === '' || name === '.' || name === '..') return false;
  if (Buffer.byteLength(name) > NAME_BYTES_MAX) return false;
  for (let i = 0; i < name.length; i++) {
    const unit = name.charCodeAt(i);
    if (unit < 0x20 || unit === 0x7f || unit === 0x2f || unit === 0x5c) return false;
  }
  return true;
}

function parseSeq(text: string, place: Place): number {
  const seq = /^[0-9]{1,16}$/.test(text) ? Number(text) : 0;
  if (seq < 1 || !Number.isSafeInteger(seq))
    throw wrong('a seq that is not a number above 0', place);
  return seq;
}

function parseType(text: string, place: Place): ManifestFileType {
  if (text === 'b' || text === 'h' || text === 'i') return text;
  throw wrong('a type that is not b, h or i', place);
}

function parseLine(line: Uint8Array, place: Place): ManifestFile {
  const words = splitWords(line);
  if (words === null) throw wrong('a quote that is not closed', place);
  if (words.length < 6 || words.length % 2 !== 0) {
    throw wrong(`${words.length} words, not three or more pairs`, place);
  }
  let name: string | null = null;
  let seq = 0;
  let type: ManifestFileType | null = null;
  const extra: [string, string][] = [];
  for (let i = 0; i + 1 < words.length; i += 2) {
    const key = textOf(words[i] ?? Buffer.alloc(0), place).toLowerCase();
    const value = textOf(words[i + 1] ?? Buffer.alloc(0), place);
    if (key === 'file') name = value;
    else if (key === 'seq') seq = parseSeq(value, place);
    else if (key === 'type') type = parseType(value, place);
    else extra.push([key, value]);
  }
  if (name === null || seq === 0 || type === null) {
    throw wrong('a line without file, seq or type', place);
  }
  if (!isPlainFileName(name)) throw wrong('a file name that is not a plain name', place);
  return { name, seq, type, extra: Object.fromEntries(extra) };
}

class ManifestBuilder {
  base: ManifestFile | null = null;
  readonly history: ManifestFile[] = [];
  readonly incr: ManifestFile[] = [];

  add(file: ManifestFile, place: Place): void {
    if (file.type === 'h') {
      this.history.push(file);
    } else if (file.type === 'b') {
      if (this.base !== null) throw wrong('a second base', place);
      this.base = file;
    } else {
      const last = this.incr.at(-1);
      if (last !== undefined && file.seq <= last.seq) {
        throw wrong(`increment ${file.seq} after ${last.seq}`, place);
      }
      this.incr.push(file);
    }
  }
}

/**
 * Parses the manifest of a multi-part AOF (Redis 7.0 and newer, every Valkey).
 *
 * Reads what the server reads and refuses what it refuses; beyond that it refuses names that are
 * not plain file names of the folder (so that a manifest can never lead a reader elsewhere),
 * control characters and a missing newline at the end, which shows a torn file.
 * @param text - The whole file, at most 1 MiB.
 * @throws FormatError `TM_AOF_MANIFEST` with `line` (from 1) and `offset` of the line in bytes.
 * @see redis src/aof.c, "AOF Manifest file implementation"; docs/formats/aof-manifest.md
 */
export function parseManifest(text: Uint8Array): AofManifest {
  if (text.length === 0) throw wrong('an empty manifest', { line: 1, offset: 0 });
  if (text.length > MANIFEST_BYTES_MAX) {
    throw wrong(`${text.length} bytes, limit ${MANIFEST_BYTES_MAX}`, { line: 1, offset: 0 });
  }
  const builder = new ManifestBuilder();
  let line = 1;
  for (let start = 0; start < text.length; line++) {
    const place = { line, offset: start };
    const newline = text.indexOf(0x0a, start);
    if (newline < 0) throw wrong('a last line without a newline', place);
    if (newline + 1 - start > LINE_BYTES_MAX) {
      throw wrong(`a line of ${newline + 1 - start} bytes, limit ${LINE_BYTES_MAX}`, place);
    }
    const bytes = text.subarray(start, newline);
    if (bytes.includes(0)) throw wrong('a zero byte', place);
    if (bytes[0] !== 0x23) builder.add(parseLine(bytes, place), place);
    start = newline + 1;
  }
  return { base: builder.base, history: builder.history, incr: builder.incr };
}
