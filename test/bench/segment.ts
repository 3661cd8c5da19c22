import { CommandDecoder } from '@tidemark/aof';
import { SegmentBuilder } from '@tidemark/archive';
import binding from 'zstd-napi/binding.js';
import { median } from './setup/process-facts.ts';

const COMMANDS = 300_000;
const KEYS = 60_000;
const CHUNK_BYTES = 256 * 1024;
const FRAME_BYTES = 1024 * 1024;
const SEGMENT_BYTES = 8 * 1024 * 1024;
const LEVEL = 1;
const ROUNDS = 7;
const SEED = 0x2f6e_2b1d;

/** Small numbers that look random and are the same every time (Lehmer generator). */
function numbers(): (below: number) => number {
  let state = SEED;
  return (below) => {
    state = (state * 48_271) % 0x7fff_ffff;
    return state % below;
  };
}

function encode(...args: readonly string[]): string {
  let text = `*${args.length}\r\n`;
  for (const arg of args) text += `$${arg.length}\r\n${arg}\r\n`;
  return text;
}

/**
 * Small commands over keys that come again, values of 24 hexadecimal digits: 70 bytes each on
 * average, two thirds of the size of those of `redis-benchmark`.
 */
function buildChunks(): Buffer[] {
  const next = numbers();
  const hex = (): string => next(0x7fff_ffff).toString(16).padStart(8, '0');
  const parts: string[] = [encode('SELECT', '0')];
  for (let index = 1; index < COMMANDS; index += 1) {
    const id = String(next(KEYS)).padStart(8, '0');
    const kind = next(8);
    if (kind < 4) parts.push(encode('SET', `session:${id}`, hex() + hex() + hex()));
    else if (kind === 4) parts.push(encode('INCRBY', `count:${id}`, String(next(1000))));
    else if (kind === 5) parts.push(encode('HSET', `user:${id}`, 'seen', hex()));
    else if (kind === 6) parts.push(encode('LPUSH', `queue:${id}`, hex() + hex()));
    else parts.push(encode('DEL', `session:${id}`));
  }
  const all = Buffer.from(parts.join(''), 'latin1');
  const chunks: Buffer[] = [];
  for (let at = 0; at < all.length; at += CHUNK_BYTES) {
    chunks.push(all.subarray(at, at + CHUNK_BYTES));
  }
  return chunks;
}

/** The measure: the same bytes through zstd in frames of the same size, nothing kept. */
function packOnly(all: Buffer): number {
  const context = new binding.CCtx();
  context.setParameter(binding.CParameter.compressionLevel, LEVEL);
  const packed = Buffer.allocUnsafeSlow(binding.compressBound(FRAME_BYTES));
  let bytes = 0;
  for (let at = 0; at < all.length; at += FRAME_BYTES) {
    bytes += context.compress2(packed, all.subarray(at, at + FRAME_BYTES));
  }
  return bytes;
}

interface Built {
  /** Time in the builder, in ms. */
  readonly buildMs: number;
  /** Time in the decoder that feeds it, in ms. */
  readonly decodeMs: number;
  readonly bytes: number;
  readonly kinds: ReadonlySet<string>;
}

function build(chunks: readonly Buffer[]): Built {
  const decoder = new CommandDecoder();
  const kinds = new Set<string>();
  let buildMs = 0;
  let decodeMs = 0;
  let bytes = 0;
  let builder: SegmentBuilder | null = null;
  const finish = (): void => {
    if (builder === null) return;
    const { payload, header } = builder.finish();
    kinds.add(header.indexKind);
    for (const part of payload) bytes += part.length;
    builder = null;
  };
  for (const chunk of chunks) {
    const start = performance.now();
    const { offset, db, inMulti, partialBytes } = decoder;
    const batches = decoder.push(chunk);
    const middle = performance.now();
    builder ??= new SegmentBuilder({
      timeline: 'tl-bench',
      start: offset,
      db,
      inMulti,
      partialBytes,
      level: LEVEL,
      bytesMax: SEGMENT_BYTES,
    });
    for (const batch of batches) builder.addBatch(batch);
    if (builder.full) finish();
    decodeMs += middle - start;
    buildMs += performance.now() - middle;
  }
  const start = performance.now();
  finish();
  return { buildMs: buildMs + performance.now() - start, decodeMs, bytes, kinds };
}

/**
 * Speed of `SegmentBuilder` (packing, key index, flow, stats) over that of plain zstd with the same
 * bytes, level and frame size: interleaved rounds, medians. Segments are of 8 MiB.
 */
export async function benchSegment(): Promise<{ ratio: number; of: string; detail: string }> {
  const chunks = await Promise.resolve(buildChunks());
  const all = Buffer.concat(chunks);
  const rawBytes = all.length;
  packOnly(all);
  build(chunks);
  const plainMs: number[] = [];
  const built: Built[] = [];
  let plainBytes = 0;
  for (let round = 0; round < ROUNDS; round += 1) {
    const start = performance.now();
    plainBytes = packOnly(all);
    plainMs.push(performance.now() - start);
    built.push(build(chunks));
  }
  const plain = median(plainMs);
  const buildMs = median(built.map((one) => one.buildMs));
  const decodeMs = median(built.map((one) => one.decodeMs));
  const bytes = built[0]?.bytes ?? 0;
  const rate = (ms: number): string => (rawBytes / 1e3 / ms).toFixed(0);
  const kinds = [...(built[0]?.kinds ?? [])].join(', ');
  return {
    ratio: plain / buildMs,
    of: `plain zstd, level ${LEVEL}, of the same bytes`,
    detail:
      `${COMMANDS} commands of ${(rawBytes / COMMANDS).toFixed(0)} bytes: builder ` +
      `${rate(buildMs)} MB/s (${(COMMANDS / buildMs / 1e3).toFixed(2)} M commands/s), zstd ` +
      `${rate(plain)} MB/s, decoder in front ${rate(decodeMs)} MB/s; index: ${kinds}; ` +
      `${((bytes / plainBytes - 1) * 100).toFixed(1)} % over the bare packed data`,
  };
}
