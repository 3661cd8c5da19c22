import {
  argumentBytes,
  COMMANDS,
  KEY_EFFECT,
  KEY_RULE,
  swappedDatabases,
  type CommandBatch,
  type KeyEffect,
} from '@tidemark/aof';
import type { KeyAction, OtherKey } from './key-event.ts';

/** What a command did to a key that it names or reaches. */
export interface NamedAction {
  readonly did: KeyAction;
  readonly other: OtherKey | null;
}

const DELETING: ReadonlySet<string> = new Set(['del', 'unlink', 'getdel', 'delex', 'delifeq']);
const EXPIRING: ReadonlySet<string> = new Set(['expire', 'expireat', 'pexpire', 'pexpireat']);

/** What command `row` did to `key` of database `db`, which it names and writes. */
export function actionOnNamed(
  batch: CommandBatch,
  row: number,
  db: number,
  key: Buffer,
): NamedAction {
  const { name = '', keys = KEY_RULE.opaque } = COMMANDS[batch.spec[row] as number] ?? {};
  switch (keys) {
    case KEY_RULE.rename:
    case KEY_RULE.renameNx: {
      const from = argumentBytes(batch, row, 1)?.equals(key) === true;
      return { did: from ? 'rename to' : 'rename from', other: other(batch, row, from ? 2 : 1) };
    }
    case KEY_RULE.copy:
      return { did: 'copy from', other: other(batch, row, 1) };
    case KEY_RULE.move:
      return movedKey(batch, row, db, key);
    default:
      if (DELETING.has(name)) return { did: 'delete', other: null };
      if (EXPIRING.has(name)) return { did: 'expire set', other: null };
      return { did: name === 'persist' ? 'expiry removed' : 'write', other: null };
  }
}

/**
 * What a command did that reaches keys without naming them, for a key of `db`, or of any database
 * when that is null; null = nothing.
 */
export function actionOnAll(
  batch: CommandBatch,
  row: number,
  db: number | null,
  effect: KeyEffect,
): (NamedAction & { readonly db: number }) | null {
  const own = batch.db[row] as number;
  switch (effect) {
    case KEY_EFFECT.flushAll:
      return { db: db ?? own, did: 'flushed', other: null };
    case KEY_EFFECT.flushDb:
      return db === null || db === own ? { db: own, did: 'flushed', other: null } : null;
    case KEY_EFFECT.swapDb: {
      const { first = 0, second = 0 } = swappedDatabases(batch, row) ?? {};
      if (first === second || (db !== null && db !== first && db !== second)) return null;
      const here = db ?? first;
      const there = here === first ? second : first;
      return { db: here, did: 'swapped', other: { db: there, key: null } };
    }
    case KEY_EFFECT.slots:
      return { db: db ?? own, did: 'slots', other: null };
    case KEY_EFFECT.unknown:
      return { db: db ?? own, did: 'may have written', other: null };
    default:
      return null;
  }
}

function movedKey(batch: CommandBatch, row: number, db: number, key: Buffer): NamedAction {
  const from = batch.db[row] as number;
  const to = Number(argumentBytes(batch, row, 2)?.toString('latin1') ?? '-1');
  return db === from
    ? { did: 'move to', other: { db: to, key } }
    : { did: 'move from', other: { db: from, key } };
}

function other(batch: CommandBatch, row: number, index: number): OtherKey | null {
  const key = argumentBytes(batch, row, index);
  return key === null ? null : { db: batch.db[row] as number, key: Buffer.from(key) };
}
