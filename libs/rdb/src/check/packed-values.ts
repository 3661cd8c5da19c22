import { FIELD_EXPIRY_MAX } from '../format/limits.ts';
import { checkIntset } from './intset.ts';
import { checkListpack, ListpackWalk } from './listpack.ts';
import type { MemberTable } from './member-table.ts';
import { type ElementVisitor, PackedFault, type PackedRange } from './packed.ts';
import { checkZiplist } from './ziplist.ts';
import { checkZipmap } from './zipmap.ts';

type Check = (range: PackedRange, members: MemberTable) => void;

/** A visitor that refuses a repeated element among those with `index % every === 0`. */
function unique(members: MemberTable, every: number): ElementVisitor {
  members.clear();
  return (index, bytes, start, end, within) => {
    if (index % every !== 0 || members.add(bytes, start, end)) return;
    throw new PackedFault('an element that stands twice', within);
  };
}

function demandTuples(count: number, every: number): void {
  if (count % every !== 0) throw new PackedFault(`${count} elements, not sets of ${every}`, 0);
  demandSome(count);
}

function demandSome(count: number): void {
  if (count === 0) throw new PackedFault('a value without an element', 0);
}

const listpackOf =
  (every: number): Check =>
  (range, members) => {
    demandTuples(checkListpack(range, unique(members, every)), every);
  };

/**
 * Field, value, expiry (0 = none): fields stand once, by their expiry, those without one last.
 * @see redis src/t_hash.c, listpackEx
 */
const fieldsWithExpiry: Check = (range, members) => {
  const field = unique(members, 1);
  const walk = new ListpackWalk(range);
  let latest = 0;
  while (walk.read()) {
    if (walk.passed % 3 === 0) walk.visit(field);
    else if (walk.passed % 3 === 2) latest = nextExpiry(walk, latest);
    walk.pass();
  }
  walk.finish();
  demandTuples(walk.passed, 3);
};

function nextExpiry({ integer, within }: ListpackWalk, before: number): number {
  if (integer === null || integer < 0 || integer > FIELD_EXPIRY_MAX) {
    throw new PackedFault('an expiry of a field that is none', within);
  }
  const expiry = integer === 0 ? Number.POSITIVE_INFINITY : Number(integer);
  if (expiry < before) throw new PackedFault('a field behind one that expires later', within);
  return expiry;
}

const ziplistPairs: Check = (range, members) => {
  demandTuples(checkZiplist(range, unique(members, 2)), 2);
};

const anything: ElementVisitor = () => undefined;

/** Checks a ziplist of a list. @returns Its entries. */
export const checkListZiplist = (range: PackedRange): number => checkZiplist(range, anything);

/** How the value of a type that is one packed string is checked. */
export const PACKED_VALUES: ReadonlyMap<number, Check> = new Map<number, Check>([
  [9, (range, members) => checkZipmap(range, unique(members, 2))],
  [
    10,
    (range) => {
      demandSome(checkListZiplist(range));
    },
  ],
  [11, checkIntset],
  [12, ziplistPairs],
  [13, ziplistPairs],
  [16, listpackOf(2)],
  [17, listpackOf(2)],
  [20, listpackOf(1)],
  [25, fieldsWithExpiry],
]);
