import { decompress, DecompressStream } from 'zstd-napi';

const ZSTD_MAGIC = Buffer.from('28b52ffd', 'hex');
const LZF_STRING = 0xc3;
const EXPANDED_BYTES_MAX = 64 * 1024 * 1024;
const LZF_BYTES_MAX = 4 * 1024 * 1024;

/** What stands behind every zstd magic in the bytes, as far as it can be expanded. */
export async function* expandZstd(bytes: Buffer): AsyncGenerator<Buffer> {
  for (
    let at = bytes.indexOf(ZSTD_MAGIC);
    at >= 0;
    at = bytes.indexOf(ZSTD_MAGIC, at + ZSTD_MAGIC.length)
  ) {
    yield await expandFrame(bytes.subarray(at));
  }
}

/** Frames are followed by other bytes: what was decoded before those counts. */
async function expandFrame(bytes: Buffer): Promise<Buffer> {
  try {
    return decompress(bytes);
  } catch {
    // Not a frame alone.
  }
  const stream = new DecompressStream();
  const parts: Buffer[] = [];
  let length = 0;
  const ended = new Promise<void>((resolve) => {
    stream.on('error', () => resolve());
    stream.on('close', () => resolve());
    stream.on('end', () => resolve());
  });
  stream.on('data', (part: Buffer) => {
    length += part.length;
    parts.push(part);
    if (length > EXPANDED_BYTES_MAX) stream.destroy();
  });
  stream.end(bytes);
  await ended;
  return Buffer.concat(parts);
}

/** Every string of an RDB that LZF packed: 0xC3, two lengths, data (redis src/rdb.c). */
export function* expandLzf(bytes: Buffer): Generator<Buffer> {
  for (let at = bytes.indexOf(LZF_STRING); at >= 0; at = bytes.indexOf(LZF_STRING, at + 1)) {
    const packed = readLength(bytes, at + 1);
    const whole = packed === null ? null : readLength(bytes, packed.end);
    if (packed === null || whole === null || whole.value > LZF_BYTES_MAX) continue;
    const end = whole.end + packed.value;
    if (packed.value >= whole.value || end > bytes.length) continue;
    const expanded = decodeLzf(bytes.subarray(whole.end, end), whole.value);
    if (expanded !== null) yield expanded;
  }
}

function readLength(bytes: Buffer, at: number): { value: number; end: number } | null {
  const first = bytes[at];
  if (first === undefined) return null;
  if (first < 0x40) return { value: first, end: at + 1 };
  if (first < 0x80) {
    return at + 2 > bytes.length ? null : { value: bytes.readUInt16BE(at) & 0x3fff, end: at + 2 };
  }
  if (first !== 0x80 || at + 5 > bytes.length) return null;
  return { value: bytes.readUInt32BE(at + 1), end: at + 5 };
}

/** LZF (liblzf lzf_d.c), written here so that the search does not lean on what it examines. */
function decodeLzf(packed: Buffer, length: number): Buffer | null {
  const out = Buffer.alloc(length);
  let to = 0;
  for (let from = 0; from < packed.length;) {
    const control = packed[from++] as number;
    if (control < 32) {
      if (from + control + 1 > packed.length || to + control + 1 > length) return null;
      packed.copy(out, to, from, from + control + 1);
      from += control + 1;
      to += control + 1;
      continue;
    }
    let copy = (control >> 5) + 2;
    if (copy === 9) copy += packed[from++] ?? 0;
    const back = to - (((control & 0x1f) << 8) | (packed[from++] ?? 0)) - 1;
    if (back < 0 || to + copy > length) return null;
    for (let at = 0; at < copy; at++) out[to + at] = out[back + at] as number;
    to += copy;
  }
  return to === length ? out : null;
}
