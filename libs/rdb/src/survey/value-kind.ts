/** What a value is to a user, whatever its encoding; as the command TYPE names it. */
export type ValueKind = 'string' | 'list' | 'set' | 'zset' | 'hash' | 'stream' | 'module';

/** Kinds by type byte; 22 holds for Valkey, the only one whose 22 is read. */
const KINDS: Readonly<Record<ValueKind, readonly number[]>> = {
  string: [0],
  list: [1, 10, 14, 18],
  set: [2, 11, 20],
  zset: [3, 5, 12, 17],
  hash: [4, 9, 13, 16, 22, 24, 25],
  stream: [15, 19, 21, 26],
  module: [7],
};

/** All kinds in the order they are listed. */
export const VALUE_KINDS = Object.keys(KINDS) as readonly ValueKind[];

const BY_TYPE: readonly (ValueKind | undefined)[] = Array.from({ length: 256 }, (_, type) =>
  VALUE_KINDS.find((kind) => KINDS[kind].includes(type)),
);

/** The kind of a type byte that is read. */
export function valueKind(type: number): ValueKind {
  return BY_TYPE[type] ?? 'module';
}
