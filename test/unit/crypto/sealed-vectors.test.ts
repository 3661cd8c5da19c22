import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { KeyError, TidemarkError } from '@tidemark/core';
import { Opener, SealedDigest, openBytes, type DataKey, type ObjectKind } from '@tidemark/crypto';
import { describe, expect, it } from 'vitest';
import { buildSealed, builtDigest, encodePairs } from '../../support/sealed-builder.ts';
import { IDENTITY_PAIRS, VECTOR_IDENTITY, planOf } from '../../support/sealed-vector.ts';
import type { SealedVector } from '../../support/sealed-vector.ts';
import { vectorsAsJson } from '../../support/sealed-vectors.ts';

interface VectorFile {
  readonly keys: readonly { readonly id: string; readonly key: string }[];
  readonly vectors: readonly SealedVector[];
}

const path = fileURLToPath(new URL('../../fixtures/crypto/sealed-vectors.json', import.meta.url));
if (process.env['TIDEMARK_WRITE_FIXTURES'] === '1') writeFileSync(path, vectorsAsJson());
const file = JSON.parse(readFileSync(path, 'utf8')) as VectorFile;
const good = file.vectors.filter((vector) => vector.error === undefined);
const bad = file.vectors.filter((vector) => vector.error !== undefined);

function keyOf(id: string): DataKey {
  const found = file.keys.find((key) => key.id === id);
  if (found === undefined) throw new KeyError('TM_KEY_MISSING', 'no such key');
  return { id, key: Buffer.from(found.key, 'hex') };
}

const optionsOf = (vector: SealedVector) => ({
  keyOf,
  kind: vector.kind as ObjectKind,
  identity: vector.identity,
});

function codeOf(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    if (error instanceof TidemarkError) return error.code;
    throw error;
  }
  return 'opened';
}

/** Opens in pushes of one size and counts the plain bytes given out before an error. */
function openInPushes(vector: SealedVector, size: number): { code: string; released: number } {
  const sealed = Buffer.from(vector.sealed, 'hex');
  const opener = new Opener(optionsOf(vector));
  let released = 0;
  const code = codeOf(() => {
    for (let at = 0; at < sealed.length; at += size) {
      for (const plain of opener.push(sealed.subarray(at, at + size))) released += plain.length;
    }
    opener.end();
  });
  return { code, released };
}

describe('sealed container vectors', () => {
  it('are at least 80, each with a name of its own, and are what the builder makes', () => {
    expect(new Set(file.vectors.map(({ name }) => name)).size).toBe(file.vectors.length);
    expect(good.length).toBeGreaterThanOrEqual(30);
    expect(bad.length).toBeGreaterThanOrEqual(50);
    expect(readFileSync(path, 'utf8') === vectorsAsJson()).toBe(true);
  });

  it.each(good.map((vector) => [vector.name, vector] as const))('%s', (_, vector) => {
    const sealed = Buffer.from(vector.sealed, 'hex');
    const plain = openBytes(sealed, optionsOf(vector));
    expect(plain.length).toBe(vector.plain?.length);
    expect(createHash('sha256').update(plain).digest('hex')).toBe(vector.plain?.sha256);
    const opener = new Opener(optionsOf(vector));
    opener.push(sealed);
    opener.end();
    expect(opener.digest()).toBe(vector.digest);
    const keyless = new SealedDigest();
    keyless.push(sealed);
    expect(keyless.end()).toBe(vector.digest);
  });

  it.each(bad.map((vector) => [vector.name, vector] as const))('%s', (_, vector) => {
    const sealed = Buffer.from(vector.sealed, 'hex');
    expect(codeOf(() => openBytes(sealed, optionsOf(vector)))).toBe(vector.error);
    for (const size of [1, 4111]) {
      const { code, released } = openInPushes(vector, size);
      expect(code).toBe(vector.error);
      expect(released % 4096).toBe(0); // whole proven chunks at most
    }
  });
});

