import { Crc64 } from '@tidemark/core';
import { int64, len, moduleId, moduleItems, str } from './rdb-encode.ts';

export {
  double,
  int64,
  intStr,
  len,
  listpack,
  type ListpackItem,
  lzfStr,
  moduleId,
  moduleItems,
  str,
} from './rdb-encode.ts';
export { RDB_VECTORS, type RdbVector, streamValue } from './rdb-vectors.ts';

/** What an entry is made of. */
export interface EntryParts {
  /** The key; with `keyBytes` what the scanner must decode. */
  readonly key: string | Uint8Array;
  /** The key as it is written, when not as a plain string. */
  readonly keyBytes?: Buffer;
  readonly type?: number;
  /** The value as it is written. Default: the string "value". */
  readonly value?: Buffer;
  readonly expiryMs?: number;
  /** The old form, in whole seconds. */
  readonly expirySeconds?: number;
  readonly idle?: number;
  readonly frequency?: number;
  /** A KEY_META block (Redis 8.6) without its opcode. */
  readonly keyMeta?: Buffer;
}

/** Where an entry stands: what a scanner must find. */
export interface BuiltEntry {
  readonly db: number;
  readonly key: Buffer;
  readonly type: number;
  readonly expiryMs: number | null;
  readonly offset: number;
  readonly valueOffset: number;
  readonly bytes: number;
}

/**
 * Makes RDB files byte by byte, without the library under test.
 *
 * @example
 * ```ts
 * const rdb = new RdbBuilder({ version: 11 }).selectDb(0).string('key', 'value').build();
 * ```
 */
export class RdbBuilder {
  readonly entries: BuiltEntry[] = [];
  private readonly parts: Buffer[] = [];
  private readonly version: number;
  private readonly checksum: 'crc' | 'zero';
  private length = 0;
  private db = 0;

  constructor(
    o: { product?: 'redis' | 'valkey'; version?: number; checksum?: 'crc' | 'zero' } = {},
  ) {
    const valkey = o.product === 'valkey';
    this.version = o.version ?? (valkey ? 80 : 12);
    this.checksum = o.checksum ?? 'crc';
    const digits = String(this.version);
    this.raw(
      Buffer.from(valkey ? `VALKEY${digits.padStart(3, '0')}` : `REDIS${digits.padStart(4, '0')}`),
    );
  }

  /** Bytes so far. */
  get offset(): number {
    return this.length;
  }

  raw(...bytes: readonly Uint8Array[]): this {
    for (const part of bytes) {
      this.parts.push(Buffer.from(part));
      this.length += part.length;
    }
    return this;
  }

  aux(name: string, value: string | Buffer): this {
    return this.raw(Buffer.of(0xfa), str(name), typeof value === 'string' ? str(value) : value);
  }

  selectDb(db: number): this {
    this.db = db;
    return this.raw(Buffer.of(0xfe), len(db));
  }

  resizeDb(keys: number, expires: number): this {
    return this.raw(Buffer.of(0xfb), len(keys), len(expires));
  }

  function2(code: string): this {
    return this.raw(Buffer.of(0xf5), str(code));
  }

  moduleAux(name: string): this {
    return this.raw(Buffer.of(0xf7), moduleId(name, 1), len(2), len(1), moduleItems());
  }

  slotInfo(slot: number, keys: number, expires: number): this {
    return this.raw(Buffer.of(0xf4), len(slot), len(keys), len(expires));
  }

  /** Valkey 9. */
  slotImport(job: string, ...ranges: readonly (readonly [number, number])[]): this {
    const pairs = ranges.map(([first, last]) => Buffer.concat([len(first), len(last)]));
    return this.raw(Buffer.of(0xf3), str(job), len(ranges.length), ...pairs);
  }

  entry(parts: EntryParts): this {
    const offset = this.length;
    const { expiryMs, expirySeconds, idle, frequency, keyMeta, type = 0 } = parts;
    if (expiryMs !== undefined) this.raw(Buffer.of(0xfc), int64(expiryMs));
    if (expirySeconds !== undefined) {
      const seconds = Buffer.alloc(4);
      seconds.writeInt32LE(expirySeconds);
      this.raw(Buffer.of(0xfd), seconds);
    }
    if (idle !== undefined) this.raw(Buffer.of(0xf8), len(idle));
    if (frequency !== undefined) this.raw(Buffer.of(0xf9, frequency));
    if (keyMeta !== undefined) this.raw(Buffer.of(0xf3), keyMeta);
    this.raw(Buffer.of(type), parts.keyBytes ?? str(parts.key));
    const valueOffset = this.length;
    this.raw(parts.value ?? str('value'));
    this.entries.push({
      db: this.db,
      key: Buffer.from(parts.key),
      type,
      expiryMs: expiryMs ?? (expirySeconds === undefined ? null : expirySeconds * 1000),
      ...{ offset, valueOffset, bytes: this.length - offset },
    });
    return this;
  }

  string(key: string | Uint8Array, value: string | Uint8Array): this {
    return this.entry({ key, value: str(value) });
  }

  /** The file: all parts, end of file and, from version 5 on, the checksum. */
  build(): Buffer {
    const body = Buffer.concat([...this.parts, Buffer.of(0xff)]);
    if (this.version < 5) return body;
    const crc = new Crc64();
    crc.update(body);
    return Buffer.concat([body, this.checksum === 'crc' ? crc.digestBytes() : Buffer.alloc(8)]);
  }
}

/** A KEY_META block (without its opcode) of `count` classes. */
export const keyMeta = (count = 1): Buffer =>
  Buffer.concat([
    len(count),
    ...Array.from({ length: count }, () => Buffer.concat([Buffer.alloc(4, 7), moduleItems()])),
  ]);
