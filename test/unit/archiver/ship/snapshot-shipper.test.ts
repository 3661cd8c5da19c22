import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { unpackSnapshot, type Mark } from '@tidemark/archive';
import type { SnapshotStored } from '@tidemark/catalog';
import { bytesOf } from '@tidemark/core';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readRdbBytes } from '../../../../services/archiver/src/capture/rdb-bytes.ts';
import { shipBase } from '../../../../services/archiver/src/capture/ship-base.ts';
import type { TimelineWriter } from '../../../../services/archiver/src/capture/timeline-writer.ts';
import { fileBytes } from '../../../../services/archiver/src/ship/file-bytes.ts';
import { shipSnapshot } from '../../../../services/archiver/src/ship/snapshot-shipper.ts';
import { opened, START_MS } from '../../../support/log-events.ts';
import { failsBefore, MemoryStore } from '../../../support/memory-store.ts';
import { patternBytes } from '../../../support/pattern.ts';
import { RdbBuilder } from '../../../support/rdb-builder.ts';
import { collect } from '../../../support/segments.ts';
import { logged, openShipped, openShipRun, type ShipRun } from '../../../support/ship-harness.ts';
import { TempDir } from '../../../support/temp-dir.ts';

const SECOND = START_MS / 1000;
const RDB = new RdbBuilder({ version: 10 })
  .aux('redis-ver', '7.0.15')
  .aux('ctime', String(SECOND - 100))
  .selectDb(2)
  .string('kept-secret', patternBytes(3_000_000))
  .build();

let temp: TempDir;
let store: MemoryStore;
let run: ShipRun;
let path: string;
beforeEach(async () => {
  temp = await TempDir.create();
  store = new MemoryStore();
  run = await openShipRun(temp.path, store);
  await run.log.append(opened());
  path = join(temp.path, 'base.rdb');
  await writeFile(path, RDB);
});
afterEach(() => temp[Symbol.asyncDispose]());

const job = () => ({
  ...{
    backup: 'bk-1',
    open: fileBytes(path),
    timeline: 't1',
    offset: 500n,
    mode: 'manual' as const,
  },
  from: () => Promise.resolve(SECOND),
});
const ship = (): Promise<SnapshotStored> => shipSnapshot(job(), run.options, run.backlog);

describe('shipSnapshot()', () => {
  it('stores the base sealed under a key of its own and logs it with its summary', async () => {
    const event = await ship();
    expect(event).toMatchObject({
      ...{ type: 'SnapshotStored', backup: 'bk-1', timeline: 't1', offset: 500n, mode: 'manual' },
      ...{ from: SECOND, rdbBytes: RDB.length },
      summary: { keys: 1, maxDb: 2, version: 10, checksum: 'verified' },
    });
    const [entry] = await logged(store, 'SnapshotStored');
    expect(entry!.event).toMatchObject({ ...event, summary: { keys: 1, bytes: RDB.length } });
    const plain = await openShipped(store, entry!, { timeline: 't1', start: 500n });
    expect((await collect(unpackSnapshot(bytesOf(plain)))).equals(RDB)).toBe(true);
    expect([await readdir(run.spoolDir), run.spool.bytes]).toEqual([[], 0]);
    const all = Buffer.concat([...store.objects.values()]);
    expect(all.includes('kept-secret')).toBe(false);
  });

  it('stores the RDB at the start of a file that goes on with commands', async () => {
    await writeFile(path, Buffer.concat([RDB, Buffer.from('*1\r\n$4\r\nPING\r\n')]));
    expect(await readRdbBytes(path, new AbortController().signal)).toBe(RDB.length);
    await shipSnapshot({ ...job(), open: fileBytes(path, RDB.length) }, run.options, run.backlog);
    const [entry] = await logged(store, 'SnapshotStored');
    const plain = await openShipped(store, entry!, { timeline: 't1', start: 500n });
    expect((await collect(unpackSnapshot(bytesOf(plain)))).equals(RDB)).toBe(true);
  });

  it('stores the empty dataset, which no file holds, as an RDB that every server loads', async () => {
    const event = await shipSnapshot({ ...job(), open: null }, run.options, run.backlog);
    expect(event.summary).toMatchObject({ keys: 0, version: 9, checksum: 'verified' });
    expect(event.rdbBytes).toBe(18);
  });

  it('knows the length of an RDB that fills its file, and of none that is damaged', async () => {
    const { signal } = new AbortController();
    expect(await readRdbBytes(path, signal)).toBe(RDB.length);
    await writeFile(path, RDB.subarray(0, -1));
    await expect(readRdbBytes(path, signal)).rejects.toMatchObject({ code: 'TM_RDB_TRUNCATED' });
  });

  it.each<[string, Buffer, string]>([
    ['with a changed byte', Buffer.from(RDB).fill(0x41, 1_000_000, 1_000_001), 'TM_RDB_CHECKSUM'],
    ['that ends too early', RDB.subarray(0, -1), 'TM_RDB_TRUNCATED'],
    ['that is none', Buffer.from('not an RDB at all'), 'TM_RDB_MAGIC'],
  ])('makes no snapshot of a base %s', async (_, bytes, code) => {
    await writeFile(path, bytes);
    await expect(ship()).rejects.toMatchObject({ code });
    expect(await logged(store, 'SnapshotStored')).toEqual([]);
    expect(store.keys().filter((key) => key.includes('/rdb/'))).toEqual([]);
    expect([await readdir(run.spoolDir), run.spool.bytes]).toEqual([[], 0]);
  });

  it('waits for a store that is away, from its key on', async () => {
    let left = 5;
    run.faults.hook = ({ op, key }) => (op === 'put' && left-- > 0 ? failsBefore(key) : undefined);
    await ship();
    expect(run.told.at(-1)).toBe('recovered');
    expect(await logged(store, 'SnapshotStored')).toHaveLength(1);
  });

  it('gives up when the spool cannot hold it, and leaves nothing there', async () => {
    run = await openShipRun(temp.path, store, { spoolMax: 1_000_000 });
    await expect(ship()).rejects.toMatchObject({ code: 'TM_SPOOL' });
    expect([await readdir(run.spoolDir), run.spool.bytes]).toEqual([[], 0]);
  });

  it('stops with the signal', async () => {
    const reason = new Error('stopped');
    run.stop.abort(reason);
    await expect(ship()).rejects.toBe(reason);
  });

  it.each([
    ['once', []],
    ['also where it stands at the offset of the one before', ['bk-0']],
  ])('is shipped after a crash, %s', async (_, earlier) => {
    for (const backup of earlier) {
      await shipSnapshot({ ...job(), backup }, run.options, run.backlog);
    }
    const killed = new Error('killed');
    run.faults.hook = ({ key }) =>
      key.includes('/rdb/')
        ? {
            after: () => {
              throw killed;
            },
          }
        : undefined;
    await expect(ship()).rejects.toBe(killed);
    const again = await openShipRun(temp.path, store);
    expect(await again.recover()).toBe(1);
    expect(await again.recover()).toBe(0);
    const entries = await logged(store, 'SnapshotStored');
    const backups = entries.map(({ event }) => (event as SnapshotStored).backup);
    expect(backups).toEqual([...earlier, 'bk-1']);
    const plain = await openShipped(store, entries.at(-1)!, { timeline: 't1', start: 500n });
    expect((await collect(unpackSnapshot(bytesOf(plain)))).equals(RDB)).toBe(true);
  });
});

