import { createHash } from 'node:crypto';
import { patternBytes } from './pattern.ts';
import { encodePairs, type BuildPlan } from './sealed-builder.ts';

/** One sealed object with what a reader must make of it. */
export interface SealedVector {
  readonly name: string;
  /** What the reader asks for. */
  readonly kind: number;
  readonly identity: Readonly<Record<string, string>>;
  readonly sealed: string;
  /** Of an object that opens. */
  readonly plain?: { readonly length: number; readonly sha256: string };
  readonly digest?: string;
  /** Of one that is refused. */
  readonly error?: string;
}

/** The data keys a reader has. */
export const VECTOR_KEYS = [
  { id: 'a1'.repeat(16), key: createHash('sha256').update('vector key A').digest() },
  { id: 'b2'.repeat(16), key: createHash('sha256').update('vector key B').digest() },
] as const;

export const VECTOR_IDENTITY = { iid: 'orders', key: 'seg/0', start: '0', timeline: 't1' } as const;
export const IDENTITY_PAIRS: readonly (readonly [string, string])[] =
  Object.entries(VECTOR_IDENTITY);

/** A right object of kind 2 under key A; its salt comes from its name. */
export function planOf(name: string, length: number, change: Partial<BuildPlan> = {}): BuildPlan {
  return {
    dekId: VECTOR_KEYS[0].id,
    dek: VECTOR_KEYS[0].key,
    salt: createHash('sha256').update(name).digest(),
    identity: encodePairs(IDENTITY_PAIRS),
    plain: patternBytes(length, length + 1),
    ...change,
  };
}
