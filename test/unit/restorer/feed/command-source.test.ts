import type { CommandBatch } from '@tidemark/aof';
import { bytesOf } from '@tidemark/core';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  commandSource,
  skipBytes,
  type CommandForm,
} from '../../../../services/restorer/src/feed/command-source.ts';
import { snapshotSource } from '../../../../services/restorer/src/feed/snapshot-source.ts';
import type { WantedPoint } from '../../../../services/restorer/src/plan/make-plan.ts';
import type { TtlChoice } from '../../../../services/restorer/src/plan/ttl-rule.ts';
import type { OpenedOrder } from '../../../../services/restorer/src/feeder/opened-order.ts';
import { layOut, type Element } from '../../../support/aof-layout.ts';
import { command, linesOf } from '../../../support/command-log.ts';
import { openPlanned } from '../../../support/opened-plan.ts';
import { inChunks, patternBytes } from '../../../support/pattern.ts';
import { RdbBuilder } from '../../../support/rdb-builder.ts';
import { scanChunks } from '../../../support/rdb-scan.ts';
import { collect } from '../../../support/segments.ts';
import { ARCHIVED, FIRST, TestArchive } from '../../../support/test-archive.ts';

const ALIVE_MS = (FIRST + 500) * 1000;
const DEAD_MS = (FIRST - 500) * 1000;
const RDB = new RdbBuilder({ version: 10 })
  .selectDb(0)
  .entry({ key: 'alive', expiryMs: ALIVE_MS })
  .entry({ key: 'dead', expiryMs: DEAD_MS })
  .build();
const LARGE: Element = ['SET', 'large', patternBytes(400_000)];

let archive: TestArchive;
let opened: OpenedOrder[];
beforeEach(async () => {
  opened = [];
  archive = await TestArchive.begun(RDB);
});
afterEach(async () => {
  for (const prepared of opened) prepared[Symbol.dispose]();
  await archive[Symbol.asyncDispose]();
});

type Mode = Exclude<TtlChoice['mode'], 'rebase' | 'shift'>;

async function prepare(point: WantedPoint, mode: Mode = 'absolute'): Promise<OpenedOrder> {
  const request = { instance: ARCHIVED, point, ttl: { mode } };
  const prepared = await openPlanned(request, await archive.environment());
  opened.push(prepared);
  return prepared;
}
const latest = { kind: 'latest' } as const;
const end = (): WantedPoint => ({ kind: 'offset', offset: archive.end, timeline: null });
/** A target that takes everything as it is. */
const FORM: CommandForm = {
  target: { product: 'redis', versionNumber: 8_06_03, databases: 16, commands: null },
  guardFieldPersist: false,
};
const feed = ({ plan, reader }: OpenedOrder, form: Partial<CommandForm> = {}): Promise<Buffer> =>
  collect(commandSource(plan, reader, { ...FORM, ...form }));

