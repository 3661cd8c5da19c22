import { objectIdentity, packSnapshot, snapshotKey } from '@tidemark/archive';
import type { RdbSummaryJson, SnapshotStored } from '@tidemark/catalog';
import { bytesOf, TidemarkError, type ByteSource } from '@tidemark/core';
import { COMPRESSION, OBJECT_KIND, Sealer, sealPieces } from '@tidemark/crypto';
import { EMPTY_RDB, passRdb, type RdbSummary } from '@tidemark/rdb';
import { SNAPSHOT_NAME, type Backlog } from './backlog.ts';
import { retrying } from './retry.ts';
import type { ShipperOptions } from './segment-shipper.ts';
import { encodeSpoolNote } from './spool-note.ts';

const CHUNK_LOG2 = 20;

/** A base that becomes a snapshot. */
export interface SnapshotJob {
  readonly backup: string;
  /** Reads its RDB; null for the empty dataset, which no file holds. */
  readonly open: ((signal: AbortSignal) => ByteSource) | null;
  readonly timeline: string;
  readonly offset: bigint;
  readonly mode: SnapshotStored['mode'];
  /** Told when the RDB has been read; answers the first second the snapshot serves. */
  readonly from: (summary: RdbSummary) => Promise<number>;
}

/**
 * Scans a base RDB from its first byte to its checksum, compresses and seals it in one pass, and
 * commits it.
 * @throws FormatError or IntegrityError of \@tidemark/rdb when the base is damaged: it never
 *   becomes a snapshot; CatalogError `TM_LOG_STATE` when its timeline was closed meanwhile.
 */
export async function shipSnapshot(
  job: SnapshotJob,
  options: ShipperOptions,
  backlog: Pick<Backlog, 'ship'>,
): Promise<SnapshotStored> {
  const { instance, shard, writer, dataKeys, spool, clock, random } = options;
  const startedMs = clock.nowMs();
  const key = snapshotKey(instance, shard, writer, job.backup);
  const kind = OBJECT_KIND.snapshot;
  const { dataKey, wrapped } = await retrying(options, () => dataKeys.forSnapshot());
  const sealer = new Sealer({
    dataKey,
    kind,
    compression: COMPRESSION.zstd,
    chunkLog2: CHUNK_LOG2,
    identity: objectIdentity({
      iid: instance,
      writer,
      timeline: job.timeline,
      start: job.offset,
      kind,
      key,
    }),
    random,
  });
  const { timeline, offset } = job;
  let seen: RdbSummary | null = null;
  const found = (): RdbSummary => {
    if (seen === null) throw new TidemarkError('TM_INTERNAL', 'a base without a summary');
    return seen;
  };
  const source = job.open === null ? bytesOf(EMPTY_RDB) : job.open(options.signal);
  const rdb = passRdb(source, (summary) => {
    seen = summary;
  });
  const name = `${SNAPSHOT_NAME}${job.backup}`;
  try {
    await spool.write(
      name,
      sealPieces(packSnapshot(rdb, { timeline, offset, summary: found }), sealer),
    );
  } finally {
    dataKey.key.fill(0);
  }
  const summary = found();
  const event: SnapshotStored = {
    type: 'SnapshotStored',
    backup: job.backup,
    timeline,
    offset,
    from: await job.from(summary),
    mode: job.mode,
    startedMs,
    endedMs: clock.nowMs(),
    summary: summary satisfies RdbSummaryJson,
    rdbBytes: summary.bytes,
    object: { key, size: sealer.size, digest: sealer.digest(), dekId: dataKey.id, kind },
  };
  await spool.note(name, encodeSpoolNote({ event, wrapped }));
  await backlog.ship(name, event);
  return event;
}
