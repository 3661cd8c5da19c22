import { createHash } from 'node:crypto';
import { buildSealed, encodePairs, type BuildPlan } from './sealed-builder.ts';
import {
  IDENTITY_PAIRS,
  VECTOR_IDENTITY,
  VECTOR_KEYS,
  planOf,
  type SealedVector,
} from './sealed-vector.ts';

const FORMAT = 'TM_SEAL_FORMAT';
const LIMIT = 'TM_SEAL_LIMIT';
const COMMITMENT = 'TM_SEAL_COMMITMENT';
const IDENTITY = 'TM_SEAL_IDENTITY';

function bad(
  name: string,
  error: string,
  sealed: Buffer,
  ask: Partial<SealedVector> = {},
): SealedVector {
  const request = { kind: 2, identity: VECTOR_IDENTITY, ...ask };
  return { name: `bad: ${name}`, ...request, sealed: sealed.toString('hex'), error };
}

/** A field that is wrong from the start: key and commitment fit it. */
function built(name: string, error: string, change: Partial<BuildPlan>): SealedVector {
  return bad(name, error, buildSealed(planOf(name, 24, change)).bytes);
}

/** A right object whose bytes were changed after. */
function edited(
  name: string,
  error: string,
  edit: (bytes: Buffer) => Buffer | undefined,
): SealedVector {
  const { bytes } = buildSealed(planOf(name, 24));
  return bad(name, error, edit(bytes) ?? bytes);
}

function fixedFields(): SealedVector[] {
  const flips = Array.from({ length: 8 }, (_, i) =>
    edited(`magic byte ${i}`, FORMAT, (bytes) => void (bytes[i] = (bytes[i] ?? 0) ^ 0x20)),
  );
  const log2s = [0, 11, 23, 255];
  return [
    ...flips,
    built('magic damaged by a text-mode transfer', FORMAT, {
      magic: Buffer.from('8b544445310a1a00', 'hex'),
    }),
    ...[0, 2, 255].map((version) => built(`version ${version}`, FORMAT, { version })),
    ...[0, 2, 255].map((suite) => built(`suite ${suite}`, FORMAT, { suite })),
    ...[0, 11, 255].map((kind) => built(`kind ${kind}`, FORMAT, { kind })),
    ...[4, 255].map((n) => built(`compression ${n}`, FORMAT, { compression: n })),
    ...log2s.map((n) => built(`chunk size 2^${n}`, FORMAT, { chunkLog2: n, cuts: [24] })),
    ...[0, 1, 2].map((i) => {
      const reserved = Buffer.alloc(3);
      reserved[i] = 1;
      return built(`reserved byte ${i}`, FORMAT, { reserved });
    }),
  ];
}

function keysAndCommitment(): SealedVector[] {
  const set = (at: number, value: number) => (bytes: Buffer) => void (bytes[at] = value);
  const flip = (at: number) => (bytes: Buffer) => void (bytes[at] = (bytes[at] ?? 0) ^ 1);
  const kind5 = edited('kind edited and asked for', COMMITMENT, set(10, 5));
  return [
    edited('commitment, first byte', COMMITMENT, flip(64)),
    edited('commitment, last byte', COMMITMENT, flip(95)),
    edited('commitment of zeros', COMMITMENT, (bytes) => bytes.fill(0, 64, 96)),
    edited('salt, first byte', COMMITMENT, flip(32)),
    edited('salt, last byte', COMMITMENT, flip(63)),
    edited('compression edited', COMMITMENT, set(11, 3)),
    edited('chunk size edited', COMMITMENT, set(12, 13)),
    { ...kind5, kind: 5 },
    edited('data key id of another known key', COMMITMENT, (bytes) => {
      bytes.write(VECTOR_KEYS[1].id, 16, 'hex');
      return bytes;
    }),
    built('data key id that nobody has', 'TM_KEY_MISSING', { dekId: 'cc'.repeat(16) }),
    built('other data key under the same id', COMMITMENT, {
      dek: createHash('sha256').update('another key').digest(),
    }),
  ];
}

