/**
 * The few instructions of WebAssembly that the module behind `Crc64` is written in.
 *
 * @see WebAssembly core specification 1.0, chapter "Binary format".
 */

/** Bytes of the binary format. */
export type Code = readonly number[];

export const I32 = 0x7f;
export const I64 = 0x7e;
const VOID = 0x40;
const BLOCK: Code = [0x02, VOID];
export const LOOP: Code = [0x03, VOID];
export const END: Code = [0x0b];
export const I32_LT_U: Code = [0x49];
export const I32_GE_U: Code = [0x4f];
export const I32_ADD: Code = [0x6a];
export const I32_SUB: Code = [0x6b];
export const I32_AND: Code = [0x71];
export const I32_XOR: Code = [0x73];
export const I32_SHL: Code = [0x74];
export const I32_SHR_U: Code = [0x76];
export const I64_XOR: Code = [0x85];
export const I64_SHR_U: Code = [0x88];
export const I32_WRAP_I64: Code = [0xa7];

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

export const branch = (depth: number): Code => [0x0c, depth];
export const branchIf = (depth: number): Code => [0x0d, depth];
export const get = (local: number): Code => [0x20, ...unsigned(local)];
export const set = (local: number): Code => [0x21, ...unsigned(local)];
export const i32 = (value: number): Code => [0x41, ...signed(value)];
export const i64 = (value: number): Code => [0x42, ...signed(value)];
export const load64 = (offset: number): Code => [0x29, 3, ...unsigned(offset)];
export const load8 = (offset: number): Code => [0x2d, 0, ...unsigned(offset)];
export const store64 = (offset: number): Code => [0x37, 3, ...unsigned(offset)];

/** A loop inside a block: `branchIf(1)` in its body leaves it. */
export const loop = (...body: readonly Code[]): Code => [
  ...[...BLOCK, ...LOOP, ...body.flat(), ...branch(0), ...END, ...END],
];

const section = (id: number, content: Code): Code => [id, ...unsigned(content.length), ...content];
const name = (text: string): Code => [...unsigned(text.length), ...Buffer.from(text, 'latin1')];

/** One function of a module. */
export interface WasmFunction {
  readonly name: string;
  readonly parameters: Code;
  readonly results: Code;
  /** Local variables after the parameters, as the format groups them. */
  readonly locals: Code;
  readonly body: Code;
}

/** A module that exports a memory of so many pages of 64 KiB, as `memory`, and functions. */
export function wasmModule(
  pages: number,
  functions: readonly WasmFunction[],
): Uint8Array<ArrayBuffer> {
  const count = functions.length;
  const types = functions.map(({ parameters, results }) => [
    ...[0x60, parameters.length, ...parameters],
    ...[results.length, ...results],
  ]);
  const exported = functions.map((one, at) => [...name(one.name), 0, at]);
  const code = functions.map(({ locals, body }) => {
    const whole = [...locals, ...body, ...END];
    return [...unsigned(whole.length), ...whole];
  });
  return Uint8Array.from([
    ...[0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(1, [count, ...types.flat()]),
    ...section(3, [count, ...types.keys()]),
    ...section(5, [1, 0, ...unsigned(pages)]),
    ...section(7, [1 + count, ...name('memory'), 2, 0, ...exported.flat()]),
    ...section(10, [count, ...code.flat()]),
  ]);
}
