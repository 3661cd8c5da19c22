import { createCipheriv, createHash, createHmac } from 'node:crypto';

// Builds sealed objects byte by byte from docs/formats/sealed-container.md, right and wrong ones. It
// shares no code with libs/crypto, so that the format is not defined by its own faults.

/** What to build. Every default is right; what a vector wants wrong, it names. */
export interface BuildPlan {
  readonly dekId: string;
  readonly dek: Buffer;
  readonly salt: Buffer;
  /** Encoded identity. */
  readonly identity: Buffer;
  readonly plain: Buffer;
  readonly magic?: Buffer;
  readonly version?: number;
  readonly suite?: number;
  readonly kind?: number;
  readonly compression?: number;
  readonly chunkLog2?: number;
  readonly reserved?: Buffer;
  /** Identity length as written, when not the true one. */
  readonly identityLength?: number;
  /** Plain bytes of each chunk, when not as the chunk size says. */
  readonly cuts?: readonly number[];
  /** Bytes of each tag. */
  readonly tagBytes?: number;
  /** Nonce of a chunk, when not base XOR number. */
  readonly nonceOf?: (base: Buffer, chunk: number) => Buffer;
  readonly aad?: Buffer;
}

export interface BuiltObject {
  readonly header: Buffer;
  /** Ciphertext and tag of each chunk. */
  readonly chunks: readonly Buffer[];
  readonly bytes: Buffer;
}

const MAGIC = Buffer.from([0x8b, 0x54, 0x44, 0x45, 0x31, 0x0d, 0x0a, 0x1a]);

/** Pairs in the given order, each field behind its u16 length. */
export function encodePairs(
  pairs: readonly (readonly [string | Buffer, string | Buffer])[],
): Buffer {
  const parts: Buffer[] = [];
  for (const field of pairs.flat()) {
    const bytes = Buffer.from(field as string);
    parts.push(Buffer.from([bytes.length >> 8, bytes.length & 255]), bytes);
  }
  return Buffer.concat(parts);
}

export function buildSealed(plan: BuildPlan): BuiltObject {
  const chunkLog2 = plan.chunkLog2 ?? 12;
  const prelude = Buffer.concat([
    plan.magic ?? MAGIC,
    Buffer.from([plan.version ?? 1, plan.suite ?? 1, plan.kind ?? 2, plan.compression ?? 0]),
    Buffer.from([chunkLog2]),
    plan.reserved ?? Buffer.alloc(3),
    Buffer.from(plan.dekId, 'hex'),
    plan.salt,
  ]);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(plan.identityLength ?? plan.identity.length);
  const hash = createHash('sha512')
    .update(Buffer.concat([prelude, length, plan.identity]))
    .digest();
  const okm = hkdf(
    plan.dek,
    plan.salt,
    Buffer.concat([Buffer.from('tidemark/seal/v1\0'), hash]),
    76,
  );
  const header = Buffer.concat([prelude, okm.subarray(44), length, plan.identity]);
  const cuts = plan.cuts ?? cutsOf(plan.plain.length, 2 ** chunkLog2);
  const chunks: Buffer[] = [];
  let at = 0;
  for (const [number, cut] of cuts.entries()) {
    const base = Buffer.from(okm.subarray(32, 44));
    const nonce = (plan.nonceOf ?? xorNonce)(base, number);
    const piece = plan.plain.subarray(at, at + cut);
    const authTagLength = plan.tagBytes ?? 16;
    const cipher = createCipheriv('aes-256-gcm', okm.subarray(0, 32), nonce, { authTagLength });
    if (plan.aad !== undefined) cipher.setAAD(plan.aad);
    chunks.push(Buffer.concat([cipher.update(piece), cipher.final(), cipher.getAuthTag()]));
    at += cut;
  }
  return { header, chunks, bytes: Buffer.concat([header, ...chunks]) };
}

/** Digest of an object that was built: header, tags, total size. */
export function builtDigest({ header, chunks, bytes }: BuiltObject): string {
  const total = Buffer.alloc(8);
  total.writeBigUInt64BE(BigInt(bytes.length));
  const tags = chunks.map((chunk) => chunk.subarray(chunk.length - 16));
  return createHash('sha256')
    .update(Buffer.concat([header, ...tags, total]))
    .digest('hex');
}

/** Base nonce XOR chunk number, as one 96-bit number. */
export function xorNonce(base: Buffer, chunk: number): Buffer {
  const value = BigInt(`0x${base.toString('hex')}`) ^ BigInt(chunk);
  return Buffer.from(value.toString(16).padStart(24, '0'), 'hex');
}

function cutsOf(length: number, size: number): number[] {
  const full = Math.floor(length / size);
  return [...Array.from({ length: full }, () => size), length % size];
}

/** RFC 5869 with SHA-512, from HMAC alone. */
function hkdf(key: Buffer, salt: Buffer, info: Buffer, byteCount: number): Buffer {
  const prk = createHmac('sha512', salt).update(key).digest();
  let block = Buffer.alloc(0);
  let out = Buffer.alloc(0);
  for (let counter = 1; out.length < byteCount; counter++) {
    const input = Buffer.concat([block, info, Buffer.from([counter])]);
    block = createHmac('sha512', prk).update(input).digest();
    out = Buffer.concat([out, block]);
  }
  return out.subarray(0, byteCount);
}
