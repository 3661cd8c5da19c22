import { instanceLogKey } from '@tidemark/archive';
import { IntegrityError } from '@tidemark/core';
import type { InstanceLogEntry } from '../log/instance-codec.ts';
import {
  evolveInstance,
  EMPTY_INSTANCE_STATE,
  type InstanceState,
} from '../model/instance-state.ts';
import { canonicalJson } from '../model/wire/canonical-json.ts';
import { instanceStateShape } from '../model/wire/state-shape.ts';
import { readFold } from './database.ts';
import type { Statements } from './statements.ts';

/** Writes the entries of instance logs into their table. `apply` runs within a transaction. */
export class InstanceTable {
  readonly #db: Statements;

  constructor(db: Statements) {
    this.#db = db;
  }

  /** Ids of every instance, in order. */
  ids(): readonly string[] {
    const sql = 'SELECT iid FROM instances ORDER BY iid';
    return this.#db
      .prepare<{ iid: string }>(sql)
      .all()
      .map((row) => row.iid);
  }

  /** The fold of an instance's log as far as it was read; the empty one when it is not known. */
  state(iid: string): InstanceState {
    const row = this.#db
      .prepare<{ state: string }>('SELECT state FROM instances WHERE iid = ?')
      .get(iid);
    if (row === undefined) return EMPTY_INSTANCE_STATE;
    return readFold(row.state, instanceStateShape);
  }

  /**
   * Applies entries that follow each other; those that are known are passed over.
   *
   * @returns How many were applied; `null` when the row is behind the first of them.
   * @throws IntegrityError `TM_LOG_CHAIN` when the row knows another entry in the same place.
   */
  apply(iid: string, entries: readonly InstanceLogEntry[]): number | null {
    const known = this.state(iid);
    const [first] = entries;
    if (first === undefined || first.seq > known.seq + 1) return null;
    const same = entries.find((entry) => entry.seq === known.seq);
    if (same !== undefined && same.digest !== known.digest) {
      throw replacedInstance(iid, known, same.digest);
    }
    const fresh = entries.filter((entry) => entry.seq > known.seq);
    let state = known;
    for (const entry of fresh) {
      if (entry.predecessor !== state.digest) throw replacedInstance(iid, state, entry.predecessor);
      state = evolveInstance(state, entry.event, entry.seq, entry.digest);
    }
    if (fresh.length > 0) this.#save(iid, state);
    return fresh.length;
  }

  /** Takes the fold of a checkpoint over, unless the row is ahead of it. `adopt` runs within a transaction. */
  adopt(iid: string, fold: InstanceState): void {
    if (this.state(iid).seq < fold.seq) this.#save(iid, fold);
  }

  #save(iid: string, state: InstanceState): void {
    const text = canonicalJson(instanceStateShape.encode(state, '$'));
    this.#db
      .prepare(
        `INSERT INTO instances (iid, name, seq, digest, state) VALUES (?, ?, ?, ?, ?)
         ON CONFLICT (iid) DO UPDATE SET name = excluded.name, seq = excluded.seq,
           digest = excluded.digest, state = excluded.state`,
      )
      .run(iid, state.name ?? '', state.seq, state.digest, text);
  }
}

/** The store holds another entry than the one that was read before. */
export function replacedInstance(
  iid: string,
  known: InstanceState,
  found: string | null,
): IntegrityError {
  const object = instanceLogKey(iid, known.seq);
  const what = found === null ? 'is missing' : 'is not the one known here';
  return new IntegrityError('TM_LOG_CHAIN', `${object} ${what}`, {
    context: { iid, seq: known.seq, expected: known.digest, actual: found, object },
    hint: 'the store was replaced or set back; if that was meant: tidemark repo rebuild-catalog',
  });
}
