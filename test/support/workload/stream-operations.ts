import { nameOf, type Scene, type Words } from './scene.ts';

const GROUPS = ['billing', 'mail'];
const CONSUMERS = ['anna', 'ben', 'chris'];

const group = (at: Scene): string => at.dice.pick(GROUPS);
const consumer = (at: Scene): string => at.dice.pick(CONSUMERS);
/** The id that explicit entries use: they come before those that the clock names. */
const lowId = (at: Scene): string => `${at.dice.between(1, 400)}-${at.dice.between(0, 9)}`;

/** Streams with groups, consumers and pending entries. */
export const streamOperations: readonly ((at: Scene) => Words[])[] = [
  (at) => [['XADD', at.key('stream'), '*', 'order', at.value(), 'state', 'new']],
  (at) => [['XADD', at.key('stream'), '*', at.member(), at.value()]],
  (at) => [['XADD', at.key('stream'), 'NOMKSTREAM', '*', 'a', 1]],
  (at) => [['XADD', at.key('stream'), 'MAXLEN', '~', 60, '*', 'a', at.value()]],
  (at) => [['XADD', at.key('stream'), 'MAXLEN', 40, '*', 'a', at.value()]],
  (at) => [['XADD', at.key('past'), lowId(at), 'a', at.value()]],
  (at) => [['XADD', at.key('past'), 'MINID', '~', '50', '400-*', 'a', 1]],
  (at) => [['XGROUP', 'CREATE', at.key('stream'), group(at), at.dice.pick(['0', '$']), 'MKSTREAM']],
  (at) => [['XGROUP', 'CREATE', at.key('stream'), group(at), '0', 'MKSTREAM', 'ENTRIESREAD', 3]],
  (at) => [['XGROUP', 'CREATECONSUMER', at.key('stream'), group(at), consumer(at)]],
  (at) =>
    at.dice.once(4) ? [['XGROUP', 'DELCONSUMER', at.key('stream'), group(at), consumer(at)]] : [],
  (at) => (at.dice.once(8) ? [['XGROUP', 'DESTROY', at.key('stream'), group(at)]] : []),
  (at) => [['XGROUP', 'SETID', at.key('stream'), group(at), '0']],
  (at) => [read(at, 4)],
  (at) => [read(at, 7)],
  (at) => [[...read(at, 2).slice(0, 6), 'NOACK', ...read(at, 2).slice(6)]],
  (at) => [['XAUTOCLAIM', at.key('stream'), group(at), consumer(at), 0, '0', 'COUNT', 4]],
  (at) => [['XTRIM', at.key('stream'), 'MAXLEN', '~', 30]],
  (at) => [['XTRIM', at.key('stream'), 'MINID', `${Math.floor(at.nowMs) - 4_000}`]],
  (at) => [['XSETID', at.key('past'), '401-0', 'ENTRIESADDED', 900, 'MAXDELETEDID', '1-1']],
];

function read(at: Scene, count: number): Words {
  const who = ['GROUP', group(at), consumer(at)];
  return ['XREADGROUP', ...who, 'COUNT', count, 'STREAMS', at.key('stream'), '>'];
}

/** Groups of some streams, so that there is something to read from the start. */
export function openingGroups(): Words[] {
  return [0, 1, 2, 3, 4].flatMap((number) =>
    GROUPS.map((name): Words => [
      'XGROUP',
      'CREATE',
      nameOf('stream', number),
      name,
      '0',
      'MKSTREAM',
    ]),
  );
}

/** What becomes of entries that were read: acknowledged, claimed by another, deleted. */
export function settle(
  at: Scene,
  key: Words[number],
  name: string,
  ids: readonly string[],
): Words[] {
  const [first = '0-1', ...rest] = ids;
  return [
    ['XACK', key, name, first],
    ...rest.map((id, i): Words => {
      if (i % 3 === 0) return ['XDEL', key, id];
      const claim: Words = ['XCLAIM', key, name, consumer(at), 0, id];
      return i % 3 === 1 ? claim : [...claim, 'IDLE', 500, 'RETRYCOUNT', 7, 'FORCE'];
    }),
  ];
}

/** Names of the groups, for whoever reads what is pending. */
export const STREAM_GROUPS: readonly string[] = GROUPS;