describe('commandSource()', () => {
  it('is a SELECT and the bytes from the snapshot to the cut, the same each time', async () => {
    archive.write(['SELECT', '5'], ['SET', 'before', '1']);
    await archive.roll();
    await archive.snapshot('bk-1', RDB);
    const wanted: Element[] = [['SET', 'a', '1'], ['MULTI'], LARGE, ['EXEC']];
    archive.write(...wanted.slice(0, 2));
    await archive.roll();
    archive.write(...wanted.slice(2));
    await archive.roll();
    archive.write(`#TS:${FIRST + 1}`, ['SET', 'later', '1']);
    await archive.roll();
    const prepared = await prepare({ kind: 'second', second: FIRST });
    const [once, again] = [await feed(prepared), await feed(prepared)];
    const expected = Buffer.concat([command('SELECT', '5'), layOut(wanted).stream]);
    expect(once.equals(expected)).toBe(true);
    expect(again.equals(expected)).toBe(true);
  });

  it('takes only the wanted part of a segment', async () => {
    const base = archive.write(['SET', 'a', '1']);
    const cut = archive.write(['SET', 'b', '2']);
    archive.write(['SET', 'c', '3']);
    await archive.roll();
    const { plan, reader } = await prepare({ kind: 'offset', offset: cut, timeline: null });
    const part = { ...plan, reads: plan.reads.map((read) => ({ ...read, from: base })) };
    const bytes = await collect(commandSource(part, reader, FORM));
    expect(linesOf(bytes)).toEqual(['SELECT 0', 'SET b 2']);
  });

  it('is empty when the snapshot is all that is wanted', async () => {
    expect(await feed(await prepare({ kind: 'backup', backup: 'bk-0' }))).toHaveLength(0);
  });

  it('takes a log of which nobody knows the server', async () => {
    archive.write(['SET', 'a', '1'], ['PEXPIREAT', 'a', ALIVE_MS.toString()]);
    await archive.roll();
    const { plan, reader } = await prepare(end());
    for (const version of ['unknown', '']) {
      const unknown = { ...plan, source: { product: 'redis', version } } as const;
      const bytes = await collect(commandSource(unknown, reader, FORM));
      expect(linesOf(bytes)).toEqual(['SELECT 0', 'SET a 1', `PEXPIREAT a ${ALIVE_MS}`]);
    }
  });

  it('shows every command that it feeds, with its database', async () => {
    archive.write(['SELECT', '3'], ['SET', 'a', '1']);
    await archive.roll();
    archive.write(['DEL', 'a']);
    await archive.roll();
    const { plan, reader } = await prepare(end());
    const seen: number[] = [];
    const note = (batch: CommandBatch): void => {
      for (let row = 0; row < batch.count; row++) seen.push(batch.db[row]!);
    };
    await collect(commandSource(plan, reader, FORM, { onBatch: note }));
    expect(seen).toEqual([0, 3, 3, 3]);
  });

  it.each<[Mode, string[]]>([
    ['absolute', [`PEXPIREAT a ${ALIVE_MS}`, `PEXPIREAT b ${DEAD_MS}`]],
    ['remaining', [`PEXPIREAT a ${ALIVE_MS + 3_600_000}`, `PEXPIREAT b ${DEAD_MS}`]],
    ['persist', ['PERSIST a', `PEXPIREAT b ${DEAD_MS}`]],
  ])('changes the expiries of what was alive as the rule says: %s', async (mode, lines) => {
    archive.write(['SET', 'a', '1'], ['PEXPIREAT', 'a', String(ALIVE_MS)]);
    archive.write(['PEXPIREAT', 'b', String(DEAD_MS)]);
    await archive.roll();
    const prepared = await prepare(end(), mode);
    const at = { ...prepared.plan.ttl, atMs: FIRST * 1000, nowMs: FIRST * 1000 + 3_600_000 };
    const plan = { ...prepared.plan, ttl: at };
    expect(linesOf(await feed({ ...prepared, plan })).slice(2)).toEqual(lines);
  });

  it('sends a far expiry before HPERSIST where the target would ignore that else', async () => {
    archive.write(['HPERSIST', 'h', 'FIELDS', '1', 'f']);
    await archive.roll();
    const prepared = await prepare(end());
    expect(linesOf(await feed(prepared))).toEqual(['SELECT 0', 'HPERSIST h FIELDS 1 f']);
    const guarded = linesOf(await feed(prepared, { guardFieldPersist: true }));
    expect(guarded[1]).toMatch(/^HPEXPIREAT h \d+ FIELDS 1 f$/);
    expect(guarded[2]).toBe('HPERSIST h FIELDS 1 f');
  });

  it('gives the same bytes for the same target, in the form that it takes', async () => {
    archive.write(['PING'], ['SET', 'a', '1', 'PXAT', String(ALIVE_MS)], ['LPOP', 'l', '2']);
    await archive.roll();
    const prepared = await prepare(end(), 'persist');
    const target = { ...FORM.target, versionNumber: 6_00_16 };
    const [once, again] = [await feed(prepared, { target }), await feed(prepared, { target })];
    expect(linesOf(once)).toEqual(['SELECT 0', 'SET a 1', 'PERSIST a', 'LTRIM l 2 -1']);
    expect(again).toEqual(once);
  });

  it('makes relative times of a log of 6.x those that the marks after them tell', async () => {
    await using old = await TestArchive.open();
    await old.begin('t1', 'attach', { version: '6.0.16' });
    await old.snapshot('bk-0', RDB);
    old.write(['RESTORE', 'a', '5000', 'payload']);
    old.sample(FIRST + 2, 10);
    await old.roll();
    old.write(['RESTORE', 'b', '5000', 'payload']);
    old.sample(FIRST + 4);
    const offset = old.write(['SET', 'c', '1']);
    await old.roll();
    const point = { kind: 'offset', offset, timeline: null } as const;
    const request = { instance: ARCHIVED, point, ttl: { mode: 'absolute' } } as const;
    const prepared = await openPlanned(request, await old.environment());
    opened.push(prepared);
    expect(linesOf(await feed(prepared)).slice(1)).toEqual([
      `RESTORE a ${(FIRST + 7) * 1000 + 10} payload ABSTTL`,
      `RESTORE b ${(FIRST + 9) * 1000} payload ABSTTL`,
      'SET c 1',
    ]);
  });

  it('stops before a command that the target cannot run, and names its place', async () => {
    const offset = archive.write(['SET', 'a', '1']);
    archive.write(['COPY', 'a', 'b']);
    await archive.roll();
    const prepared = await prepare(end());
    const target = { ...FORM.target, versionNumber: 6_00_16 };
    await expect(feed(prepared, { target })).rejects.toMatchObject({
      code: 'TM_TARGET_COMMAND',
      context: { command: 'COPY', offset },
    });
  });

  it('stops before a database that the target has not', async () => {
    const offset = archive.write(['SET', 'a', '1']);
    archive.write(['SELECT', '9'], ['SET', 'b', '1']);
    await archive.roll();
    const prepared = await prepare(end());
    const target = { ...FORM.target, databases: 9 };
    await expect(feed(prepared, { target })).rejects.toMatchObject({
      code: 'TM_TARGET_DATABASES',
      context: { command: 'SELECT', offset },
    });
  });

  it('names the object that is damaged', async () => {
    archive.write(LARGE);
    await archive.roll();
    const prepared = await prepare(end());
    const key = archive.store.keys().find((name) => name.includes('/seg/'))!;
    const bytes = Buffer.from(archive.store.objects.get(key)!);
    bytes.writeUInt8(bytes[200_000]! ^ 1, 200_000);
    archive.store.tamper(key, bytes);
    await expect(feed(prepared)).rejects.toMatchObject({
      ...{ code: 'TM_SEAL_CHUNK', exitCode: 14, context: { object: key } },
      message: expect.stringContaining(key) as unknown,
    });
  });
});

