import { packSnapshot, type SegmentHeader } from '@tidemark/archive';
import { bytesOf } from '@tidemark/core';
import { passRdb, type RdbSummary } from '@tidemark/rdb';
import { describe, expect, it } from 'vitest';
import type { PlannedObject } from '../../../../services/restorer/src/plan/restore-plan.ts';
import type {
  LoggedSegment,
  LoggedSnapshot,
} from '../../../../services/restorer/src/verify/stored-objects.ts';
import {
  StreamCheck,
  verifySnapshotContent,
} from '../../../../services/restorer/src/verify/verify-content.ts';
import { packerOf } from '../../../../libs/archive/src/frames/zstd.ts';
import { command } from '../../../support/command-log.ts';
import { RdbBuilder } from '../../../support/rdb-builder.ts';
import { buildSegments, chunked, collect, type TestSegment } from '../../../support/segments.ts';

const LOG = Buffer.concat([
  command('SELECT', 3),
  command('SET', 'a', '1'.repeat(50)),
  command('MULTI'),
  command('INCR', 'b'),
  command('SELECT', 7),
  command('SET', 'long', Buffer.alloc(400, 'x')),
  command('EXEC'),
  command('DEL', 'a'),
]);

/** The log in segments that end anywhere. */
function segmentsOf(bytes: number): TestSegment[] {
  const groups: Buffer[][] = [];
  for (let at = 0; at < LOG.length; at += bytes) groups.push([LOG.subarray(at, at + bytes)]);
  return buildSegments(groups);
}

const objectOf = (at: number): PlannedObject =>
  ({ ref: { readKey: `s${at}` }, timeline: 'tl-1', start: 0n }) as unknown as PlannedObject;

/** A check of segments, and what it read. */
function checkOf(segments: readonly TestSegment[]): {
  check: StreamCheck;
  logged: (at: number, change?: Partial<SegmentHeader>) => LoggedSegment;
  read: string[];
} {
  const read: string[] = [];
  const check = new StreamCheck(({ ref }) => {
    read.push(ref.readKey);
    return Promise.resolve(chunked(segments[Number(ref.readKey.slice(1))]!.payload, 64));
  });
  const logged = (at: number, change: Partial<SegmentHeader> = {}): LoggedSegment => {
    const next = segments[at + 1]?.header;
    return {
      kind: 'segment',
      object: objectOf(at),
      header: { ...segments[at]!.header, ...change },
      after: next ?? { db: 7, inMulti: false, partialBytes: 0 },
    };
  };
  return { check, logged, read };
}

describe('StreamCheck', () => {
  it('follows a stream through segments that end within commands and transactions', async () => {
    for (const bytes of [7, 33, 100, LOG.length]) {
      const segments = segmentsOf(bytes);
      const { check, logged, read } = checkOf(segments);
      for (const at of segments.keys()) await check.verify(logged(at));
      expect(read).toHaveLength(segments.length);
    }
  });

  it('decodes any one segment, and reads back only to the beginning of its first command', async () => {
    const segments = segmentsOf(60);
    for (const only of segments.keys()) {
      const { check, logged, read } = checkOf(segments);
      for (const at of segments.keys()) {
        if (at === only) await check.verify(logged(at));
        else check.pass(logged(at));
      }
      const { start, partialBytes } = segments[only]!.header;
      const from = start - BigInt(partialBytes);
      const needed = segments.flatMap(({ header }, at) =>
        at === only || (header.end > from && header.start < start) ? [`s${at}`] : [],
      );
      expect(read).toEqual(needed);
    }
  });

  it.each<[string, Partial<SegmentHeader>]>([
    ['number of commands', { commands: 99 }],
    ['database', { db: 2 }],
    ['transaction', { inMulti: false }],
    ['unfinished command', { partialBytes: 1 }],
  ])('refuses a segment whose %s is another than the log says', async (_, change) => {
    const segments = segmentsOf(150);
    const at = segments.findIndex(({ header }) => header.inMulti && header.partialBytes > 0);
    expect(at).toBeGreaterThan(0);
    const { check, logged } = checkOf(segments);
    for (let before = 0; before < at; before++) await check.verify(logged(before));
    await expect(check.verify(logged(at, change))).rejects.toMatchObject({
      ...{ code: 'TM_SEGMENT_FORMAT', exitCode: 14 },
    });
  });

  it('refuses a stream that does not decode, and follows the next segment all the same', async () => {
    const segments = buildSegments([[LOG], [LOG], [LOG]]);
    const { logged } = checkOf(segments);
    // A frame that is whole, with bytes that begin within a command.
    const shifted = Buffer.concat([LOG, LOG]).subarray(5, 5 + LOG.length);
    const bad = Buffer.concat([packerOf().pack(shifted), Buffer.alloc(8)]);
    const check = new StreamCheck(({ ref }) =>
      Promise.resolve(
        bytesOf(ref.readKey === 's1' ? bad : segments[Number(ref.readKey.slice(1))]!.payload),
      ),
    );
    await check.verify(logged(0));
    await expect(check.verify(logged(1))).rejects.toMatchObject({ exitCode: 14 });
    await check.verify(logged(2));
  });

  it('reads a segment to its last byte, also what follows its frames', async () => {
    const [segment] = segmentsOf(LOG.length);
    let ended = false;
    const check = new StreamCheck(() =>
      Promise.resolve(
        (async function* () {
          yield* chunked(segment!.payload, 64);
          ended = true;
        })(),
      ),
    );
    await check.verify({
      kind: 'segment',
      object: objectOf(0),
      header: segment!.header,
      after: null,
    });
    expect(ended).toBe(true);
  });
});

describe('verifySnapshotContent()', () => {
  const rdb = new RdbBuilder({ version: 10 }).selectDb(0).string('k', 'v'.repeat(200)).build();

  async function snapshotOf(
    bytes: Buffer,
    said: Partial<RdbSummary> = {},
  ): Promise<{
    logged: LoggedSnapshot;
    payload: Buffer;
  }> {
    let found: RdbSummary | null = null;
    await collect(passRdb(bytesOf(rdb), (summary) => (found = summary)));
    const summary = { ...(found as unknown as RdbSummary), ...said };
    const place = { timeline: 'tl-1', offset: 5n };
    const payload = await collect(
      packSnapshot(bytesOf(bytes), { ...place, summary: () => summary }),
    );
    const event = {
      ...place,
      rdbBytes: summary.bytes,
      summary,
    } as unknown as LoggedSnapshot['event'];
    return { payload, logged: { kind: 'snapshot', object: objectOf(0), event } };
  }

  it('reads a whole RDB to its checksum', async () => {
    const { logged, payload } = await snapshotOf(rdb);
    await verifySnapshotContent(logged, () => Promise.resolve(bytesOf(payload)));
  });

  it('refuses an RDB whose checksum does not hold, though it is packed as it should be', async () => {
    const changed = Buffer.from(rdb);
    changed.writeUInt8(changed.readUInt8(60) ^ 1, 60);
    const { logged, payload } = await snapshotOf(changed);
    await expect(
      verifySnapshotContent(logged, () => Promise.resolve(bytesOf(payload))),
    ).rejects.toMatchObject({ exitCode: 14, code: expect.stringContaining('TM_RDB_') as string });
  });

  it('refuses an RDB that is another than the log describes', async () => {
    const { logged, payload } = await snapshotOf(rdb, { keys: 2 });
    await expect(
      verifySnapshotContent(logged, () => Promise.resolve(bytesOf(payload))),
    ).rejects.toMatchObject({ code: 'TM_SEAL_DIGEST', exitCode: 14 });
  });
});
