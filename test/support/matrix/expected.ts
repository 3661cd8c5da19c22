import type { Dataset, MatrixServer } from './matrix-server.ts';

/** Every recorded second is restored, and the full oracle is equal. */
export const EQUAL = 'equal';

/**
 * The target is too old for what the data hold: functions came with Redis 7.0, expiries of hash fields
 * with Redis 7.4 and Valkey 9.0.
 */
const TOO_OLD = 'TM_TARGET_RDB_VERSION';

/** Targets that refuse the full dataset of a source; all others restore every second of both. */
const REFUSED: Readonly<Record<MatrixServer, Readonly<Partial<Record<MatrixServer, string>>>>> = {
  'redis 6.0': {},
  'redis 7.0': { 'redis 6.0': TOO_OLD },
  'redis 8.0': { 'redis 6.0': TOO_OLD, 'redis 7.0': TOO_OLD, 'valkey 8.1': TOO_OLD },
  'redis newest': { 'redis 6.0': TOO_OLD, 'redis 7.0': TOO_OLD, 'valkey 8.1': TOO_OLD },
  'valkey 8.1': { 'redis 6.0': TOO_OLD },
  'valkey newest': { 'redis 6.0': TOO_OLD, 'redis 7.0': TOO_OLD, 'valkey 8.1': TOO_OLD },
};

/** What comes of a source's dataset in a target: equal, or the code of the refusal. */
export function expectedOutcome(
  source: MatrixServer,
  target: MatrixServer,
  dataset: Dataset,
): string {
  return (dataset === 'full' ? REFUSED[source][target] : undefined) ?? EQUAL;
}
