import {
  hasFieldTtl,
  type RdbProduct,
  typeName,
  typeVersion,
  VERSION_SHARED_LAST,
} from '../format/types.ts';
import type { NewFieldExpiry } from './field-expiry.ts';
import { fromHash2, fromMetadata, hash2ToMetadata } from './field-hashes.ts';
import { newTriples, triplesToHash, triplesToHash2 } from './field-listpack.ts';
import { listToZiplists, unpackSortedSet, unpackStrings } from './packed-values.ts';
import { olderStream, type StreamType } from './stream.ts';
import type { ConvertValue } from './value-converter.ts';

/** What readers of the written form know. */
export interface ReadersOf {
  readonly product: RdbProduct;
  /** RDB version. */
  readonly version: number;
}

/** What becomes of the values of one type: copied, converted, or refused with the reason. */
export type TypePlan =
  | { readonly kind: 'copy'; readonly type: number }
  | {
      readonly kind: 'convert';
      readonly type: number;
      /** @param rule - Given when expiries change. */
      readonly convert: (rule: NewFieldExpiry) => ConvertValue;
    }
  | {
      readonly kind: 'refuse';
      readonly type: number;
      readonly needed: number;
      readonly reason: string;
    };

const VERSION_FIELD_TTL = typeVersion('redis', 24);
const plain = (convert: ConvertValue) => (): ConvertValue => convert;

/** Older forms of types that both products share. */
const OLDER: ReadonlyMap<number, { readonly type: number; readonly convert: ConvertValue }> =
  new Map([
    [16, { type: 4, convert: unpackStrings(2) }],
    [17, { type: 5, convert: unpackSortedSet }],
    [18, { type: 14, convert: listToZiplists }],
    [20, { type: 2, convert: unpackStrings(1) }],
  ]);

function isStream(type: number): type is StreamType {
  return type === 15 || type === 19 || type === 21 || type === 26;
}

function newestStream(readers: ReadersOf): StreamType {
  const types = [21, 19] as const;
  return types.find((type) => typeVersion(readers.product, type) <= readers.version) ?? 15;
}

/** Whether readers know values of a type as they are. */
export function knowsType(readers: ReadersOf, product: RdbProduct, type: number): boolean {
  const needed = typeVersion(product, type);
  return (
    needed <= readers.version && (needed <= VERSION_SHARED_LAST || product === readers.product)
  );
}

function planFieldHash(type: number, readers: ReadersOf): TypePlan | null {
  if (readers.product === 'valkey') {
    if (type === 22) return { kind: 'convert', type: 22, convert: fromHash2 };
    const convert =
      type === 25 ? triplesToHash2 : (rule: NewFieldExpiry) => fromMetadata('valkey', rule);
    return { kind: 'convert', type: 22, convert };
  }
  if (readers.version >= VERSION_FIELD_TTL) {
    if (type === 25) return { kind: 'convert', type: 25, convert: newTriples };
    const convert =
      type === 22 ? hash2ToMetadata : (rule: NewFieldExpiry) => fromMetadata('redis', rule);
    return { kind: 'convert', type: 24, convert };
  }
  // Redis keeps this form when the last expiry is taken away: whether there is one is seen later.
  return type === 25 ? { kind: 'convert', type: 4, convert: triplesToHash } : null;
}

/**
 * What becomes of the values of a type on the way to readers.
 * @param product - Whose numbering `type` follows.
 * @param expiriesChange - Whether expiries of fields are to be changed.
 */
export function planType(
  product: RdbProduct,
  type: number,
  readers: ReadersOf,
  expiriesChange: boolean,
): TypePlan {
  const fields = hasFieldTtl(product, type);
  if (knowsType(readers, product, type) && !(fields && expiriesChange))
    return { kind: 'copy', type };
  const fieldPlan = fields ? planFieldHash(type, readers) : null;
  if (fieldPlan !== null) return fieldPlan;
  if (isStream(type)) {
    const older = newestStream(readers);
    return { kind: 'convert', type: older, convert: plain(olderStream(type, older)) };
  }
  const older = OLDER.get(type);
  if (older !== undefined) {
    return { kind: 'convert', type: older.type, convert: plain(older.convert) };
  }
  const needed = typeVersion(product, type);
  const name = typeName(product, type) ?? 'not known';
  const reason = `type ${type} (${name}) of ${product} needs RDB version ${needed}`;
  return { kind: 'refuse', type, needed, reason };
}
