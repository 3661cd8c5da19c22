import {
  crc64Module,
  FOLDED_BYTES,
  INPUT_AT,
  INPUT_BYTES,
  LANE_BYTES,
  SHIFT_TABLES_AT,
  SLICE_TABLES_AT,
} from './crc64-module.ts';

/** The polynomial ad93d235 94c935a9 with its bits reversed, as a right-shifting CRC needs it. */
const POLYNOMIAL = 0x95ac9329ac4bc9b5n;
/** Below this, folding costs as much as it saves. */
const FOLD_FROM_BYTES = 3 * FOLDED_BYTES;

interface Engine {
  readonly input: Uint8Array;
  readonly crc: (state: bigint, at: number, end: number) => bigint;
  readonly fold: (state: bigint, at: number, end: number) => void;
}

interface Exports extends Pick<Engine, 'crc' | 'fold'> {
  readonly memory: { readonly buffer: ArrayBuffer };
}

// The types of the language version in use do not name it; every supported Node has it.
declare const WebAssembly: {
  readonly Module: new (bytes: Uint8Array<ArrayBuffer>) => object;
  readonly Instance: new (module: object) => { readonly exports: unknown };
};

function fillSliceTables(table: BigUint64Array): void {
  for (let byte = 0; byte < 256; byte += 1) {
    let value = BigInt(byte);
    for (let bit = 0; bit < 8; bit += 1) {
      value = (value & 1n) === 1n ? (value >> 1n) ^ POLYNOMIAL : value >> 1n;
    }
    table[byte] = value;
  }
  for (let at = 256; at < 2048; at += 1) {
    const value = table[at - 256] ?? 0n;
    table[at] = (table[Number(value & 0xffn)] ?? 0n) ^ (value >> 8n);
  }
}

/** A CRC state is linear: where each single bit goes over a lane of zeros gives all states. */
function fillShiftTables(table: BigUint64Array, engine: Engine): void {
  engine.input.fill(0, 0, LANE_BYTES);
  for (let bit = 0; bit < 64; bit += 1) {
    const first = (7 - (bit >> 3)) * 256;
    const weight = 1 << (bit & 7);
    const moved = engine.crc(1n << BigInt(bit), INPUT_AT, INPUT_AT + LANE_BYTES);
    for (let byte = weight; byte < 2 * weight; byte += 1) {
      table[first + byte] = moved ^ (table[first + byte - weight] ?? 0n);
    }
  }
}

function startEngine(): Engine {
  const instance = new WebAssembly.Instance(new WebAssembly.Module(crc64Module()));
  const { memory, crc, fold } = instance.exports as Exports;
  const input = new Uint8Array(memory.buffer, INPUT_AT, INPUT_BYTES);
  const engine = { input, crc, fold };
  fillSliceTables(new BigUint64Array(memory.buffer, SLICE_TABLES_AT, 2048));
  fillShiftTables(new BigUint64Array(memory.buffer, SHIFT_TABLES_AT, 2048), engine);
  return engine;
}

/** The state after at most INPUT_BYTES bytes. */
function next({ input, crc, fold }: Engine, state: bigint, bytes: Uint8Array): bigint {
  input.set(bytes);
  const end = INPUT_AT + bytes.length;
  if (bytes.length < FOLD_FROM_BYTES) return crc(state, INPUT_AT, end);
  const words = end - (bytes.length & 7);
  fold(state, INPUT_AT, words);
  return crc(0n, words - FOLDED_BYTES, end);
}

// Made at the first use and shared: a call runs to its end before another can start.
let shared: Engine | undefined;

/**
 * CRC-64 as in RDB files and DUMP payloads: polynomial ad93d23594c935a9, bits reflected, start 0,
 * no final xor; "123456789" gives e9c6d914c4b8d9ca.
 *
 * Bytes may come in pieces of any size. Allocates nothing that grows with the data.
 *
 * @see redis src/crc64.c, the variant named "Jones".
 */
export class Crc64 {
  #state = 0n;

  /** Takes the next bytes. */
  update(bytes: Uint8Array): void {
    shared ??= startEngine();
    if (bytes.length <= INPUT_BYTES) {
      this.#state = next(shared, this.#state, bytes);
      return;
    }
    for (let at = 0; at < bytes.length; at += INPUT_BYTES) {
      this.#state = next(shared, this.#state, bytes.subarray(at, at + INPUT_BYTES));
    }
  }

  /** The CRC of all bytes so far, 0 to 2^64 - 1. More bytes may follow. */
  digest(): bigint {
    return BigInt.asUintN(64, this.#state);
  }

  /** The same as eight bytes, little endian, as it stands in files. */
  digestBytes(): Buffer {
    const bytes = Buffer.alloc(8);
    bytes.writeBigUInt64LE(this.digest());
    return bytes;
  }
}
