import { unpackSnapshot } from '@tidemark/archive';
import { nameObject, type ByteSource } from '@tidemark/core';
import { rewriteRdb } from '@tidemark/rdb';
import type { ObjectReader } from '../fetch/object-reader.ts';
import type { RestorePlan } from '../plan/restore-plan.ts';
import { newExpiry } from '../plan/ttl-rule.ts';

/**
 * The snapshot of a plan as the RDB that is fed.
 * @param rdbVersion - Version to announce; null = as the source wrote it. A lower one is right when
 *   the target is older and every type in the snapshot is known to it.
 */
export async function* snapshotSource(
  plan: RestorePlan,
  reader: ObjectReader,
  rdbVersion: number | null,
): ByteSource {
  const rdb = unpackSnapshot(reader.opened(plan.snapshotObject));
  const { ttl } = plan;
  try {
    if (ttl.mode === 'absolute' && rdbVersion === null) {
      yield* rdb;
      return;
    }
    yield* rewriteRdb(rdb, {
      ...(ttl.mode === 'absolute'
        ? {}
        : { newExpiry: (expiryMs: number) => newExpiry(ttl, expiryMs) }),
      ...(rdbVersion === null ? {} : { version: rdbVersion }),
    });
  } catch (cause) {
    throw nameObject(cause, reader.nameOf(plan.snapshotObject));
  }
}
