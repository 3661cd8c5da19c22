/** Bytes of a packed value, decoded: `bytes[start..end)`. */
export interface PackedRange {
  readonly bytes: Uint8Array;
  readonly start: number;
  readonly end: number;
}

/**
 * What is wrong inside a packed value.
 * `within` counts from the first byte of the decoded value.
 */
export class PackedFault extends Error {
  readonly within: number;

  constructor(message: string, within: number) {
    super(message);
    this.name = 'PackedFault';
    this.within = within;
  }
}

/** Called for each element with its text: `bytes[start..end)`, valid during the call. */
export type ElementVisitor = (
  index: number,
  bytes: Uint8Array,
  start: number,
  end: number,
  within: number,
) => void;

const TEXT = Buffer.alloc(24);

/** Calls `visit` with an integer as the text that a server shows for it. */
export function visitInteger(
  visit: ElementVisitor,
  index: number,
  value: number | bigint,
  within: number,
): void {
  visit(index, TEXT, 0, TEXT.write(String(value), 0, 'latin1'), within);
}

export function uint16Le(bytes: Uint8Array, at: number): number {
  return (bytes[at] as number) | ((bytes[at + 1] as number) << 8);
}

export function int24Le(bytes: Uint8Array, at: number): number {
  return (
    (((bytes[at] as number) << 8) |
      ((bytes[at + 1] as number) << 16) |
      ((bytes[at + 2] as number) << 24)) >>
    8
  );
}

/** A signed 64-bit integer: a number where that is exact, else a bigint. */
export function exactInt64Le(bytes: Uint8Array, at: number): number | bigint {
  let value = 0n;
  for (let byte = 7; byte >= 0; byte -= 1) {
    value = (value << 8n) | BigInt(bytes[at + byte] as number);
  }
  const signed = BigInt.asIntN(64, value);
  const plain = Number(signed);
  return Number.isSafeInteger(plain) ? plain : signed;
}
