const SLOTS = 16_384;

/**
 * The slot of a key in a cluster: CRC16 (XMODEM) of the part between the first `{` and the next `}`
 * when there is something between them, else of the whole key.
 * @see redis src/cluster.c, keyHashSlot
 */
export function slotOf(key: Buffer): number {
  const open = key.indexOf(0x7b);
  const close = open < 0 ? -1 : key.indexOf(0x7d, open + 1);
  return crc16(close > open + 1 ? key.subarray(open + 1, close) : key) % SLOTS;
}

/** A name with the given beginning that falls into a slot. About 16,384 are tried. */
export function nameInSlot(prefix: string, slot: number): Buffer {
  for (let n = 0; ; n++) {
    const name = Buffer.from(`${prefix}{${n.toString(36)}}`);
    if (slotOf(name) === slot) return name;
  }
}

function crc16(bytes: Buffer): number {
  let crc = 0;
  for (const byte of bytes) {
    crc ^= byte << 8;
    for (let bit = 0; bit < 8; bit++) {
      crc = (crc & 0x8000) === 0 ? crc << 1 : (crc << 1) ^ 0x1021;
    }
    crc &= 0xffff;
  }
  return crc;
}
