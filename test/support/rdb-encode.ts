// Encoders for RDB vectors: an oracle of its own, written without the library under test.

/** Which form of a length is written; a reader takes every form. */
export type LengthForm = 'shortest' | '14' | '32' | '64';

/** A length. */
export function len(value: number | bigint, form: LengthForm = 'shortest'): Buffer {
  const wide = BigInt(value);
  if (form === '64' || wide > 0xffffffffn) {
    const bytes = Buffer.alloc(9, 0x81);
    bytes.writeBigUInt64BE(BigInt.asUintN(64, wide), 1);
    return bytes;
  }
  const small = Number(wide);
  if (form === '32' || small >= 0x4000) {
    const bytes = Buffer.alloc(5, 0x80);
    bytes.writeUInt32BE(small, 1);
    return bytes;
  }
  if (form === '14' || small >= 0x40) return Buffer.of(0x40 | (small >> 8), small & 0xff);
  return Buffer.of(small);
}

/** A string as it is. */
export function str(text: string | Uint8Array, form: LengthForm = 'shortest'): Buffer {
  const bytes = typeof text === 'string' ? Buffer.from(text) : text;
  return Buffer.concat([len(bytes.length, form), bytes]);
}

/** A string that is written as an integer of 1, 2 or 4 bytes. */
export function intStr(value: number): Buffer {
  if (value >= -128 && value <= 127) return Buffer.of(0xc0, value & 0xff);
  if (value >= -32768 && value <= 32767) {
    const bytes = Buffer.alloc(3, 0xc1);
    bytes.writeInt16LE(value, 1);
    return bytes;
  }
  const bytes = Buffer.alloc(5, 0xc2);
  bytes.writeInt32LE(value, 1);
  return bytes;
}

/** An LZF block: runs of one byte become back references, all else literals. */
export function lzfBlock(bytes: Uint8Array): Buffer {
  const out: Buffer[] = [];
  let literals: number[] = [];
  const flush = (): void => {
    for (let at = 0; at < literals.length; at += 32) {
      const part = literals.slice(at, at + 32);
      out.push(Buffer.of(part.length - 1, ...part));
    }
    literals = [];
  };
  for (let at = 0; at < bytes.length;) {
    let run = 0;
    while (at > 0 && run < 264 && at + run < bytes.length && bytes[at + run] === bytes[at - 1])
      run += 1;
    if (run < 3) {
      literals.push(bytes[at] as number);
      at += 1;
      continue;
    }
    flush();
    const copy = run - 2;
    out.push(copy < 7 ? Buffer.of(copy << 5, 0) : Buffer.of(7 << 5, copy - 7, 0));
    at += run;
  }
  flush();
  return Buffer.concat(out);
}

/** A packed string. */
export function lzfStr(text: string | Uint8Array): Buffer {
  const bytes = typeof text === 'string' ? Buffer.from(text) : text;
  const block = lzfBlock(bytes);
  return Buffer.concat([Buffer.of(0xc3), len(block.length), len(bytes.length), block]);
}

/** A signed 64-bit integer, little endian. */
export function int64(value: number | bigint): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigInt64LE(BigInt(value));
  return bytes;
}

export function double(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeDoubleLE(value);
  return bytes;
}

/** The id of a module type: nine characters and a version. */
export function moduleId(name: string, version: number): Buffer {
  const characters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
  let id = 0n;
  for (const character of name) id = (id << 6n) | BigInt(characters.indexOf(character));
  return len((id << 10n) | BigInt(version), '64');
}

/** One item of every kind that a module may write, and the end. */
export const moduleItems = (): Buffer =>
  Buffer.concat([
    ...[len(1), len(2n ** 64n - 5n), len(2), len(77)],
    ...[len(3), Buffer.alloc(4, 0xff), len(4), double(1.5), len(5), str('text'), len(5), intStr(9)],
    len(0),
  ]);

/** An entry of a listpack: a string as such, or an integer in its shortest form. */
export type ListpackItem = string | Buffer | number | bigint;

function listpackContent(item: ListpackItem): Buffer {
  if (typeof item === 'string' || Buffer.isBuffer(item)) {
    const text = Buffer.from(item);
    const { length } = text;
    if (length < 64) return Buffer.concat([Buffer.of(0x80 | length), text]);
    if (length < 4096) {
      return Buffer.concat([Buffer.of(0xe0 | (length >> 8), length & 0xff), text]);
    }
    const head = Buffer.alloc(5, 0xf0);
    head.writeUInt32LE(length, 1);
    return Buffer.concat([head, text]);
  }
  if (item >= 0 && item < 128) return Buffer.of(Number(item));
  if (item >= -4096 && item < 4096) {
    return Buffer.of(0xc0 | ((Number(item) >> 8) & 0x1f), Number(item) & 0xff);
  }
  const forms = [
    [0xf1, 2],
    [0xf2, 3],
    [0xf3, 4],
  ] as const;
  for (const [head, width] of forms) {
    const bound = 2 ** (8 * width - 1);
    if (item < -bound || item >= bound) continue;
    const bytes = Buffer.alloc(1 + width, head);
    bytes.writeIntLE(Number(item), 1, width);
    return bytes;
  }
  return Buffer.concat([Buffer.of(0xf4), int64(item)]);
}

function backLength(length: number): Buffer {
  const bounds = [128, 16_383, 2_097_151, 268_435_455];
  const index = bounds.findIndex((bound) => length < bound);
  const count = index < 0 ? 5 : index + 1;
  return Buffer.from(
    Array.from({ length: count }, (_, at) => {
      const bits = Math.floor(length / 128 ** (count - 1 - at)) % 128;
      return at === 0 ? bits : bits | 0x80;
    }),
  );
}

/** A listpack; `count` is what its header says. */
export function listpack(items: readonly ListpackItem[], count = items.length): Buffer {
  const entries = items.map((item) => {
    const content = listpackContent(item);
    return Buffer.concat([content, backLength(content.length)]);
  });
  const head = Buffer.alloc(6);
  const body = Buffer.concat(entries);
  head.writeUInt32LE(body.length + 7, 0);
  head.writeUInt16LE(Math.min(count, 65_535), 4);
  return Buffer.concat([head, body, Buffer.of(0xff)]);
}
