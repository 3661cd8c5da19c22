import { createInstance, openWriterLog, type ObjectRef } from '@tidemark/catalog';
import { openKeys, type KeySettings } from '@tidemark/crypto';
import { openFileStore } from '@tidemark/store';
import { systemClock, systemRandom } from '@tidemark/system';
import { SUMMARY } from '../../support/log-events.ts';

const SHARD = '0';
const TIMELINE = 'tl-long';
const SEGMENT_BYTES = 1_000;

/** How long the log of an instance is. */
export interface ArchiveSize {
  readonly segments: number;
  /** Spread evenly among the segments. */
  readonly backups: number;
}

/**
 * Writes the log of an instance as an archiver does that captured a segment each second up to now:
 * the entries are real, the objects that they name are not there, for windows and lists need none.
 */
export async function writeLongArchive(
  iid: string,
  { segments, backups }: ArchiveSize,
  folders: { readonly store: string; readonly ring: string },
): Promise<void> {
  const [clock, random] = [systemClock, systemRandom];
  const settings: KeySettings = { provider: 'ring', ringDir: folders.ring };
  const keys = await openKeys(settings, { random, clock });
  const logKey = await keys.logKey(iid);
  const store = await openFileStore({ root: folders.store, random, durable: false });
  const ports = { store, iid, logKey, clock, random };
  const atMs = clock.nowMs();
  const instance = await createInstance({ ...ports, name: iid, createdMs: atMs });
  const writer = `w-${iid}`;
  await instance.append(() => ({
    ...{ type: 'WriterRegistered', shard: SHARD, writer, source: 'aof', atMs },
  }));
  const log = await openWriterLog({ ...ports, shard: SHARD, writer });
  await log.claim({ ownerId: 'bench', takeOver: false });
  if (segments === 0) return;
  const node = { runId: 'a'.repeat(40), version: '7.0.15', product: 'redis' };
  await log.append({
    ...{ type: 'TimelineOpened', timeline: TIMELINE, source: 'aof', reason: 'attach' },
    ...{ previous: null, atMs, node },
  });
  const firstSecond = Math.floor(atMs / 1000) - segments;
  const gap = Math.floor(segments / backups);
  for (let at = 0; at < segments; at++) {
    const second = firstSecond + at;
    if (at % gap === 0 && at / gap < backups) {
      await log.append({
        ...{ type: 'SnapshotStored', backup: `bk-${at.toString()}`, timeline: TIMELINE },
        ...{ offset: BigInt(at * SEGMENT_BYTES), from: second, mode: 'automated' },
        ...{ startedMs: second * 1000, endedMs: second * 1000 + 500 },
        ...{
          summary: SUMMARY,
          rdbBytes: SUMMARY.bytes,
          object: objectOf(`rdb/bk-${at.toString()}`, 4),
        },
      });
    }
    await log.append({
      type: 'SegmentStored',
      segment: {
        ...{ timeline: TIMELINE, start: BigInt(at * SEGMENT_BYTES), db: 0, maxDb: 0 },
        ...{ end: BigInt((at + 1) * SEGMENT_BYTES), inMulti: false, partialBytes: 0 },
        ...{ commands: 10, rawBytes: SEGMENT_BYTES, frames: 1, indexKind: 'keys' },
        ...{ firstSecond: second, lastSecond: second },
      },
      after: { db: 0, inMulti: false, partialBytes: 0 },
      object: objectOf(`seg/${TIMELINE}/${at.toString()}`, 2),
      ...{ provenTo: second, cursor: null, atMs: (second + 1) * 1000 },
    });
  }

  function objectOf(name: string, kind: number): ObjectRef {
    const key = `v1/instance/${iid}/${SHARD}/${writer}/${name}`;
    return { key, size: 500, digest: 'ab'.repeat(32), dekId: 'cd'.repeat(16), kind };
  }
}
