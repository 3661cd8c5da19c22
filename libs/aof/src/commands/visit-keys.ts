import type { CommandBatch } from '../decoder/command-batch.ts';
import { keyword } from './arguments.ts';
import { COMMANDS, KEY_RULE } from './command-table.ts';
import { KEY_EFFECT, type KeyEffect } from './key-effect.ts';
import { BOTH, KeyVisit, READ, WRITE, type KeyVisitor } from './key-visit.ts';

const DB_MAX = 0x7fff_ffff;

const BY = keyword('by');
const DB = keyword('db');
const GET = keyword('get');
const LIMIT = keyword('limit');
const REPLACE = keyword('replace');
const STORE = keyword('store');
const STOREDIST = keyword('storedist');
/** The options of SET and MSETEX under which nothing of an old value matters. */
const EXPIRY_OPTIONS = ['pxat', 'exat', 'px', 'ex'].map(keyword);

/**
 * Calls `visitor` for every key of command `row`, and says what the command can reach.
 *
 * On `unknown` the keys that could be found have been visited, but anything else may be read or
 * written too: an unknown command, SORT with a BY or GET pattern, scripts, arguments that do not
 * fit the command, a key that was elided. COPY and MOVE visit the key of the other database with
 * that database. Allocates nothing for commands with one key at a fixed place.
 */
export function visitKeys(batch: CommandBatch, row: number, visitor: KeyVisitor): KeyEffect {
  const spec = COMMANDS[batch.spec[row] as number];
  const rule = spec === undefined ? KEY_RULE.opaque : spec.keys;
  switch (rule) {
    case KEY_RULE.update:
      return visitOne(batch, row, 1, BOTH, visitor);
    case KEY_RULE.overwrite:
      return visitOne(batch, row, 1, WRITE, visitor);
    case KEY_RULE.set:
      if (batch.argc[row] === 3) return visitOne(batch, row, 1, WRITE, visitor);
      break;
    case KEY_RULE.removeAll:
      if (batch.argc[row] === 2) return visitOne(batch, row, 1, WRITE, visitor);
      break;
    case KEY_RULE.none:
      return KEY_EFFECT.none;
    default:
  }
  const visit = new KeyVisit(batch, row, visitor);
  return (
    visitFixed(visit, rule) ??
    visitCounted(visit, rule) ??
    visitSpecial(visit, rule) ??
    globalEffect(batch, row, rule)
  );
}

/**
 * The two databases of a SWAPDB command (effect `swapDb`); null when it is no SWAPDB or its
 * arguments are not numbers.
 */
export function swappedDatabases(
  batch: CommandBatch,
  row: number,
): { readonly first: number; readonly second: number } | null {
  if (COMMANDS[batch.spec[row] as number]?.keys !== KEY_RULE.swapDb) return null;
  const visit = new KeyVisit(batch, row, () => undefined);
  const first = visit.integer(1);
  const second = visit.integer(2);
  return isDatabase(first) && isDatabase(second) ? { first, second } : null;
}

function isDatabase(db: number): boolean {
  return db >= 0 && db <= DB_MAX;
}

function visitOne(
  batch: CommandBatch,
  row: number,
  index: number,
  use: number,
  visitor: KeyVisitor,
): KeyEffect {
  if ((batch.argc[row] as number) <= index) return KEY_EFFECT.unknown;
  const at = (batch.argAt[row] as number) + index;
  const start = batch.argStart[at] as number;
  if (start < 0) return KEY_EFFECT.unknown;
  const db = batch.db[row] as number;
  visitor(db, start, batch.argEnd[at] as number, (use & WRITE) !== 0, (use & READ) !== 0);
  return KEY_EFFECT.single;
}

/** Commands whose keys stand at places that the argument count alone tells. */
function visitFixed(visit: KeyVisit, rule: number): KeyEffect | null {
  const { argc } = visit;
  switch (rule) {
    case KEY_RULE.updateSecond:
      return visit.range(2, 3, 1, BOTH);
    case KEY_RULE.removeAll:
      return visit.range(1, argc, 1, WRITE);
    case KEY_RULE.updateButLast:
      return visit.range(1, argc - 1, 1, BOTH);
    case KEY_RULE.updatePair:
      return visit.range(1, 3, 1, BOTH);
    case KEY_RULE.storeOne:
      return targetAndSources(visit, 1, 2, 3, WRITE);
    case KEY_RULE.storeAll:
      return targetAndSources(visit, 1, 2, argc, WRITE);
    case KEY_RULE.bitOp:
      return targetAndSources(visit, 2, 3, argc, WRITE);
    case KEY_RULE.pfMerge:
      if (argc === 2) return visit.range(1, 2, 1, BOTH);
      return targetAndSources(visit, 1, 2, argc, BOTH);
    case KEY_RULE.pfCount:
      // With one key the cached count inside the value is renewed.
      return visit.range(1, argc, 1, argc === 2 ? BOTH : READ);
    case KEY_RULE.setPairs:
      return visit.range(1, argc, 2, WRITE);
    case KEY_RULE.updatePairs:
      return visit.range(1, argc, 2, BOTH);
    case KEY_RULE.updateTriples:
      return visit.range(1, argc, 3, BOTH);
    default:
      return null;
  }
}

function targetAndSources(
  visit: KeyVisit,
  target: number,
  first: number,
  end: number,
  use: number,
): KeyEffect {
  if (first >= end || end > visit.argc) return KEY_EFFECT.unknown;
  visit.key(target, use);
  return visit.range(first, end, 1, READ);
}

