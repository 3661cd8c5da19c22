import { createHash } from 'node:crypto';
import { buildSealed, builtDigest, encodePairs, type BuildPlan } from './sealed-builder.ts';
import { VECTOR_IDENTITY, VECTOR_KEYS, planOf, type SealedVector } from './sealed-vector.ts';
import { badBodies } from './sealed-vectors-body.ts';
import { badHeaders } from './sealed-vectors-header.ts';

function good(
  name: string,
  length: number,
  change: Partial<BuildPlan> = {},
  identity: Readonly<Record<string, string>> = VECTOR_IDENTITY,
): SealedVector {
  const plan = planOf(name, length, change);
  const built = buildSealed(plan);
  const sha256 = createHash('sha256').update(plan.plain).digest('hex');
  return {
    name,
    kind: plan.kind ?? 2,
    identity,
    sealed: built.bytes.toString('hex'),
    plain: { length, sha256 },
    digest: builtDigest(built),
  };
}

function withIdentity(name: string, pairs: readonly (readonly [string, string])[]): SealedVector {
  return good(name, 20, { identity: encodePairs(pairs) }, Object.fromEntries(pairs));
}

function goodVectors(): SealedVector[] {
  const lengths = [0, 1, 15, 16, 17, 4095, 4096, 4097, 8192];
  const many = Array.from({ length: 3 }, (_, i) => [`k${i}`, 'v'.repeat(1023)] as const);
  const rest = 4096 - encodePairs(many).length - 6;
  return [
    ...lengths.map((length) => good(`good: ${length} bytes in chunks of 4096`, length)),
    ...Array.from({ length: 10 }, (_, i) => good(`good: kind ${i + 1}`, 9, { kind: i + 1 })),
    ...[0, 1, 2, 3].map((n) => good(`good: compression ${n}`, 9, { compression: n })),
    ...Array.from({ length: 11 }, (_, i) =>
      good(`good: chunk size 2^${12 + i}`, 33, { chunkLog2: 12 + i }),
    ),
    good('good: other data key', 40, { dekId: VECTOR_KEYS[1].id, dek: VECTOR_KEYS[1].key }),
    withIdentity('good: no identity', []),
    withIdentity('good: empty value', [['key', '']]),
    withIdentity('good: text of several bytes a letter', [
      ['key', '\ufeffGrüße-北京-🌊\u0000\ufeff'],
    ]),
    withIdentity('good: longest name', [['n'.repeat(64), 'v']]),
    withIdentity('good: identity of 4096 bytes', [...many, ['k3', 'v'.repeat(rest)]]),
    withIdentity('good: upper case sorts before lower case', [
      ['B', '1'],
      ['a', '2'],
    ]),
  ];
}

/** Every vector, the same at every call. */
export function makeVectors(): readonly SealedVector[] {
  return [...goodVectors(), ...badHeaders(), ...badBodies()];
}

/** The content of test/fixtures/crypto/sealed-vectors.json. */
export function vectorsAsJson(): string {
  const keys = VECTOR_KEYS.map(({ id, key }) => ({ id, key: key.toString('hex') }));
  const format = 'tidemark sealed container, version 1';
  return JSON.stringify({ format, keys, vectors: makeVectors() }, null, 1) + '\n';
}