describe('skipBytes()', () => {
  const bytes = patternBytes(1_000);

  it.each([0, 1, 99, 100, 101, 550, 999, 1_000])('leaves out the first %i bytes', async (count) => {
    const rest = await collect(skipBytes(inChunks(bytes, 100), BigInt(count)));
    expect(rest.equals(bytes.subarray(count))).toBe(true);
  });

  it('gives nothing of a stream that is shorter', async () => {
    expect(await collect(skipBytes(bytesOf(bytes), 2n ** 60n))).toHaveLength(0);
  });
});

describe('snapshotSource()', () => {
  const feedRdb = ({ plan, reader }: OpenedOrder, version: number | null = null) =>
    collect(snapshotSource(plan, reader, version));

  it('is the RDB of the source, byte by byte', async () => {
    await archive.prove(FIRST + 1);
    expect((await feedRdb(await prepare(latest))).equals(RDB)).toBe(true);
  });

  it('announces the version that the target knows', async () => {
    await archive.prove(FIRST + 1);
    const older = await feedRdb(await prepare(latest), 9);
    expect(older.subarray(0, 9).toString()).toBe('REDIS0009');
    expect(entriesOf(older)).toEqual(entriesOf(RDB));
  });

  it.each<[Mode, number | null]>([
    ['remaining', ALIVE_MS - (FIRST * 1000 + 999) + FIRST * 1000 + 3_600_000],
    ['persist', null],
  ])('changes the expiry of what was alive: %s', async (mode, expiryMs) => {
    await archive.prove(FIRST + 1);
    const prepared = await prepare({ kind: 'second', second: FIRST }, mode);
    expect(entriesOf(await feedRdb(prepared))).toEqual([
      ['alive', expiryMs],
      ['dead', DEAD_MS],
    ]);
  });

  it('names the object that is damaged', async () => {
    await archive.prove(FIRST + 1);
    const prepared = await prepare(latest);
    const key = archive.store.keys().find((name) => name.includes('/rdb/'))!;
    const bytes = Buffer.from(archive.store.objects.get(key)!);
    bytes.writeUInt8(bytes.at(-1)! ^ 1, bytes.length - 1);
    archive.store.tamper(key, bytes);
    await expect(feedRdb(prepared)).rejects.toMatchObject({
      ...{ code: 'TM_SEAL_CHUNK', context: { object: key } },
    });
  });

  function entriesOf(rdb: Buffer): [string, number | null][] {
    return scanChunks([rdb]).entries.map(({ key, expiryMs }) => [key.toString(), expiryMs]);
  }
});