function identityAsked(): SealedVector[] {
  const sealed = (name: string): Buffer => buildSealed(planOf(name, 24)).bytes;
  const ask = (name: string, request: Partial<SealedVector>): SealedVector =>
    bad(name, IDENTITY, sealed(name), request);
  const { iid, key, start } = VECTOR_IDENTITY;
  const other = { ...VECTOR_IDENTITY, iid: 'orderz' };
  const moved = edited('identity edited and asked for', COMMITMENT, (bytes) =>
    Buffer.from(bytes.toString('latin1').replace('orders', 'orderz'), 'latin1'),
  );
  return [
    ask('asked for another kind', { kind: 4 }),
    ask('asked for another instance', { identity: other }),
    ask('asked for another offset', { identity: { ...VECTOR_IDENTITY, start: '1' } }),
    ask('asked for one name less', { identity: { iid, key, start } }),
    ask('asked for one name more', { identity: { ...VECTOR_IDENTITY, writer: 'w1' } }),
    ask('asked for no identity', { identity: {} }),
    { ...moved, identity: other },
  ];
}

function identityEncodings(): SealedVector[] {
  const pairs = (name: string, error: string, list: Parameters<typeof encodePairs>[0]) =>
    built(`identity: ${name}`, error, { identity: encodePairs(list) });
  const raw = (name: string, identity: Buffer) => built(`identity: ${name}`, FORMAT, { identity });
  const right = encodePairs(IDENTITY_PAIRS);
  const many = Array.from({ length: 33 }, (_, i) => [`n${String(i + 10)}`, 'v'] as const);
  const big = Array.from({ length: 5 }, (_, i) => [`n${i}`, 'v'.repeat(900)] as const);
  const claimed = (by: number) => ({ identityLength: right.length + by });
  return [
    pairs('names out of order', FORMAT, [...IDENTITY_PAIRS].reverse()),
    pairs('a name twice', FORMAT, [['iid', 'orders'], ...IDENTITY_PAIRS]),
    pairs('an empty name', FORMAT, [['', 'x']]),
    pairs('a name with a space', FORMAT, [['a b', 'x']]),
    pairs('a name with a NUL', FORMAT, [['a\0', 'x']]),
    pairs('a name that begins with a digit', FORMAT, [['1a', 'x']]),
    pairs('a name of 65 bytes', FORMAT, [['n'.repeat(65), 'x']]),
    pairs('a name that is not ASCII', FORMAT, [['ä', 'x']]),
    pairs('a value that is not UTF-8', FORMAT, [['key', Buffer.from([0xff])]]),
    pairs('a value of overlong UTF-8', FORMAT, [['key', Buffer.from([0xc0, 0xaf])]]),
    pairs('a value with a lone surrogate', FORMAT, [['key', Buffer.from([0xed, 0xa0, 0x80])]]),
    pairs('a value cut in a letter', FORMAT, [['key', Buffer.from([0xe2, 0x82])]]),
    pairs('33 pairs', LIMIT, many),
    pairs('a value of 1025 bytes', LIMIT, [['key', 'v'.repeat(1025)]]),
    pairs('over 4096 bytes', LIMIT, big),
    raw('one byte after the last pair', Buffer.concat([right, Buffer.from([0])])),
    raw('a name without a value', encodePairs([['iid', '']]).subarray(0, 5)),
    raw('a length past the end', Buffer.from([0, 3, 0x69, 0x69, 0x64, 0xff, 0xff, 0x6f])),
    built('identity: length one too many', FORMAT, claimed(1)),
    built('identity: length one too few', FORMAT, claimed(-1)),
    built('identity: length 4097', LIMIT, { identityLength: 4097 }),
    built('identity: length of 4 GiB', LIMIT, { identityLength: 0xffffffff }),
  ];
}

/** Objects whose header is refused. */
export function badHeaders(): SealedVector[] {
  return [...fixedFields(), ...keysAndCommitment(), ...identityAsked(), ...identityEncodings()];
}
