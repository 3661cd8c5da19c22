import { Crc64 } from '@tidemark/core';
import { describe, expect, it } from 'vitest';
import { patternBytes } from '../../support/pattern.ts';

/** Bit by bit, as the definition reads. */
function slowCrc(bytes: Uint8Array): bigint {
  let state = 0n;
  for (const byte of bytes) {
    state ^= BigInt(byte);
    for (let bit = 0; bit < 8; bit += 1) {
      state = (state & 1n) === 1n ? (state >> 1n) ^ 0x95ac9329ac4bc9b5n : state >> 1n;
    }
  }
  return state;
}

const sample = (length: number): Buffer => {
  const bytes = Buffer.alloc(length);
  for (let at = 0; at < length; at += 1) bytes[at] = (at * 31 + (at >> 7) * 17) & 0xff;
  return bytes;
};

const crcOf = (...parts: readonly Uint8Array[]): bigint => {
  const crc = new Crc64();
  for (const part of parts) crc.update(part);
  return crc.digest();
};

describe('Crc64', () => {
  it('gives the check value of the variant', () => {
    expect(crcOf(Buffer.from('123456789'))).toBe(0xe9c6d914c4b8d9can);
  });

  it('gives 0 for no bytes', () => {
    expect(new Crc64().digest()).toBe(0n);
    expect(crcOf(Buffer.alloc(0))).toBe(0n);
  });

  it.each([1, 7, 8, 9, 4095, 4096, 4097, 8191, 8192 + 13, 65_536, 65_537, 70_001])(
    'agrees with the bitwise definition over %i bytes',
    (length) => {
      const bytes = sample(length);
      expect(crcOf(bytes)).toBe(slowCrc(bytes));
    },
  );

  it('does not depend on how the bytes are cut', () => {
    const bytes = sample(150_000);
    const whole = crcOf(bytes);
    for (const cut of [1, 4096, 65_535, 65_536, 149_999]) {
      expect(crcOf(bytes.subarray(0, cut), bytes.subarray(cut))).toBe(whole);
    }
  });

  // From 55,488 bytes on, all but the last 18,496 are folded into these.
  it.each([55_487, 55_488, 55_489, 55_495, 55_496, 131_071, 1_048_576, 1_048_577, 1_104_069])(
    'over %i bytes at once it gives what it gives over small pieces',
    (length) => {
      const bytes = Buffer.from(patternBytes(length + 3)).subarray(3);
      const pieces = Array.from({ length: Math.ceil(length / 4000) }, (_, at) =>
        bytes.subarray(at * 4000, (at + 1) * 4000),
      );
      expect(crcOf(bytes)).toBe(crcOf(...pieces));
      expect(crcOf(sample(5), bytes)).toBe(crcOf(sample(5), ...pieces));
    },
  );

  it('notices any changed bit of bytes that are folded', () => {
    const bytes = Buffer.from(patternBytes(100_000));
    const whole = crcOf(bytes);
    for (let at = 0; at < bytes.length; at += 3119) {
      bytes[at] = (bytes[at] as number) ^ (1 << (at & 7));
      expect(crcOf(bytes)).not.toBe(whole);
      bytes[at] = (bytes[at] as number) ^ (1 << (at & 7));
    }
    expect(crcOf(bytes)).toBe(whole);
  });

  it('keeps two sums apart that are fed by turns', () => {
    const [left, right] = [new Crc64(), new Crc64()];
    for (const at of [0, 1, 2, 3]) {
      left.update(sample(5000).subarray(at * 1250, (at + 1) * 1250));
      right.update(Buffer.alloc(777, at));
    }
    expect(left.digest()).toBe(crcOf(sample(5000)));
    expect(right.digest()).not.toBe(left.digest());
  });

  it('digestBytes() is little endian', () => {
    const crc = new Crc64();
    crc.update(Buffer.from('123456789'));
    expect(crc.digestBytes().toString('hex')).toBe('cad9b8c414d9c6e9');
  });
});
