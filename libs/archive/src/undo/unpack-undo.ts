import type { ByteSource } from '@tidemark/core';
import { ByteReader, formatError } from '../frames/byte-reader.ts';
import { readFrameHead, takePacked } from '../frames/frame-stream.ts';
import { MAGIC } from '../frames/sections.ts';
import { SourceCursor } from '../frames/source-cursor.ts';
import { FrameUnpacker } from '../frames/zstd.ts';
import {
  ARGUMENTS_MAX,
  BULK_BYTES_MAX,
  DATABASES_MAX,
  DIGEST_BYTES,
  FIELDS_BYTES_MAX,
  ITEM,
  NAME_BYTES_MAX,
  STANDINGS,
  UNDO_VERSION,
  type UndoHead,
  type UndoItem,
  type UndoKey,
  type UndoPiece,
} from './undo-item.ts';

const LENGTH_BYTES = 4;

/** A part of an undo pack as it is read: its head, and then its items, once. */
export interface UndoPart extends AsyncDisposable {
  readonly head: UndoHead;
  /** The part is proven whole only when they have ended. */
  items(): AsyncGenerator<UndoItem>;
}

/**
 * Reads a part of an undo pack. Memory is one item and one frame; nothing is allocated by a length
 * that is only claimed.
 * @param payload - The plain content.
 * @throws FormatError `TM_UNDO_FORMAT` with the position; `items` throws so too.
 */
export async function openUndo(payload: ByteSource): Promise<UndoPart> {
  const packed = new SourceCursor(payload);
  const cursor = new SourceCursor(unpackFrames(packed));
  const dispose = async (): Promise<void> => {
    await cursor[Symbol.asyncDispose]();
    await packed[Symbol.asyncDispose]();
  };
  try {
    const head = readHead(await takeFields(cursor));
    return { head, items: () => readItems(cursor, head.keys), [Symbol.asyncDispose]: dispose };
  } catch (cause) {
    await dispose();
    throw cause;
  }
}

async function* unpackFrames(cursor: SourceCursor): AsyncGenerator<Buffer> {
  const start = await cursor.take(MAGIC.undo.length + 1);
  if (!start.subarray(0, MAGIC.undo.length).equals(MAGIC.undo)) {
    throw formatError('undo', 'this is no undo pack', 0);
  }
  const version = start[MAGIC.undo.length] ?? 0;
  if (version !== UNDO_VERSION) {
    const message = `version ${version} of an undo pack is not known`;
    throw formatError('undo', message, MAGIC.undo.length, { version });
  }
  const unpacker = new FrameUnpacker();
  for (;;) {
    const { position } = cursor;
    const head = await readFrameHead(cursor, 'undo');
    if (head.rawLength === 0) break;
    const raw = Buffer.allocUnsafeSlow(head.rawLength);
    if (!unpacker.unpack(await takePacked(cursor, head, 'undo'), raw)) {
      throw formatError('undo', 'a frame does not unpack', position);
    }
    yield raw;
  }
  const after = await cursor.take(1);
  if (after.length > 0) throw formatError('undo', 'bytes after the end', cursor.position - 1);
}

async function* readItems(cursor: SourceCursor, expected: number): AsyncGenerator<UndoItem> {
  let keys = 0;
  let open = false;
  for (;;) {
    const reader = await takeFields(cursor);
    const kind = reader.u8();
    if (kind === ITEM.key) {
      keys += 1;
      const key = await readKey(reader, cursor);
      open = key.before !== null && key.before.payload === null;
      yield key;
    } else if (kind === ITEM.piece && open) {
      yield await readPiece(reader, cursor);
    } else if (kind === ITEM.end) {
      const said = reader.varint();
      reader.end();
      if (said !== keys || keys !== expected) reader.fail(`${keys} keys, not ${expected}`);
      const after = await cursor.take(1);
      if (after.length > 0) reader.fail('items after the end');
      return;
    } else reader.fail(`an item of kind ${kind} is out of place`);
  }
}

function readHead(reader: ByteReader): UndoHead {
  const kind = reader.u8();
  if (kind !== ITEM.head) reader.fail(`an item of kind ${kind} stands where the head must`);
  const instance = reader.text(NAME_BYTES_MAX);
  const restore = reader.text(NAME_BYTES_MAX);
  const part = reader.varint();
  const createdMs = reader.varint();
  const expiresMs = reader.varint();
  const keys = reader.varint();
  reader.end();
  return { instance, restore, part, createdMs, expiresMs, keys };
}

async function readKey(reader: ByteReader, cursor: SourceCursor): Promise<UndoKey> {
  const db = reader.count(DATABASES_MAX, 'database');
  const standing = STANDINGS[reader.u8()] ?? reader.fail('a standing that is not known');
  const keyBytes = reader.count(BULK_BYTES_MAX, 'key length');
  const form = reader.u8();
  if (form > 2) reader.fail(`a value of form ${form}`);
  const value = form === 0 ? null : readValueFields(reader, form);
  const there = reader.u8();
  if (there > 1) reader.fail(`${there} where 0 or 1 must stand`);
  const written =
    there === 0
      ? null
      : { expiryMs: expiryOf(reader), digest: Buffer.from(reader.bytes(DIGEST_BYTES)) };
  reader.end();
  const key = await takeBulk(cursor, keyBytes);
  if (value === null) return { kind: 'key', db, key, standing, before: null, written };
  const { type, expiryMs, payloadBytes } = value;
  const payload = payloadBytes === null ? null : await takeBulk(cursor, payloadBytes);
  return { kind: 'key', db, key, standing, before: { type, expiryMs, payload }, written };
}

function readValueFields(
  reader: ByteReader,
  form: number,
): {
  readonly type: string;
  readonly expiryMs: number | null;
  readonly payloadBytes: number | null;
} {
  const type = reader.text(NAME_BYTES_MAX);
  const expiryMs = expiryOf(reader);
  const payloadBytes = form === 1 ? reader.count(BULK_BYTES_MAX, 'payload length') : null;
  return { type, expiryMs, payloadBytes };
}

async function readPiece(reader: ByteReader, cursor: SourceCursor): Promise<UndoPiece> {
  const command = reader.text(NAME_BYTES_MAX);
  const count = reader.count(ARGUMENTS_MAX, 'number of arguments');
  const lengths: number[] = [];
  for (let i = 0; i < count; i++) lengths.push(reader.count(BULK_BYTES_MAX, 'argument length'));
  reader.end();
  const args: Buffer[] = [];
  for (const length of lengths) args.push(await takeBulk(cursor, length));
  return { kind: 'piece', command, args };
}

function expiryOf(reader: ByteReader): number | null {
  const value = reader.signed();
  return value === -1 ? null : value;
}

async function takeFields(cursor: SourceCursor): Promise<ByteReader> {
  const length = (await takeBulk(cursor, LENGTH_BYTES)).readUInt32BE(0);
  if (length > FIELDS_BYTES_MAX) {
    throw formatError('undo', `fields of ${length} bytes`, cursor.position, { length });
  }
  return new ByteReader(await takeBulk(cursor, length), 'undo', 'undo item');
}

async function takeBulk(cursor: SourceCursor, length: number): Promise<Buffer> {
  const bytes = await cursor.take(length);
  if (bytes.length === length) return bytes;
  throw formatError('undo', 'the items end too early', cursor.position, { missing: length });
}
