import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { openWriterLog } from '@tidemark/catalog';
import type { Clock, Random } from '@tidemark/core';
import type { KeyProvider } from '@tidemark/crypto';
import type { ObjectStore } from '@tidemark/store';
import { readOwnerId } from '../owner-id.ts';
import { SpoolLock } from '../ship/spool-lock.ts';
import type { ProvenHole } from './protocol.ts';

/** What a proof is recorded with when no archiver runs. */
export interface RecordProofOptions {
  readonly stateDir: string;
  readonly instance: string;
  readonly shard: string;
  readonly writer: string;
  readonly store: ObjectStore;
  readonly keys: KeyProvider;
  readonly heartbeatMs: number;
  readonly clock: Clock;
  readonly random: Random;
}

/**
 * Claims the log of a writer as the archiver of this spool does, logs proofs and releases it.
 * @throws CatalogError `TM_LOG_OWNER` while an archiver runs here, or another one wrote lately.
 */
export async function recordProofs(
  proofs: readonly ProvenHole[],
  options: RecordProofOptions,
): Promise<void> {
  const { stateDir, instance, shard, writer, store, keys, clock, random } = options;
  const spoolDir = join(stateDir, 'spool');
  await mkdir(spoolDir, { recursive: true, mode: 0o700 });
  using _lock = new SpoolLock(join(spoolDir, 'lock.db'));
  const ownerId = await readOwnerId(join(spoolDir, 'owner'), options);
  const logKey = await keys.logKey(instance);
  const log = await openWriterLog({ store, iid: instance, shard, writer, logKey, clock, random });
  await log.claim({ ownerId, takeOver: false, heartbeatMs: options.heartbeatMs });
  for (const { closed, opened } of proofs) {
    await log.append({ type: 'HoleProven', closed, opened, atMs: clock.nowMs() });
  }
  const generation = log.state.owner?.generation ?? 0;
  await log.append({ type: 'Released', generation, atMs: clock.nowMs() });
}
