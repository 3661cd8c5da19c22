import { unpackSnapshot } from '@tidemark/archive';
import { nameObject, type ByteSource } from '@tidemark/core';
import { EMPTY_RDB, rewriteRdb, type RewriteRdbOptions } from '@tidemark/rdb';
import { needsEntry, type Closure } from '../closure/closure.ts';
import type { ObjectReader } from '../fetch/object-reader.ts';
import type { RestorePlan } from '../plan/restore-plan.ts';
import { newExpiry } from '../plan/ttl-rule.ts';

/**
 * The snapshot of a plan as the RDB that is fed.
 * @param rdbVersion - Version to write, as `rdbFormFor` chose it for the target: values it has no
 *   type for are converted. null = as the source wrote it.
 * @throws FormatError `TM_RDB_REWRITE` with `db`, `offset` and `type` for a value that the target has
 *   no form for.
 */
export async function* snapshotSource(
  plan: RestorePlan,
  reader: ObjectReader,
  rdbVersion: number | null,
): ByteSource {
  const { ttl, closure } = plan;
  if (closure?.startsEmpty === true) {
    yield EMPTY_RDB;
    return;
  }
  const rdb = unpackSnapshot(reader.opened(plan.snapshotObject));
  try {
    if (ttl.mode === 'absolute' && rdbVersion === null && keepsAll(closure)) {
      yield* rdb;
      return;
    }
    yield* rewriteRdb(rdb, {
      ...(ttl.mode === 'absolute'
        ? {}
        : { newExpiry: (expiryMs: number) => newExpiry(ttl, expiryMs) }),
      ...(rdbVersion === null ? {} : { version: rdbVersion }),
      ...(closure === null || closure.everything !== null ? {} : entriesOf(closure)),
    });
  } catch (cause) {
    throw nameObject(cause, reader.nameOf(plan.snapshotObject));
  }
}

function keepsAll(closure: Closure | null): boolean {
  return closure === null || closure.everything !== null;
}

function entriesOf(closure: Closure): Pick<RewriteRdbOptions, 'keepKey' | 'keepFunctions'> {
  return {
    keepFunctions: closure.keepFunctions,
    keepKey: (db, key) => needsEntry(closure, db, key),
  };
}
