/**
 * The WebAssembly module behind `Crc64`, emitted as bytes.
 *
 * JavaScript has no fast 64-bit integers, so the table look-ups run in WebAssembly. The module is
 * small enough to be written out here, instruction by instruction; nothing is compiled beforehand.
 *
 * `crc(state: i64, at: i32, end: i32): i64` runs over memory bytes `at..end`:
 * two lanes of LANE_BYTES each are folded side by side (the look-ups of one lane hide the latency of
 * the other), the first lane is then moved past the second by the SHIFT tables and both are joined;
 * what remains goes eight bytes and then one byte at a time.
 *
 * @see docs/formats/rdb-reading.md, "Checksum"; the opcodes: WebAssembly core specification 1.0,
 *   chapter "Binary format".
 */

/** Bytes of one lane. */
export const LANE_BYTES = 2048;
/** Bytes of one table of 256 entries of eight bytes. */
const TABLE_BYTES = 2048;
/** Eight slicing tables: entry n of table k is the CRC of byte n followed by k zero bytes. */
export const SLICE_TABLES_AT = 0;
/** Eight tables that carry a state over LANE_BYTES zero bytes. */
export const SHIFT_TABLES_AT = 8 * TABLE_BYTES;
/** Where the bytes to be read are put. */
export const INPUT_AT = 16 * TABLE_BYTES;
/** How many bytes fit there. */
export const INPUT_BYTES = 65_536;

type Code = readonly number[];

const I32 = 0x7f;
const I64 = 0x7e;
const VOID = 0x40;
const BLOCK: Code = [0x02, VOID];
const LOOP: Code = [0x03, VOID];
const END: Code = [0x0b];
const I32_LT_U: Code = [0x49];
const I32_GE_U: Code = [0x4f];
const I32_ADD: Code = [0x6a];
const I32_SUB: Code = [0x6b];
const I32_AND: Code = [0x71];
const I32_XOR: Code = [0x73];
const I32_SHL: Code = [0x74];
const I32_SHR_U: Code = [0x76];
const I64_XOR: Code = [0x85];
const I64_SHR_U: Code = [0x88];
const I32_WRAP_I64: Code = [0xa7];

/** Unsigned LEB128. */
function unsigned(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  while (rest > 0x7f) {
    bytes.push((rest & 0x7f) | 0x80);
    rest >>>= 7;
  }
  bytes.push(rest);
  return bytes;
}

/** Signed LEB128 of a value that is not negative. */
function signed(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  while (rest > 0x3f) {
    bytes.push((rest & 0x7f) | 0x80);
    rest >>>= 7;
  }
  bytes.push(rest);
  return bytes;
}

const branch = (depth: number): Code => [0x0c, depth];
const branchIf = (depth: number): Code => [0x0d, depth];
const get = (local: number): Code => [0x20, ...unsigned(local)];
const set = (local: number): Code => [0x21, ...unsigned(local)];
const i32 = (value: number): Code => [0x41, ...signed(value)];
const i64 = (value: number): Code => [0x42, ...signed(value)];
const load64 = (offset: number): Code => [0x29, 3, ...unsigned(offset)];
const load8 = (offset: number): Code => [0x2d, 0, ...unsigned(offset)];

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

const loop = (...body: readonly Code[]): Code => [
  ...[...BLOCK, ...LOOP, ...body.flat(), ...branch(0), ...END, ...END],
];

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
  [...get(AT), ...get(LIMIT), ...I32_GE_U, ...branchIf(1)],
  [...get(STATE), ...I32_WRAP_I64, ...get(AT), ...load8(0), ...I32_XOR],
  [...i32(0xff), ...I32_AND, ...i32(3), ...I32_SHL, ...load64(SLICE_TABLES_AT)],
  [...get(STATE), ...i64(8), ...I64_SHR_U, ...I64_XOR, ...set(STATE)],
  advance(1),
);

const section = (id: number, content: Code): Code => [id, ...unsigned(content.length), ...content];
const name = (text: string): Code => [...unsigned(text.length), ...Buffer.from(text, 'latin1')];

/** The bytes of the module: exports `memory` (two tables and the input) and `crc`. */
export function crc64Module(): Uint8Array<ArrayBuffer> {
  const body = [...LOCALS, ...twoLanes, ...eightBytes, ...oneByte, ...get(STATE), ...END];
  const pages = Math.ceil((INPUT_AT + INPUT_BYTES) / 65_536);
  return Uint8Array.from([
    ...[0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(1, [1, 0x60, 3, I64, I32, I32, 1, I64]),
    ...section(3, [1, 0]),
    ...section(5, [1, 0, ...unsigned(pages)]),
    ...section(7, [2, ...name('memory'), 2, 0, ...name('crc'), 0, 0]),
    ...section(10, [1, ...unsigned(body.length), ...body]),
  ]);
}
