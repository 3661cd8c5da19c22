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
