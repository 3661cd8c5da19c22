import { HEADER_BYTES, ListpackWalk } from './listpack.ts';
import { PackedFault, type PackedRange } from './packed.ts';

/** Flag of an entry that was deleted and still stands in its node. */
const DELETED = 1;
/** Flag of an entry that has the fields of the node's first one. */
const SAME_FIELDS = 2;
/** Elements of an entry beside fields and values: flags and the two parts of its id. */
const ENTRY_HEAD = 3;

/**
 * Checks the listpack of one node of a stream.
 *
 *     node  = entries deleted fields *field 0 *entry
 *     entry = flags id-ms id-seq [fields *field] *value elements-of-this-entry
 *
 * The fields stand in the entry when they are not those of the node. That the counts of elements and
 * of deleted entries hold, servers look at since Valkey 9.1 (and Redis since 2026).
 * @returns Entries that are not deleted.
 * @see redis src/t_stream.c, streamValidateListpackIntegrity; redis/redis#15124,
 *   valkey-io/valkey#3922 and #4381 for the counts
 */
export function checkStreamNode(range: PackedRange): number {
  const walk = new ListpackWalk(range);
  const live = integer(walk);
  const deleted = integer(walk);
  const fields = count(walk);
  for (let left = fields; left > 0; left -= 1) pass(walk);
  if (integer(walk) !== 0) throw wrong(walk, 'a node whose fields do not end with a zero');
  let found = 0;
  for (let left = live + deleted; left !== 0; left -= 1) {
    if ((checkEntry(walk, fields) & DELETED) !== 0) found += 1;
  }
  if (walk.read()) throw wrong(walk, 'a node with more elements than its entries have');
  if (found !== deleted) {
    throw new PackedFault(
      `${found} deleted entries in a node that counts ${deleted}`,
      HEADER_BYTES,
    );
  }
  walk.finish();
  return live;
}

/** @returns The flags of the entry. */
function checkEntry(walk: ListpackWalk, nodeFields: number): number {
  const flags = integer(walk);
  integer(walk);
  integer(walk);
  let fields = nodeFields;
  let extra = ENTRY_HEAD;
  if ((flags & SAME_FIELDS) === 0) {
    fields = count(walk);
    for (let left = fields; left > 0; left -= 1) pass(walk);
    extra += fields + 1;
  }
  for (let left = fields; left > 0; left -= 1) pass(walk);
  if (integer(walk) !== fields + extra) {
    throw wrong(walk, 'an entry that gives another number of elements for itself');
  }
  return flags;
}

const wrong = (walk: ListpackWalk, what: string): PackedFault => new PackedFault(what, walk.within);

function pass(walk: ListpackWalk): void {
  if (!walk.read()) throw wrong(walk, 'a node with fewer elements than its entries have');
  walk.pass();
}

/** A number of fields. */
function count(walk: ListpackWalk): number {
  const { within } = walk;
  const fields = integer(walk);
  if (fields < 0) throw new PackedFault(`an entry of ${fields} fields`, within);
  return fields;
}

/** The integer at the cursor; a string that is one counts as one. */
function integer(walk: ListpackWalk): number {
  if (!walk.read()) throw wrong(walk, 'a node with fewer elements than its entries have');
  let value = walk.integer;
  if (value === null) {
    const { bytes, contentStart, contentEnd } = walk;
    const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString(
      'latin1',
      contentStart,
      Math.min(contentEnd, contentStart + 21),
    );
    if (!/^(?:0|-?[1-9][0-9]{0,18})$/.test(text)) {
      throw wrong(walk, 'a string where a node must hold an integer');
    }
    value = Number(text);
  }
  walk.pass();
  return Number(value);
}
