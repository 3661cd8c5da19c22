import type { Words } from './scene.ts';

/** First version of the commands that the workload uses, where that is after 6.0; comparable form. */
const COMMANDS: Readonly<Record<string, number>> = {
  BLMOVE: 6_02_00,
  COPY: 6_02_00,
  GEOSEARCHSTORE: 6_02_00,
  GETDEL: 6_02_00,
  GETEX: 6_02_00,
  LMOVE: 6_02_00,
  XAUTOCLAIM: 6_02_00,
  ZDIFFSTORE: 6_02_00,
  ZRANGESTORE: 6_02_00,
  FCALL: 7_00_00,
  FCALL_RO: 7_00_00,
  FUNCTION: 7_00_00,
  LMPOP: 7_00_00,
  ZMPOP: 7_00_00,
};
/** First version of an option. */
const OPTIONS: Readonly<Record<string, Readonly<Record<string, number>>>> = {
  EXPIRE: { NX: 7_00_00, XX: 7_00_00, GT: 7_00_00, LT: 7_00_00 },
  SET: { GET: 6_02_00, EXAT: 6_02_00, PXAT: 6_02_00 },
  XADD: { NOMKSTREAM: 6_02_00, MINID: 6_02_00, '400-*': 7_00_00 },
  XGROUP: { CREATECONSUMER: 6_02_00, ENTRIESREAD: 7_00_00 },
  XSETID: { ENTRIESADDED: 7_00_00 },
  XTRIM: { MINID: 6_02_00 },
  ZADD: { GT: 6_02_00, LT: 6_02_00 },
};
/** First version that takes more than a key: the count of what is popped. */
const COUNTED: Readonly<Record<string, number>> = { LPOP: 6_02_00, RPOP: 6_02_00 };

/**
 * The first Redis version that knows a command of the workload in this form, e.g. 70000; 60000 is
 * the oldest. Source: the "History" of each command at https://redis.io/docs/latest/commands/.
 */
export function sinceVersion(words: Words): number {
  const [first, ...rest] = words;
  const name = String(first);
  const options = OPTIONS[name] ?? {};
  const counted = rest.length > 1 ? (COUNTED[name] ?? 0) : 0;
  const newest = rest.map((word) => (typeof word === 'string' ? (options[word] ?? 0) : 0));
  return Math.max(6_00_00, COMMANDS[name] ?? 0, counted, ...newest);
}
