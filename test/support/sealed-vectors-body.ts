import { buildSealed, xorNonce, type BuildPlan, type BuiltObject } from './sealed-builder.ts';
import { VECTOR_IDENTITY, planOf, type SealedVector } from './sealed-vector.ts';

const CHUNK = 'TM_SEAL_CHUNK';
const TRUNCATED = 'TM_SEAL_TRUNCATED';
const TWO_CHUNKS = 4096 + 7;

function bad(name: string, error: string, sealed: Buffer): SealedVector {
  const request = { kind: 2, identity: VECTOR_IDENTITY };
  return { name: `bad: ${name}`, ...request, sealed: sealed.toString('hex'), error };
}

/** The chunks of an object put together anew. */
function joined(
  name: string,
  error: string,
  length: number,
  chunksOf: (chunks: Buffer[], built: BuiltObject) => readonly Buffer[],
): SealedVector {
  const object = buildSealed(planOf(name, length));
  const chunks = chunksOf([...object.chunks], object);
  return bad(name, error, Buffer.concat([object.header, ...chunks]));
}

function built(
  name: string,
  error: string,
  length: number,
  change: Partial<BuildPlan>,
): SealedVector {
  return bad(name, error, buildSealed(planOf(name, length, change)).bytes);
}

function cut(name: string, error: string, keep: (object: BuiltObject) => number): SealedVector {
  const object = buildSealed(planOf(name, 24));
  return bad(name, error, object.bytes.subarray(0, keep(object)));
}

function flips(): SealedVector[] {
  const at = (name: string, position: (chunk: Buffer) => number): SealedVector =>
    joined(`changed ${name}`, CHUNK, 24, ([chunk = Buffer.alloc(0)]) => {
      chunk[position(chunk)] = (chunk[position(chunk)] ?? 0) ^ 0x80;
      return [chunk];
    });
  return [
    at('first byte of ciphertext', () => 0),
    at('last byte of ciphertext', (chunk) => chunk.length - 17),
    at('first byte of a tag', (chunk) => chunk.length - 16),
    at('last byte of a tag', (chunk) => chunk.length - 1),
    joined('tag of zeros', CHUNK, 24, ([chunk = Buffer.alloc(0)]) => [
      chunk.fill(0, chunk.length - 16),
    ]),
    joined('changed full chunk before a right final one', CHUNK, TWO_CHUNKS, ([a, b]) => {
      if (a === undefined || b === undefined) return [];
      a[100] = (a[100] ?? 0) ^ 1;
      return [a, b];
    }),
  ];
}

function order(): SealedVector[] {
  const none = Buffer.alloc(0);
  return [
    joined('two chunks swapped', CHUNK, 8192, ([a = none, b = none, c = none]) => [b, a, c]),
    joined('a chunk twice', CHUNK, TWO_CHUNKS, ([a = none, b = none]) => [a, a, b]),
    joined('first chunk dropped', CHUNK, TWO_CHUNKS, ([, b = none]) => [b]),
    joined('middle chunk dropped', CHUNK, 8192, ([a = none, , c = none]) => [a, c]),
    joined('final chunk dropped', TRUNCATED, TWO_CHUNKS, ([a = none]) => [a]),
    joined('empty final chunk dropped', TRUNCATED, 4096, ([a = none]) => [a]),
    joined('final chunk twice', CHUNK, 24, ([a = none]) => [a, a]),
    joined('chunk of another object', CHUNK, TWO_CHUNKS, ([a = none]) => {
      const other = buildSealed(planOf('another object', TWO_CHUNKS));
      return [a, other.chunks[1] ?? none];
    }),
    joined('all chunks of another object', CHUNK, 24, () => {
      return buildSealed(planOf('another object', 24)).chunks;
    }),
    joined('extended by one byte', CHUNK, 24, ([a = none]) => [a, Buffer.from([0])]),
    joined('extended by 16 zero bytes', CHUNK, 24, ([a = none]) => [a, Buffer.alloc(16)]),
    joined('extended by a right empty chunk', CHUNK, 24, () => {
      const plan = planOf('extended by a right empty chunk', 24, { cuts: [24, 0] });
      return buildSealed(plan).chunks;
    }),
  ];
}

function ends(): SealedVector[] {
  const bytes = [0, 1, 7, 8, 50, 99, 100];
  return [
    ...bytes.map((n) => cut(`cut to ${n} bytes`, TRUNCATED, () => n)),
    cut('cut within the identity', TRUNCATED, ({ header }) => header.length - 1),
    cut('header alone', TRUNCATED, ({ header }) => header.length),
    cut('15 bytes after the header', TRUNCATED, ({ header }) => header.length + 15),
    cut('16 bytes after the header', CHUNK, ({ header }) => header.length + 16),
    cut('last byte cut', CHUNK, (object) => object.bytes.length - 1),
    built('final chunk that is full', TRUNCATED, 4096, { cuts: [4096] }),
  ];
}

function otherSchemes(): SealedVector[] {
  const shift = (base: Buffer, chunk: number): Buffer => {
    base[0] = (base[0] ?? 0) ^ chunk;
    return base;
  };
  return [
    built('tag of 4 bytes', CHUNK, 24, { tagBytes: 4 }),
    built('tag of 12 bytes', CHUNK, 24, { tagBytes: 12 }),
    built('tag of 4 bytes on an empty object', TRUNCATED, 0, { tagBytes: 4 }),
    built('short first chunk', CHUNK, 200, { cuts: [100, 100] }),
    built('chunks numbered from one', CHUNK, 24, { nonceOf: (b, n) => xorNonce(b, n + 1) }),
    built('same nonce for all chunks', CHUNK, TWO_CHUNKS, { nonceOf: (base) => base }),
    built('number at the front of the nonce', CHUNK, TWO_CHUNKS, { nonceOf: shift }),
    built('associated data', CHUNK, 24, { aad: Buffer.from('x') }),
  ];
}

/** Objects with a right header whose chunks are refused. */
export function badBodies(): SealedVector[] {
  return [...flips(), ...order(), ...ends(), ...otherSchemes()];
}
