import type { Scene, Words } from './scene.ts';

const KINDS = [
  ...['string', 'counter', 'float', 'bits', 'hll', 'list', 'numbers', 'set', 'intset'],
  ...['zset', 'geo', 'hash', 'stream', 'past'],
];
const kind = (at: Scene): string => at.dice.pick(KINDS);
const database = (at: Scene): number => at.dice.between(0, at.databases - 1);

/** Expiry of existing keys, deletion, and keys that change their name or database. */
export const keyspaceOperations: readonly ((at: Scene) => Words[])[] = [
  (at) => [['PEXPIRE', at.key(kind(at)), at.lifeMs()]],
  (at) => [['EXPIRE', at.key(kind(at)), at.dice.between(2, 900)]],
  (at) => [['EXPIREAT', at.key(kind(at)), at.farSecond()]],
  (at) => [['PEXPIREAT', at.key(kind(at)), at.expiryMs()]],
  (at) => [['PEXPIREAT', at.key(kind(at)), 1]],
  (at) => [['EXPIRE', at.key(kind(at)), 400, at.dice.pick(['NX', 'XX', 'GT', 'LT'])]],
  (at) => [['PERSIST', at.key(kind(at))]],
  (at) => [['DEL', at.key(kind(at))]],
  (at) => [['UNLINK', ...at.keys(kind(at), 2)]],
  (at) => sameKind(at, (name) => ['RENAME', at.key(name), at.key(name)]),
  (at) => sameKind(at, (name) => ['RENAMENX', at.key(name), at.key(name)]),
  (at) => sameKind(at, (name) => ['COPY', at.key(name), at.key(name), 'REPLACE']),
  (at) => sameKind(at, (name) => ['COPY', at.key(name), at.key(name), 'DB', database(at)]),
  (at) => [['MOVE', at.key(kind(at)), database(at)]],
  (at) => [['TOUCH', at.key(kind(at))]],
];

/** Whole databases: exchanged, and now and then emptied. */
export const globalOperations: readonly ((at: Scene) => Words[])[] = [
  (at) => [['SWAPDB', database(at), database(at)]],
  (at) => [['SWAPDB', 0, database(at)]],
  (at) => (at.dice.once(4) ? [['FLUSHDB']] : []),
  (at) => (at.dice.once(4) ? [['FLUSHDB', 'ASYNC']] : []),
];

function sameKind(at: Scene, make: (name: string) => Words): Words[] {
  return [make(kind(at))];
}