describe('sealed objects of many chunks', () => {
  const length = (chunks: number): number => (chunks - 1) * 4096 + 1;

  it.each([256, 257, 258])('open with %i chunks and keep their digest', (chunks) => {
    const plan = planOf(`${chunks} chunks`, length(chunks));
    const object = buildSealed(plan);
    expect(object.chunks.length).toBe(chunks);
    const opener = new Opener({ keyOf, kind: 2, identity: VECTOR_IDENTITY });
    const plain = Buffer.concat([...opener.push(object.bytes), ...opener.end()]);
    expect(plain.equals(plan.plain)).toBe(true);
    expect(opener.digest()).toBe(builtDigest(object));
  });

  it('do not confuse chunk 0 with chunk 256', () => {
    const { header, chunks } = buildSealed(planOf('wrap', length(258)));
    const swapped = [...chunks];
    [swapped[0], swapped[256]] = [chunks[256]!, chunks[0]!];
    const sealed = Buffer.concat([header, ...swapped]);
    const ask = { keyOf, kind: 2, identity: VECTOR_IDENTITY } as const;
    expect(codeOf(() => openBytes(sealed, ask))).toBe('TM_SEAL_CHUNK');
  });

  it('refuse every swap, drop and repetition of five chunks', () => {
    const { header, chunks } = buildSealed(planOf('five', length(5)));
    const ask = { keyOf, kind: 2, identity: VECTOR_IDENTITY } as const;
    const open = (order: readonly number[]): string =>
      codeOf(() => openBytes(Buffer.concat([header, ...order.map((i) => chunks[i]!)]), ask));
    const right = [0, 1, 2, 3, 4];
    expect(open(right)).toBe('opened');
    for (const i of right) {
      expect(open(right.filter((j) => j !== i))).toMatch(/^TM_SEAL_(CHUNK|TRUNCATED)$/);
      expect(open([...right.slice(0, i), i, ...right.slice(i)])).toBe('TM_SEAL_CHUNK');
      for (const j of right.slice(i + 1)) {
        expect(open(right.map((k) => (k === i ? j : k === j ? i : k)))).toBe('TM_SEAL_CHUNK');
      }
    }
  });
});

describe('a small object of three chunks', () => {
  const plan = planOf('exhaustive', 8192 + 5, { identity: encodePairs(IDENTITY_PAIRS) });
  const { bytes } = buildSealed(plan);
  const ask = { keyOf, kind: 2, identity: VECTOR_IDENTITY } as const;

  it('is refused with any one byte changed', () => {
    const accepted: number[] = [];
    const codes = new Set<string>();
    for (let at = 0; at < bytes.length; at++) {
      const changed = Buffer.from(bytes);
      changed[at] = (changed[at] ?? 0) ^ (1 << (at % 8));
      const code = codeOf(() => openBytes(changed, ask));
      codes.add(code);
      if (code === 'opened') accepted.push(at);
    }
    expect(accepted).toEqual([]);
    const expected = ['FORMAT', 'LIMIT', 'COMMITMENT', 'IDENTITY', 'CHUNK'];
    for (const name of expected) expect(codes).toContain(`TM_SEAL_${name}`);
  });

  it('is refused with any one bit of its header changed', () => {
    const accepted: number[] = [];
    for (let bit = 0; bit < (bytes.length - 8192 - 53) * 8; bit++) {
      const changed = Buffer.from(bytes);
      changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      if (codeOf(() => openBytes(changed, ask)) === 'opened') accepted.push(bit);
    }
    expect(accepted).toEqual([]);
  });

  it('is refused at every shorter and at any longer length', () => {
    const accepted: number[] = [];
    for (let length = 0; length < bytes.length; length++) {
      const code = codeOf(() => openBytes(bytes.subarray(0, length), ask));
      if (code !== 'TM_SEAL_TRUNCATED' && code !== 'TM_SEAL_CHUNK') accepted.push(length);
    }
    for (const extra of [1, 15, 16, 17, 4091, 4096, 4112, 9000]) {
      const longer = Buffer.concat([bytes, Buffer.alloc(extra, 7)]);
      if (codeOf(() => openBytes(longer, ask)) === 'opened') accepted.push(bytes.length + extra);
    }
    expect(accepted).toEqual([]);
  });
});

describe('another decoder', () => {
  const tools = ['python3', 'openssl'].filter((tool) => spawnSync(tool, ['version']).error);
  const why = tools.length > 0 ? ` (not run: no ${tools.join(', ')})` : '';

  it.skipIf(tools.length > 0)(`opens every good vector to the same bytes${why}`, () => {
    const script = fileURLToPath(new URL('../../support/open-sealed.py', import.meta.url));
    const lines = execFileSync('python3', [script, path], { encoding: 'utf8' }).trim().split('\n');
    const opened = lines.map((line) => JSON.parse(line) as Record<string, string>);
    expect(opened).toEqual(
      good.map(({ name, plain, digest }) => ({ name, sha256: plain?.sha256, digest })),
    );
  });
});
