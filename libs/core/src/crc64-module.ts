import {
  branchIf,
  type Code,
  END,
  get,
  I32,
  i32,
  I32_ADD,
  I32_AND,
  I32_GE_U,
  I32_LT_U,
  I32_SHL,
  I32_SHR_U,
  I32_SUB,
  I32_WRAP_I64,
  I32_XOR,
  I64,
  i64,
  I64_SHR_U,
  I64_XOR,
  load64,
  load8,
  LOOP,
  loop,
  set,
  store64,
  type WasmFunction,
  wasmModule,
} from './crc64-wasm.ts';

/**
 * The WebAssembly module behind `Crc64`, emitted as bytes.
 *
 * JavaScript has no fast 64-bit integers, so the sums run in WebAssembly. The module is small enough
 * to be written out here, instruction by instruction; nothing is compiled beforehand.
 *
 * @see docs/formats/rdb-reading.md, "Checksum".
 */

/** Bytes of one lane. */
export const LANE_BYTES = 2048;
/** Bytes of one table of 256 entries of eight bytes. */
const TABLE_BYTES = 2048;
/** Eight slicing tables: entry n of table k is the CRC of byte n followed by k zero bytes. */
export const SLICE_TABLES_AT = 0;
/** Eight tables that carry a state over LANE_BYTES zero bytes. */
export const SHIFT_TABLES_AT = 8 * TABLE_BYTES;

/**
 * x^2312 + x^2137 + x^2123 + x^1877 + x^1123 + x^974 + x^711 + 1 is a multiple of the polynomial of
 * the CRC, found by trying sums of few powers. Its 64th power, the same sum of powers of x^64, is one
 * too, so adding a word of the message (64 bits) to the words this far behind it and taking it away
 * leaves the CRC as it is. The distances, in words:
 */
const FOLD_WORDS: readonly number[] = [175, 189, 435, 1189, 1338, 1601, 2312];
/** Bytes that remain when everything before them is folded into them. */
export const FOLDED_BYTES = 8 * 2312;
/** As many bytes that are always zero stand in front of the input. */
const ZEROS_AT = 16 * TABLE_BYTES;
/** Where the bytes to be read are put. */
export const INPUT_AT = ZEROS_AT + FOLDED_BYTES;
/** How many bytes fit there. */
export const INPUT_BYTES = 1_048_576;

// Locals: the three parameters, then the second lane, a scratch value, its halves, a loop's end.
const STATE = 0;
const AT = 1;
const LIMIT = 2;
const OTHER = 3;
const MIXED = 4;
const LOW = 5;
const HIGH = 6;
const STOP = 7;
const LOCALS: Code = [2, 2, I64, 3, I32];

/** Leaves on the stack: the xor of eight look-ups, one for each byte of the i64 local `value`. */
function lookUp(value: number, tablesAt: number): Code {
  const code: number[] = [
    ...[...get(value), ...I32_WRAP_I64, ...set(LOW)],
    ...[...get(value), ...i64(32), ...I64_SHR_U, ...I32_WRAP_I64, ...set(HIGH)],
  ];
  for (let index = 0; index < 8; index += 1) {
    const shift = 8 * (index & 3);
    // A byte times eight is the place of its entry; shift and multiply are one instruction.
    code.push(...get(index < 4 ? LOW : HIGH));
    code.push(...(shift === 0 ? [...i32(3), ...I32_SHL] : [...i32(shift - 3), ...I32_SHR_U]));
    code.push(...i32(0x7f8), ...I32_AND, ...load64(tablesAt + (7 - index) * TABLE_BYTES));
    if (index > 0) code.push(...I64_XOR);
  }
  return code;
}

/** state = fold of eight bytes at `AT + offset` into `lane`. */
const fold = (lane: number, offset: number): Code => [
  ...[...get(lane), ...get(AT), ...load64(offset), ...I64_XOR, ...set(MIXED)],
  ...[...lookUp(MIXED, SLICE_TABLES_AT), ...set(lane)],
];

const advance = (bytes: number): Code => [...get(AT), ...i32(bytes), ...I32_ADD, ...set(AT)];

/** Leaves a loop when fewer than `bytes` bytes remain. */
const leaveBelow = (bytes: number): Code => [
  ...[...get(LIMIT), ...get(AT), ...I32_SUB, ...i32(bytes), ...I32_LT_U, ...branchIf(1)],
];

