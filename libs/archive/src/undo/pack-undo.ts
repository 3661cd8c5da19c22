import { UsageError } from '@tidemark/core';
import { ByteWriter } from '../frames/byte-writer.ts';
import { FRAMES_END, MAGIC } from '../frames/sections.ts';
import { FRAME_RAW_MAX, packerOf } from '../frames/zstd.ts';
import {
  ARGUMENTS_MAX,
  BULK_BYTES_MAX,
  DIGEST_BYTES,
  FIELDS_BYTES_MAX,
  ITEM,
  STANDINGS,
  UNDO_VERSION,
  type UndoHead,
  type UndoItem,
  type UndoKey,
  type UndoPiece,
} from './undo-item.ts';

/**
 * Packs a part of an undo pack (docs/formats/undo-pack.md) as a stream; memory is one item and one
 * frame.
 * @param items - Key items, each followed by its pieces when its value has no payload.
 * @throws UsageError `TM_USAGE` for items out of place or over a limit, or when there are not as many
 *   keys as the head says; whatever `items` throws.
 */
export async function* packUndo(
  head: UndoHead,
  items: AsyncIterable<UndoItem> | Iterable<UndoItem>,
): AsyncGenerator<Buffer> {
  yield Buffer.concat([MAGIC.undo, Buffer.of(UNDO_VERSION)]);
  const frames = new FrameCutter();
  yield* frames.push(headFields(head));
  let keys = 0;
  let open = false;
  for await (const item of items) {
    if (item.kind === 'key') {
      keys += 1;
      open = item.before !== null && item.before.payload === null;
      yield* frames.push(...keyParts(item));
    } else if (open) yield* frames.push(...pieceParts(item));
    else throw wrong('a piece belongs to no key');
  }
  if (keys !== head.keys) throw wrong(`${keys} keys, the head says ${head.keys}`);
  const end = new ByteWriter(FIELDS_BYTES_MAX);
  end.u8(ITEM.end);
  end.varint(keys);
  yield* frames.push(fields(end));
  yield* frames.flush();
  yield FRAMES_END;
}

/** Gathers bytes and packs them once there are enough for a frame. */
class FrameCutter {
  readonly #packer = packerOf();
  #parts: Buffer[] = [];
  #length = 0;

  *push(...parts: readonly Buffer[]): Generator<Buffer> {
    for (const part of parts) {
      for (let at = 0; at < part.length;) {
        const taken = part.subarray(at, at + FRAME_RAW_MAX - this.#length);
        this.#parts.push(taken);
        this.#length += taken.length;
        at += taken.length;
        if (this.#length === FRAME_RAW_MAX) yield* this.flush();
      }
    }
  }

  *flush(): Generator<Buffer> {
    if (this.#length === 0) return;
    yield this.#packer.pack(Buffer.concat(this.#parts, this.#length));
    this.#parts = [];
    this.#length = 0;
  }
}

function headFields(head: UndoHead): Buffer {
  const out = new ByteWriter(FIELDS_BYTES_MAX);
  out.u8(ITEM.head);
  out.text(head.instance);
  out.text(head.restore);
  for (const value of [head.part, head.createdMs, head.expiresMs, head.keys]) out.varint(value);
  return fields(out);
}

function keyParts({ db, key, standing, before, written }: UndoKey): Buffer[] {
  const payload = before?.payload ?? null;
  const out = new ByteWriter(FIELDS_BYTES_MAX);
  out.u8(ITEM.key);
  out.varint(db);
  out.u8(STANDINGS.indexOf(standing));
  out.varint(bulk(key));
  out.u8(before === null ? 0 : payload === null ? 2 : 1);
  if (before !== null) {
    out.text(before.type);
    out.signed(before.expiryMs ?? -1);
    if (payload !== null) out.varint(bulk(payload));
  }
  out.u8(written === null ? 0 : 1);
  if (written !== null) {
    if (written.digest.length !== DIGEST_BYTES) throw wrong('a digest of another length');
    out.signed(written.expiryMs ?? -1);
    out.bytes(written.digest);
  }
  return [fields(out), key, ...(payload === null ? [] : [payload])];
}

function pieceParts({ command, args }: UndoPiece): Buffer[] {
  if (args.length > ARGUMENTS_MAX) throw wrong(`a piece of ${args.length} arguments`);
  const out = new ByteWriter(FIELDS_BYTES_MAX);
  out.u8(ITEM.piece);
  out.text(command);
  out.varint(args.length);
  for (const arg of args) out.varint(bulk(arg));
  return [fields(out), ...args];
}

/** The fields of an item with their length in front. */
function fields(out: ByteWriter): Buffer {
  if (out.overflowed) throw wrong('the fields of an item are too long');
  const bytes = out.take();
  const length = Buffer.allocUnsafe(4);
  length.writeUInt32BE(bytes.length);
  return Buffer.concat([length, bytes]);
}

function bulk(bytes: Buffer): number {
  if (bytes.length > BULK_BYTES_MAX) throw wrong(`a string of ${bytes.length} bytes`);
  return bytes.length;
}

function wrong(what: string): UsageError {
  return new UsageError('TM_USAGE', `an undo pack cannot be written so: ${what}`);
}
