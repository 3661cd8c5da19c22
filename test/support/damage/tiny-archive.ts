import {
  objectIdentity,
  packSnapshot,
  segmentKey,
  snapshotKey,
  wrappedKeyKey,
  writerLogKey,
  type Mark,
} from '@tidemark/archive';
import {
  createInstance,
  openWriterLog,
  type ObjectRef,
  type StreamState,
  type WriterLog,
} from '@tidemark/catalog';
import { bytesOf, type Clock, type Random } from '@tidemark/core';
import {
  COMPRESSION,
  encodeWrappedDataKey,
  OBJECT_KIND,
  sealBytes,
  type DataKey,
  type KeyProvider,
  type ObjectKind,
} from '@tidemark/crypto';
import { passRdb, type RdbSummary } from '@tidemark/rdb';
import type { ObjectStore } from '@tidemark/store';
import { command } from '../command-log.ts';
import { RdbBuilder } from '../rdb-builder.ts';
import { buildSegments, collect, type TestSegment } from '../segments.ts';

export const TINY_INSTANCE = 'tiny';
const PLACE = { iid: TINY_INSTANCE, shard: '0', writer: 'w-tiny' } as const;
const TIMELINE = 'tl-tiny';
const SHIPPED: StreamState = { db: 0, inMulti: false, partialBytes: 0 };

/** What an archive is built with. */
export interface TinyArchivePorts {
  readonly store: ObjectStore;
  readonly keys: KeyProvider;
  readonly clock: Clock & { now: number };
  readonly random: Random;
}

/** The sealed bytes of a snapshot or segment: an object of their own, or the end of a log entry. */
export interface TinyBody {
  readonly key: string;
  /** Where they begin in the object. */
  readonly start: number;
  readonly inEntry: boolean;
  /** Whether a restore of the newest second reads them. */
  readonly needed: boolean;
}

/** What the archive holds beside record, logs and keys that every restore needs. */
export interface TinyArchive {
  /** The newest second that can be restored. */
  readonly newest: number;
  readonly bodies: readonly TinyBody[];
  /** The wrapped key of the older snapshot. */
  readonly unneededKey: string;
}

/**
 * Builds a small archive in the formats that an archiver writes: two snapshots, four segments (two
 * of them objects of their own), their keys, the record, and both logs.
 *
 * An archiver keeps segments of that size within their log entries; here two are put as it puts
 * large ones, so that every kind of object is there in 64 KiB.
 */
export async function buildTinyArchive(
  ports: TinyArchivePorts,
  options: { readonly heartbeats?: number } = {},
): Promise<TinyArchive> {
  const archive = await TinyWriter.open(ports);
  const firstSecond = Math.floor(ports.clock.nowMs() / 1000);
  const groups = Array.from({ length: 4 }, (_, at) => [archive.commands(at)]);
  const segments = buildSegments(groups, {
    timeline: TIMELINE,
    marks: marksOf(groups, firstSecond),
  });
  const [a, b, c, d] = segments as [TestSegment, TestSegment, TestSegment, TestSegment];
  const old = await archive.snapshot('bk-1', 0n, firstSecond);
  const bodies = [
    { ...old.body, needed: false },
    { ...(await archive.segment(a, { ownObject: false, provenTo: null })), needed: false },
    { ...(await archive.segment(b, { ownObject: true, provenTo: firstSecond })), needed: false },
    { ...(await archive.snapshot('bk-2', b.header.end, firstSecond + 1)).body, needed: true },
    {
      ...(await archive.segment(c, { ownObject: false, provenTo: firstSecond + 1 })),
      needed: true,
    },
    { ...(await archive.segment(d, { ownObject: true, provenTo: firstSecond + 3 })), needed: true },
  ];
  for (let i = options.heartbeats ?? 1; i > 0; i--) await archive.heartbeat(d.header.end);
  await archive.release();
  return { newest: firstSecond + 3, bodies, unneededKey: old.wrappedKey };
}

/** Each segment begins with the mark of its second; the last one ends with the next second's. */
function marksOf(groups: readonly (readonly Buffer[])[], firstSecond: number): Mark[] {
  let offset = 0n;
  const marks: Mark[] = [];
  for (const [at, chunks] of [...groups, []].entries()) {
    const beginMs = (firstSecond + at) * 1000;
    marks.push({ offset, notBeforeMs: beginMs, notAfterMs: beginMs - 1, source: 'annotation' });
    offset += BigInt(chunks.reduce((sum, { length }) => sum + length, 0));
  }
  return marks;
}

type StoredBody = Omit<TinyBody, 'needed'>;

class TinyWriter {
  readonly #ports: TinyArchivePorts;
  readonly #log: WriterLog;
  readonly #segmentKey: DataKey;

  private constructor(ports: TinyArchivePorts, log: WriterLog, segments: DataKey) {
    this.#ports = ports;
    this.#log = log;
    this.#segmentKey = segments;
  }

