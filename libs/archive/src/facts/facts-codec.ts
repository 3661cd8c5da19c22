import { UsageError } from '@tidemark/core';
import { formatError } from '../frames/byte-reader.ts';
import { parseFrameHead } from '../frames/frame-stream.ts';
import { FRAMES_END, MAGIC } from '../frames/sections.ts';
import { FRAME_HEAD_BYTES, FRAME_RAW_MAX, FrameUnpacker, packerOf } from '../frames/zstd.ts';
import { parseFacts, writeFacts } from './facts-json.ts';
import type { NodeFactsRecord } from './node-facts.ts';

const VERSION = 1;
const HEAD_BYTES = MAGIC.facts.length + 1;

/** Most bytes of the facts as JSON. */
export const FACTS_RAW_MAX: number = 4 * FRAME_RAW_MAX;
const FRAMES_MAX = FACTS_RAW_MAX / FRAME_RAW_MAX;

/**
 * The facts as JSON: the same facts give the same bytes, whatever order the node told them in.
 * @throws UsageError `TM_USAGE` for more than 4 MiB, or a setting whose value is a secret.
 */
export function factsJson(facts: NodeFactsRecord): Buffer {
  const json = Buffer.from(writeFacts(facts), 'utf8');
  if (json.length <= FACTS_RAW_MAX) return json;
  throw new UsageError('TM_USAGE', `node facts of ${json.length} bytes exceed ${FACTS_RAW_MAX}`, {
    context: { bytes: json.length, bytesMax: FACTS_RAW_MAX },
  });
}

/** Packs what `factsJson` gave: the plain content of a sealed object of kind _node facts_. */
export function packFacts(json: Buffer): Buffer {
  const parts: Buffer[] = [MAGIC.facts, Buffer.of(VERSION)];
  const packer = packerOf();
  for (let at = 0; at < json.length; at += FRAME_RAW_MAX) {
    parts.push(packer.pack(json.subarray(at, at + FRAME_RAW_MAX)));
  }
  parts.push(FRAMES_END);
  return Buffer.concat(parts);
}

/**
 * Reads node facts (docs/formats/node-facts.md).
 * @throws FormatError `TM_FACTS_FORMAT` with the offset.
 */
export function unpackFacts(bytes: Buffer): NodeFactsRecord {
  if (bytes.length < HEAD_BYTES || !bytes.subarray(0, MAGIC.facts.length).equals(MAGIC.facts)) {
    throw formatError('facts', 'these are no node facts', 0);
  }
  const version = bytes[MAGIC.facts.length] ?? 0;
  if (version !== VERSION) {
    throw formatError('facts', `version ${version} of node facts is not known`, HEAD_BYTES - 1, {
      version,
    });
  }
  return parseFacts(unpackFrames(bytes));
}

function unpackFrames(bytes: Buffer): Buffer {
  const unpacker = new FrameUnpacker();
  const parts: Buffer[] = [];
  let at = HEAD_BYTES;
  for (let frames = 0; ; frames++) {
    if (at + FRAME_HEAD_BYTES > bytes.length) {
      throw formatError('facts', 'node facts end within a frame head', bytes.length);
    }
    const { rawLength, packedLength } = parseFrameHead(bytes, at, 'facts', at);
    const start = at + FRAME_HEAD_BYTES;
    if (rawLength === 0) {
      if (start === bytes.length) return Buffer.concat(parts);
      throw formatError('facts', 'bytes after the end of node facts', start);
    }
    if (frames === FRAMES_MAX) throw formatError('facts', 'too many frames', at);
    if (start + packedLength > bytes.length) {
      throw formatError('facts', 'node facts end within a frame', bytes.length);
    }
    const raw = Buffer.allocUnsafe(rawLength);
    at = start + packedLength;
    if (!unpacker.unpack(bytes.subarray(start, at), raw)) {
      throw formatError('facts', 'a frame does not unpack', start);
    }
    parts.push(raw);
  }
}
