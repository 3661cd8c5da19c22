/** Whose numbering of types and opcodes a file follows: told by its magic, not by its AUX fields. */
export type RdbProduct = 'redis' | 'valkey';

interface TypeFacts {
  readonly name: string;
  /** RDB version that brought it; 0 for a type that is known by name only. */
  readonly version: number;
}

const read = (name: string, version: number): TypeFacts => ({ name, version });
const named = (name: string): TypeFacts => ({ name, version: 0 });

const COMMON: readonly (readonly [number, TypeFacts])[] = [
  [0, read('STRING', 1)],
  [1, read('LIST', 1)],
  [2, read('SET', 1)],
  [3, read('ZSET', 1)],
  [4, read('HASH', 1)],
  [5, read('ZSET_2', 8)],
  [6, named('MODULE_PRE_GA')],
  [7, read('MODULE_2', 8)],
  [9, read('HASH_ZIPMAP', 2)],
  [10, read('LIST_ZIPLIST', 2)],
  [11, read('SET_INTSET', 2)],
  [12, read('ZSET_ZIPLIST', 2)],
  [13, read('HASH_ZIPLIST', 4)],
  [14, read('LIST_QUICKLIST', 7)],
  [15, read('STREAM_LISTPACKS', 9)],
  [16, read('HASH_LISTPACK', 10)],
  [17, read('ZSET_LISTPACK', 10)],
  [18, read('LIST_QUICKLIST_2', 10)],
  [19, read('STREAM_LISTPACKS_2', 10)],
  [20, read('SET_LISTPACK', 11)],
  [21, read('STREAM_LISTPACKS_3', 11)],
];

const TYPES: Readonly<Record<RdbProduct, ReadonlyMap<number, TypeFacts>>> = {
  redis: new Map([
    ...COMMON,
    [22, named('HASH_METADATA_PRE_GA of Redis 7.4-rc')],
    [23, named('HASH_LISTPACK_EX_PRE_GA of Redis 7.4-rc')],
    [24, read('HASH_METADATA', 12)],
    [25, read('HASH_LISTPACK_EX', 12)],
    [26, read('STREAM_LISTPACKS_4', 13)],
    [27, named('STREAM_LISTPACKS_5 of Redis 8.8')],
    [28, named('ARRAY of Redis 8.8')],
    [29, named('HASH_TMPL_LP of Redis 8.10')],
    [30, named('HASH_TMPL_LP_REF of Redis 8.10')],
    [31, named('HASH_TMPL_ARRAY of Redis 8.10')],
    [32, named('HASH_TMPL_ARRAY_REF of Redis 8.10')],
    [33, named('GCRA of Redis 8.10')],
  ]),
  valkey: new Map([...COMMON, [22, read('HASH_2', 80)], [23, named('PATH_HASH of Valkey 9.2')]]),
};

/** The name of a value type, or null for a byte that no release is known to use. */
export function typeName(product: RdbProduct, type: number): string | null {
  return TYPES[product].get(type)?.name ?? null;
}

/** The RDB version that brought a type, or 0 when Tidemark does not read the type. */
export function typeVersion(product: RdbProduct, type: number): number {
  return TYPES[product].get(type)?.version ?? 0;
}

/** Whether values of a type can hold fields with an expiry of their own. */
export function hasFieldTtl(product: RdbProduct, type: number): boolean {
  return product === 'redis' ? type === 24 || type === 25 : type === 22;
}

/**
 * The lowest version Tidemark writes or names. From here on times are little endian and there is a
 * checksum, and the oldest supported server (6.0) reads it.
 */
export const VERSION_FLOOR = 9;
/** The version that brought functions in their final form. */
export const VERSION_FUNCTION2 = 10;
/** The version that brought KEY_META. */
export const VERSION_KEY_META = 13;
/** Up to here the types of Redis and Valkey are the same. */
export const VERSION_SHARED_LAST = 11;
/** The first version of Valkey's own numbering. */
export const VERSION_VALKEY_FIRST = 80;

/** Which header versions are read: 14, 15 and 81 hold types that are refused when they appear. */
export function isKnownVersion(product: RdbProduct, version: number): boolean {
  return product === 'redis' ? version >= 1 && version <= 15 : version >= 80 && version <= 81;
}
