import { Crc64 } from '@tidemark/core';
import type { Seeded } from './seeded.ts';

/** Bytes that mean something in one of the formats: lengths, opcodes, ends, digits, line ends. */
const TELLING = [
  0, 1, 2, 3, 4, 5, 0x0a, 0x0d, 0x23, 0x24, 0x2a, 0x30, 0x39, 0x3f, 0x40, 0x7f, 0x80, 0x81, 0xbf,
  0xc0, 0xc1, 0xc2, 0xc3, 0xf0, 0xf4, 0xf5, 0xfa, 0xfb, 0xfc, 0xfd, 0xfe, 0xff,
];

type Damage = (bytes: Buffer, random: Seeded) => Buffer;

const at = (bytes: Buffer, random: Seeded): number => random.below(bytes.length);

const overwrite = (bytes: Buffer, from: number, over: Uint8Array): Buffer => {
  const copy = Buffer.from(bytes);
  copy.set(over.subarray(0, copy.length - from), from);
  return copy;
};

const DAMAGES: readonly Damage[] = [
  (bytes, random) => {
    const from = at(bytes, random);
    return overwrite(bytes, from, Buffer.of((bytes[from] as number) ^ (1 << random.below(8))));
  },
  (bytes, random) => overwrite(bytes, at(bytes, random), random.bytes(1)),
  (bytes, random) => overwrite(bytes, at(bytes, random), Buffer.of(random.pick(TELLING))),
  (bytes, random) => overwrite(bytes, at(bytes, random), random.bytes(2 + random.below(12))),
  (bytes, random) => {
    const from = at(bytes, random);
    return Buffer.concat([bytes.subarray(0, from), bytes.subarray(from + 1 + random.below(16))]);
  },
  (bytes, random) => {
    const from = at(bytes, random);
    const more =
      random.below(2) === 0
        ? random.bytes(1 + random.below(8))
        : bytes.subarray(from, from + 1 + random.below(40));
    return Buffer.concat([bytes.subarray(0, from), more, bytes.subarray(from)]);
  },
  (bytes, random) => bytes.subarray(0, at(bytes, random)),
  (bytes, random) => {
    // Two bytes change places with others: sizes stay, contents do not.
    const [one, two] = [at(bytes, random), at(bytes, random)];
    const copy = Buffer.from(bytes);
    [copy[one], copy[two]] = [copy[two] as number, copy[one] as number];
    return copy;
  },
];

/** A copy of `bytes` that was changed in one to three places. */
export function damaged(bytes: Buffer, random: Seeded): Buffer {
  let changed = bytes;
  for (let left = 1 + random.below(3); left > 0 && changed.length > 0; left -= 1) {
    changed = random.pick(DAMAGES)(changed, random);
  }
  return changed;
}

/** Puts the right checksum into the last eight bytes. */
export function withChecksum(rdb: Buffer): Buffer {
  if (rdb.length < 8) return rdb;
  const body = rdb.subarray(0, rdb.length - 8);
  const crc = new Crc64();
  crc.update(body);
  return Buffer.concat([body, crc.digestBytes()]);
}
