/**
 * What a command can reach, as `visitKeys` answers it. From `flushDb` on the effect is not
 * bounded by the keys that were visited.
 */
export const KEY_EFFECT = {
  /** No effect on any dataset: SELECT, MULTI, EXEC, PING, PUBLISH. */
  none: 0,
  /** One key, and nothing else is read. */
  single: 1,
  /** Several keys, all of them visited (COPY and MOVE visit the key of the other database too). */
  multi: 2,
  /** All keys of the command's database: FLUSHDB. */
  flushDb: 3,
  /** All keys of all databases: FLUSHALL. */
  flushAll: 4,
  /** Two databases change places: SWAPDB, see `swappedDatabases`. */
  swapDb: 5,
  /** Function or script libraries: FUNCTION, SCRIPT. No key. */
  functions: 6,
  /** Keys of hash slots, or the slot map: SFLUSH, TRIMSLOTS, CLUSTER. */
  slots: 7,
  /** May read and write anything; keys that were visited are among those. */
  unknown: 8,
} as const;

/** One of the numbers of {@link KEY_EFFECT}. */
export type KeyEffect = (typeof KEY_EFFECT)[keyof typeof KEY_EFFECT];

/** Whether the effect reaches keys that were not visited. */
export function isGlobalEffect(effect: KeyEffect): boolean {
  return effect >= KEY_EFFECT.flushDb;
}
