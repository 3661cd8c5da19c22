/** Bytes of a needle that are compared: too many for a chance hit, few enough to find a fragment. */
const NEEDLE_BYTES = 10;

interface Needle {
  readonly bytes: Buffer;
  readonly canary: number;
  readonly form: string;
}

/** A canary that was found. */
export interface Hit {
  /** Number of the canary. */
  readonly canary: number;
  /** In which form: `raw`, `hex`, `base64`, …; what it was expanded from stands in front. */
  readonly form: string;
  readonly offset: number;
}

/**
 * Finds canaries in bytes, in every form that a program is likely to write bytes in.
 *
 * Of each form several short pieces are looked for, so that a fragment is enough: a canary that is
 * cut by a compressor's literal run or by a chunk is found too.
 */
export class NeedleIndex {
  readonly #byFirst = new Map<number, Needle[]>();
  /** One bit for each value of the first two bytes: most positions end here. */
  readonly #begins = new Uint8Array(65_536);

  constructor(canaries: readonly Buffer[]) {
    for (const [canary, bytes] of canaries.entries()) {
      for (const [form, written] of formsOf(bytes)) this.#add(canary, form, written);
    }
  }

  /** Calls back for each hit. */
  search(bytes: Buffer, onHit: (hit: Hit) => void): void {
    const end = bytes.length - NEEDLE_BYTES;
    for (let at = 0; at <= end; at++) {
      const two = ((bytes[at] as number) << 8) | (bytes[at + 1] as number);
      if (this.#begins[two] === 0) continue;
      const needles = this.#byFirst.get(bytes.readUInt32BE(at));
      if (needles === undefined) continue;
      for (const { bytes: wanted, canary, form } of needles) {
        if (bytes.compare(wanted, 0, wanted.length, at, at + wanted.length) === 0) {
          onHit({ canary, form, offset: at });
        }
      }
    }
  }

  #add(canary: number, form: string, written: Buffer): void {
    // At the beginning, in the middle and at the end.
    const last = written.length - NEEDLE_BYTES;
    for (const at of [0, last >> 1, last]) {
      const bytes = written.subarray(at, at + NEEDLE_BYTES);
      const first = bytes.readUInt32BE(0);
      this.#begins[bytes.readUInt16BE(0)] = 1;
      const known = this.#byFirst.get(first);
      if (known === undefined) this.#byFirst.set(first, [{ bytes, canary, form }]);
      else known.push({ bytes, canary, form });
    }
  }
}

/** Every form of a canary, without what depends on the bytes around it. */
function formsOf(canary: Buffer): [string, Buffer][] {
  const hex = canary.toString('hex');
  const forms: [string, Buffer][] = [
    ['raw', canary],
    ['hex', Buffer.from(hex)],
    ['hex', Buffer.from(hex.toUpperCase())],
  ];
  const latin1AsUtf8 = Buffer.from(canary.toString('latin1'), 'utf8');
  if (latin1AsUtf8.length > canary.length) forms.push(['utf8', latin1AsUtf8]);
  for (const alignment of [0, 1, 2]) {
    const shifted = Buffer.concat([Buffer.alloc(alignment), canary]);
    for (const alphabet of ['base64', 'base64url'] as const) {
      // The first and last characters also hold bits of the neighbours.
      const from = alignment === 0 ? 0 : 4;
      const text = shifted.toString(alphabet).slice(from, Math.floor((shifted.length * 8) / 6));
      forms.push([alphabet, Buffer.from(text.slice(0, -1))]);
    }
  }
  return forms;
}