  static async open(ports: TinyArchivePorts): Promise<TinyWriter> {
    const { keys, clock } = ports;
    const { iid, shard, writer } = PLACE;
    const logKey = await keys.logKey(iid);
    const atMs = clock.nowMs();
    const instance = await createInstance({ ...ports, iid, logKey, name: iid, createdMs: atMs });
    await instance.append(() => ({
      type: 'WriterRegistered',
      shard,
      writer,
      source: 'aof',
      atMs,
    }));
    const log = await openWriterLog({ ...ports, ...PLACE, logKey });
    await log.claim({ ownerId: 'o-tiny', takeOver: false });
    await log.append({
      type: 'TimelineOpened',
      timeline: TIMELINE,
      source: 'aof',
      reason: 'attach',
      previous: null,
      atMs,
      node: { runId: 'ab'.repeat(20), version: '7.0.15', product: 'redis' },
    });
    const { dataKey } = await putDataKey(ports, 'segments');
    return new TinyWriter(ports, log, dataKey);
  }

  /** Commands that do not compress. */
  commands(at: number): Buffer {
    const { random } = this.#ports;
    const writes = Array.from({ length: 12 }, (_, i) =>
      command('SET', `key:${at}:${i}`, random.bytes(at % 2 === 0 ? 330 : 880)),
    );
    return Buffer.concat([command('SELECT', 0), ...writes]);
  }

  async snapshot(
    backup: string,
    offset: bigint,
    from: number,
  ): Promise<{ readonly body: StoredBody; readonly wrappedKey: string }> {
    const { clock, random } = this.#ports;
    const rdb = new RdbBuilder({ version: 10 }).aux('redis-ver', '7.0.15').selectDb(0);
    for (let i = 0; i < 20; i++) rdb.string(`old:${i}`, random.bytes(570));
    let summary: RdbSummary | null = null;
    const packed = packSnapshot(
      passRdb(bytesOf(rdb.build()), (found) => (summary = found)),
      { timeline: TIMELINE, offset, summary: () => known() },
    );
    const known = (): RdbSummary => {
      if (summary === null) throw new Error('the RDB was not read to its end');
      return summary;
    };
    const { iid, shard, writer } = PLACE;
    const key = snapshotKey(iid, shard, writer, backup);
    const { dataKey, path } = await putDataKey(this.#ports, 'snapshot');
    const plain = await collect(packed);
    const object = await this.#put(plain, {
      dataKey,
      kind: OBJECT_KIND.snapshot,
      start: offset,
      key,
    });
    await this.#log.append({
      type: 'SnapshotStored',
      backup,
      timeline: TIMELINE,
      offset,
      from,
      mode: 'manual',
      startedMs: clock.nowMs(),
      endedMs: clock.nowMs(),
      summary: known(),
      rdbBytes: known().bytes,
      object: object.ref,
    });
    return { body: { key, start: 0, inEntry: false }, wrappedKey: path };
  }

  /** Stores a segment and logs it. */
  async segment(
    { header, payload }: TestSegment,
    options: { readonly ownObject: boolean; readonly provenTo: number | null },
  ): Promise<StoredBody> {
    const { clock, store } = this.#ports;
    const { iid, shard, writer } = PLACE;
    const key = options.ownObject
      ? segmentKey(iid, shard, writer, { timeline: TIMELINE, start: header.start, id: 'own' })
      : null;
    const { ref, body } = await this.#put(payload, {
      dataKey: this.#segmentKey,
      kind: OBJECT_KIND.segment,
      start: header.start,
      key,
    });
    const seq = await this.#log.append(
      {
        type: 'SegmentStored',
        segment: header,
        after: SHIPPED,
        object: ref,
        provenTo: options.provenTo,
        cursor: null,
        atMs: clock.nowMs(),
      },
      body,
    );
    if (key !== null) return { key, start: 0, inEntry: false };
    const entry = writerLogKey(iid, shard, writer, seq);
    const { size } = (await store.head(entry)) ?? { size: 0 };
    return { key: entry, start: size - ref.size, inEntry: true };
  }

  /** A sign of life. */
  async heartbeat(offset: bigint): Promise<void> {
    const atMs = this.#ports.clock.nowMs();
    await this.#log.append({ type: 'Heartbeat', timeline: TIMELINE, offset, provenTo: null, atMs });
    this.#ports.clock.now += 1; // the same event twice would be one entry
  }

  /** A clean stop. */
  async release(): Promise<void> {
    await this.#log.release();
  }

  async #put(
    plain: Buffer,
    place: {
      readonly dataKey: DataKey;
      readonly kind: ObjectKind;
      readonly start: bigint;
      readonly key: string | null;
    },
  ): Promise<{ readonly ref: ObjectRef; readonly body?: Buffer }> {
    const { store, random } = this.#ports;
    const { dataKey, kind, start, key } = place;
    const { bytes, digest } = sealBytes(plain, {
      dataKey,
      kind,
      compression: COMPRESSION.zstd,
      identity: objectIdentity({ ...PLACE, timeline: TIMELINE, start, kind, key }),
      random,
    });
    const ref = { key, size: bytes.length, digest, dekId: dataKey.id, kind };
    if (key === null) return { ref, body: bytes };
    await store.putIfAbsent(key, bytesOf(bytes));
    return { ref };
  }
}

async function putDataKey(
  { store, keys }: TinyArchivePorts,
  purpose: 'segments' | 'snapshot',
): Promise<{ readonly dataKey: DataKey; readonly path: string }> {
  const { dataKey, wrapped } = await keys.generateDataKey({ instance: TINY_INSTANCE, purpose });
  const path = wrappedKeyKey(TINY_INSTANCE, dataKey.id, 1);
  await store.putIfAbsent(path, bytesOf(encodeWrappedDataKey(wrapped)));
  return { dataKey, path };
}