/** Commands that say how many keys they have. */
function visitCounted(visit: KeyVisit, rule: number): KeyEffect | null {
  switch (rule) {
    case KEY_RULE.storeCounted:
    case KEY_RULE.mergeCounted: {
      const end = 3 + visit.count(2, 3, 1);
      const use = rule === KEY_RULE.storeCounted ? WRITE : BOTH;
      return targetAndSources(visit, 1, 3, end, use);
    }
    case KEY_RULE.updateCounted:
      return visit.range(2, 2 + visit.count(1, 2, 1), 1, BOTH);
    case KEY_RULE.updateCountedSecond:
      return visit.range(3, 3 + visit.count(2, 3, 1), 1, BOTH);
    case KEY_RULE.script:
      visit.range(3, 3 + visit.count(2, 3, 1), 1, BOTH);
      return KEY_EFFECT.unknown;
    case KEY_RULE.mSetEx: {
      const count = visit.count(1, 2, 2);
      const end = 2 + count * 2;
      return visit.range(2, end, 2, keepsNothing(visit, end) ? WRITE : BOTH);
    }
    default:
      return null;
  }
}

/** Commands whose options decide. */
function visitSpecial(visit: KeyVisit, rule: number): KeyEffect | null {
  switch (rule) {
    case KEY_RULE.set:
      if (visit.argc < 3) return KEY_EFFECT.unknown;
      return visit.range(1, 2, 1, keepsNothing(visit, 3) ? WRITE : BOTH);
    case KEY_RULE.restore:
      return visit.range(1, 2, 1, hasOption(visit, 4, REPLACE) ? WRITE : BOTH);
    case KEY_RULE.rename:
    case KEY_RULE.renameNx:
      if (visit.argc < 3) return KEY_EFFECT.unknown;
      visit.key(1, BOTH);
      visit.key(2, rule === KEY_RULE.rename ? WRITE : BOTH);
      return visit.done();
    case KEY_RULE.copy:
      return visitCopy(visit);
    case KEY_RULE.move: {
      const db = visit.integer(2);
      if (!isDatabase(db)) return KEY_EFFECT.unknown;
      visit.key(1, BOTH);
      visit.key(1, BOTH, db);
      return visit.done();
    }
    case KEY_RULE.storeOption:
      return visitStoreOption(visit);
    case KEY_RULE.sort:
      return visitSort(visit);
    default:
      return null;
  }
}

/** Whether only an expiry follows from `first` on: no NX, XX, KEEPTTL, GET, IFEQ. */
function keepsNothing(visit: KeyVisit, first: number): boolean {
  for (let index = first; index < visit.argc; index += 2) {
    if (!EXPIRY_OPTIONS.some((option) => visit.is(index, option))) return false;
  }
  return true;
}

function hasOption(visit: KeyVisit, first: number, option: Uint8Array): boolean {
  for (let index = first; index < visit.argc; index += 1) if (visit.is(index, option)) return true;
  return false;
}

/** `COPY source destination [DB n] [REPLACE]`. */
function visitCopy(visit: KeyVisit): KeyEffect {
  if (visit.argc < 3) return KEY_EFFECT.unknown;
  let { db } = visit;
  let use = BOTH;
  for (let index = 3; index < visit.argc; index += 1) {
    if (visit.is(index, REPLACE)) use = WRITE;
    else if (visit.is(index, DB)) {
      index += 1;
      db = visit.integer(index);
    }
  }
  if (!isDatabase(db)) return KEY_EFFECT.unknown;
  visit.key(1, READ);
  visit.key(2, use, db);
  return visit.done();
}

/** `GEORADIUS key ... STORE|STOREDIST destination`: the last one wins. */
function visitStoreOption(visit: KeyVisit): KeyEffect {
  if (visit.argc < 2) return KEY_EFFECT.unknown;
  let target = 0;
  for (let index = 2; index < visit.argc - 1; index += 1) {
    if (visit.is(index, STORE) || visit.is(index, STOREDIST)) {
      index += 1;
      target = index;
    }
  }
  visit.key(1, READ);
  if (target > 0) visit.key(target, WRITE);
  return visit.done();
}

/** `SORT key [BY p] [LIMIT o c] [GET p ...] [ASC|DESC] [ALPHA] STORE destination`. */
function visitSort(visit: KeyVisit): KeyEffect {
  if (visit.argc < 2) return KEY_EFFECT.unknown;
  let target = 0;
  let patterns = false;
  for (let index = 2; index < visit.argc; index += 1) {
    if (visit.is(index, LIMIT)) index += 2;
    else if (index + 1 < visit.argc && visit.is(index, STORE)) {
      index += 1;
      target = index;
    } else if (index + 1 < visit.argc && (visit.is(index, BY) || visit.is(index, GET))) {
      index += 1;
      if (visit.isPattern(index)) patterns = true;
    }
  }
  visit.key(1, READ);
  if (target > 0) visit.key(target, WRITE);
  return patterns ? KEY_EFFECT.unknown : visit.done();
}

function globalEffect(batch: CommandBatch, row: number, rule: number): KeyEffect {
  switch (rule) {
    case KEY_RULE.flushDb:
      return KEY_EFFECT.flushDb;
    case KEY_RULE.flushAll:
      return KEY_EFFECT.flushAll;
    case KEY_RULE.swapDb:
      return swappedDatabases(batch, row) === null ? KEY_EFFECT.unknown : KEY_EFFECT.swapDb;
    case KEY_RULE.functions:
      return KEY_EFFECT.functions;
    case KEY_RULE.slots:
      return KEY_EFFECT.slots;
    default:
      return KEY_EFFECT.unknown;
  }
}