describe('shipBase()', () => {
  const base = { name: 'base', seq: 1, size: RDB.length, alignedSeq: 1 };
  const mark = (offset: bigint, second: number): Mark => ({
    ...{ offset, notBeforeMs: second * 1000 + 300, notAfterMs: null, source: 'sample' },
  });
  async function from(
    secondBefore: number | null,
    firstMark: Mark | null,
    servesFrom: number | null = null,
  ): Promise<number> {
    const writer = { timeline: 't1', firstMark } as unknown as TimelineWriter;
    const place = { offset: 0n, secondBefore, servesFrom };
    const wanted = { base: { ...base, open: fileBytes(path) }, ...place, mode: 'attach' as const };
    return (await shipBase(wanted, () => writer, run.options, run.backlog)).from;
  }

  it('serves from the latest second seen before it', async () => {
    expect(await from(SECOND - 7, mark(0n, SECOND))).toBe(SECOND - 7);
  });

  it('serves from the second after that when it stands within the stream and is the first', async () => {
    const writer = { timeline: 't1', firstMark: mark(40n, SECOND) } as unknown as TimelineWriter;
    const served = async (over: { position?: number; offset: bigint; isFirst: boolean }) => {
      const { position, offset, isFirst } = over;
      const at = position === undefined ? {} : { position };
      const wanted = { base: { ...base, ...at, open: fileBytes(path) }, offset, isFirst };
      const place = { secondBefore: SECOND, servesFrom: null, mode: 'attach' as const };
      return (await shipBase({ ...wanted, ...place }, () => writer, run.options, run.backlog)).from;
    };
    expect(await served({ position: 80, offset: 80n, isFirst: true })).toBe(SECOND + 1);
    expect(await served({ position: 80, offset: 80n, isFirst: false })).toBe(SECOND);
    expect(await served({ offset: 80n, isFirst: true })).toBe(SECOND);
  });

  it('serves from its creation on when nothing was written until the first mark', async () => {
    expect(await from(null, mark(0n, SECOND))).toBe(SECOND - 100);
  });

  it('serves from the first mark on when commands ran before it at unknown times', async () => {
    expect(await from(null, mark(40n, SECOND))).toBe(SECOND);
  });

  it('serves from the first mark on when its clock was ahead', async () => {
    expect(await from(null, mark(0n, SECOND - 200))).toBe(SECOND - 200);
  });

  it('serves no second of an earlier timeline', async () => {
    expect(await from(null, mark(0n, SECOND), SECOND - 3)).toBe(SECOND - 3);
    expect(await from(null, mark(40n, SECOND), SECOND - 3)).toBe(SECOND);
  });

  it('serves from now on when no mark comes for a minute', async () => {
    expect(await from(null, null)).toBe(SECOND + 60);
    expect(run.clock.now).toBe(START_MS + 60_000);
  });

  it('waits for no mark once its timeline is about to be closed', async () => {
    const writer = { timeline: 't1', firstMark: null } as unknown as TimelineWriter;
    const place = { offset: 0n, secondBefore: null, servesFrom: null };
    const wanted = { base: { ...base, open: fileBytes(path) }, ...place, mode: 'attach' as const };
    const left = { ...wanted, isLeft: () => true };
    const stored = await shipBase(left, () => writer, run.options, run.backlog);
    expect([stored.from, run.clock.now]).toEqual([SECOND, START_MS]);
  });

  it('needs an open timeline', async () => {
    const wanted = {
      base: { ...base, open: fileBytes(path) },
      offset: 0n,
      secondBefore: 1,
      servesFrom: null,
      mode: 'attach' as const,
    };
    await expect(shipBase(wanted, () => null, run.options, run.backlog)).rejects.toMatchObject({
      code: 'TM_INTERNAL',
    });
  });
});
