/** A server as far as loading an RDB goes. */
export interface LoaderFacts {
  readonly product: 'redis' | 'valkey';
  /** major × 10,000 + minor × 100 + patch. */
  readonly versionNumber: number;
}

/** First server version with an RDB version; redis and valkey src/rdb.h, `RDB_VERSION`. */
const REDIS: readonly (readonly [server: number, rdb: number])[] = [
  [8_10_00, 15],
  [8_08_00, 14],
  [8_06_00, 13],
  [7_04_00, 12],
  [7_02_00, 11],
  [7_00_00, 10],
  [5_00_00, 9],
  [4_00_00, 8],
  [3_02_00, 7],
  [2_06_00, 6],
];
const VALKEY: readonly (readonly [server: number, rdb: number])[] = [
  [9_02_00, 81],
  [9_00_00, 80],
  [7_02_00, 11],
];
/** The last version that both products read; 12 to 79 are Redis alone, 80 and up Valkey alone. */
const SHARED_VERSION_MAX = 11;
const VALKEY_VERSION_MIN = 80;
/** Versions that brought functions, expiries of fields (Redis, Valkey), metadata of keys. */
const FUNCTIONS_VERSION = 10;
const FIELD_TTL_VERSION = { redis: 12, valkey: VALKEY_VERSION_MIN };
const KEY_META_VERSION = 13;
/** The only type of version 13; what else needs it is metadata of keys. */
const STREAM_4 = '26';

/** The highest RDB version that a server writes, and so the highest it reads. */
export function newestRdbVersion(server: LoaderFacts): number {
  const table = server.product === 'valkey' ? VALKEY : REDIS;
  return table.find(([from]) => server.versionNumber >= from)?.[1] ?? 1;
}

/**
 * Whether a server loads an RDB whose header says this version.
 *
 * Valkey refuses 12 to 79 (Redis from 7.4 on) unless `rdb-version-check` is relaxed, and then still
 * the value types that came with them; Redis refuses 80 and up.
 * @param rdb - Version in the header, and whose file it is; the latter counts from version 12 on.
 */
export function canLoadRdb(
  server: LoaderFacts,
  rdb: { readonly product: 'redis' | 'valkey'; readonly version: number },
): boolean {
  if (rdb.version > newestRdbVersion(server)) return false;
  if (rdb.version <= SHARED_VERSION_MAX) return true;
  if (rdb.version < VALKEY_VERSION_MIN)
    return server.product === 'redis' && rdb.product === 'redis';
  return server.product === 'valkey' && rdb.product === 'valkey';
}

/** What of a snapshot decides who can load it: a part of its summary. */
export interface RdbData {
  readonly product: 'redis' | 'valkey';
  /** In the header. */
  readonly version: number;
  /** Lowest version that has all that is carried. */
  readonly minVersion: number;
  /** Type byte (decimal) to number of keys. */
  readonly types: Readonly<Record<string, number>>;
  /** Whether hashes of types with expiries of fields are carried. */
  readonly fieldTtl: boolean;
  /** Libraries. */
  readonly functions: number;
}

/** In which form a snapshot is sent to a server, or why there is none that it loads. */
export type RdbForm =
  | {
      readonly loads: true;
      /** RDB version to write (`rewriteRdb`); null: as it is, byte for byte. */
      readonly version: number | null;
      /** Whether values change their form on the way (docs/formats/rdb-conversions.md). */
      readonly converted: boolean;
    }
  | {
      readonly loads: false;
      /** What the server lacks, as the rest of a sentence "the target has no ...". */
      readonly lacks: string;
      /** Servers that have it. */
      readonly hint: string;
    };

/**
 * The lowest form of a snapshot that a server loads whole, or what it lacks for all of them.
 *
 * A snapshot that loads as it is stays as it is. Else the version is announced that its types need,
 * and values the server does not know are converted by `rewriteRdb`. Modules are not judged here.
 */
export function rdbFormFor(server: LoaderFacts, data: RdbData): RdbForm {
  const { product, minVersion } = data;
  const version = Math.max(data.version, minVersion);
  if (canLoadRdb(server, { product, version })) {
    return { loads: true, version: null, converted: false };
  }
  const lack = lackOf(server, data);
  if (lack !== null) return { loads: false, ...lack };
  if (canLoadRdb(server, { product, version: minVersion })) {
    return { loads: true, version: minVersion, converted: false };
  }
  const fieldTtl = FIELD_TTL_VERSION[server.product];
  const highest = data.fieldTtl ? fieldTtl : SHARED_VERSION_MAX;
  const loaded = Math.min(newestRdbVersion(server), highest);
  return {
    loads: true,
    version: loaded,
    converted: minVersion > SHARED_VERSION_MAX || minVersion > loaded,
  };
}

function lackOf(
  server: LoaderFacts,
  data: RdbData,
): { readonly lacks: string; readonly hint: string } | null {
  const newest = newestRdbVersion(server);
  if (data.functions > 0 && newest < FUNCTIONS_VERSION) {
    return { lacks: 'functions', hint: 'restore into Redis 7.0, Valkey 7.2 or newer' };
  }
  if (data.fieldTtl && newest < FIELD_TTL_VERSION[server.product]) {
    return {
      lacks: 'expiries of hash fields',
      hint: 'restore into Redis 7.4, Valkey 9.0 or newer',
    };
  }
  const keyMeta =
    data.product === 'redis' &&
    data.minVersion >= KEY_META_VERSION &&
    data.types[STREAM_4] === undefined;
  if (keyMeta && (server.product === 'valkey' || newest < KEY_META_VERSION)) {
    return { lacks: 'metadata of keys', hint: 'restore into Redis 8.6 or newer' };
  }
  return null;
}