/** Leaves a loop when the place has reached the limit. */
const leaveAtLimit: Code = [...get(AT), ...get(LIMIT), ...I32_GE_U, ...branchIf(1)];

const twoLanes: Code = loop(
  leaveBelow(2 * LANE_BYTES),
  [...i64(0), ...set(OTHER)],
  [...get(AT), ...i32(LANE_BYTES), ...I32_ADD, ...set(STOP)],
  [...LOOP, ...fold(STATE, 0), ...fold(OTHER, LANE_BYTES), ...advance(8)],
  [...get(AT), ...get(STOP), ...I32_LT_U, ...branchIf(0), ...END],
  [...lookUp(STATE, SHIFT_TABLES_AT), ...get(OTHER), ...I64_XOR, ...set(STATE)],
  advance(LANE_BYTES),
);

const eightBytes: Code = loop(leaveBelow(8), fold(STATE, 0), advance(8));

const oneByte: Code = loop(
  leaveAtLimit,
  [...get(STATE), ...I32_WRAP_I64, ...get(AT), ...load8(0), ...I32_XOR],
  [...i32(0xff), ...I32_AND, ...i32(3), ...I32_SHL, ...load64(SLICE_TABLES_AT)],
  [...get(STATE), ...i64(8), ...I64_SHR_U, ...I64_XOR, ...set(STATE)],
  advance(1),
);

/**
 * `crc(state: i64, at: i32, end: i32): i64` runs over memory bytes `at..end`: two lanes of LANE_BYTES
 * each are looked up side by side (one hides the latency of the other), the first lane is then moved
 * past the second by the SHIFT tables and both are joined; what remains goes eight bytes and then one
 * byte at a time.
 */
const CRC: WasmFunction = {
  name: 'crc',
  parameters: [I64, I32, I32],
  results: [I64],
  locals: LOCALS,
  body: [...twoLanes, ...eightBytes, ...oneByte, ...get(STATE)],
};

/** Each word up to `LIMIT` takes what the words before it add to it. It is read where it stands. */
const gather: Code = loop(
  leaveAtLimit,
  [...get(AT), ...get(AT), ...load64(FOLDED_BYTES)],
  FOLD_WORDS.flatMap((words) => [...[...get(AT), ...load64(FOLDED_BYTES - 8 * words), ...I64_XOR]]),
  [...store64(FOLDED_BYTES), ...advance(8)],
);

/** The words behind `LIMIT` take what the words before `LIMIT`, `words` words away, add to them. */
const scatter = (words: number): Code => [
  ...[...get(LIMIT), ...i32(FOLDED_BYTES - 8 * words), ...I32_ADD, ...set(AT)],
  ...[...get(LIMIT), ...i32(FOLDED_BYTES), ...I32_ADD, ...set(STOP)],
  ...[...LOOP, ...get(AT), ...get(AT), ...load64(0), ...get(AT), ...load64(8 * words)],
  ...[...I64_XOR, ...store64(8 * words), ...advance(8)],
  ...[...get(AT), ...get(STOP), ...I32_LT_U, ...branchIf(0), ...END],
];

/**
 * `fold(state: i64, at: i32, end: i32): void` changes the last FOLDED_BYTES of the whole words
 * `at..end`, more than FOLDED_BYTES of them, so that their CRC from state 0 on is the one of all of
 * them from `state` on. Before `at` lie FOLDED_BYTES zeros.
 */
const FOLD: WasmFunction = {
  name: 'fold',
  parameters: [I64, I32, I32],
  results: [],
  locals: LOCALS,
  body: [
    ...[...get(AT), ...get(AT), ...load64(0), ...get(STATE), ...I64_XOR, ...store64(0)],
    // Both count from FOLDED_BYTES in front: offsets are never negative.
    ...[...get(AT), ...i32(FOLDED_BYTES), ...I32_SUB, ...set(AT)],
    ...[...get(LIMIT), ...i32(2 * FOLDED_BYTES), ...I32_SUB, ...set(LIMIT)],
    ...gather,
    ...FOLD_WORDS.flatMap(scatter),
  ],
};

/** The bytes of the module: exports `memory` (tables, zeros and the input), `crc` and `fold`. */
export function crc64Module(): Uint8Array<ArrayBuffer> {
  return wasmModule(Math.ceil((INPUT_AT + INPUT_BYTES) / 65_536), [CRC, FOLD]);
}
