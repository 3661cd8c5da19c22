import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { KeyEvent } from '../../../../services/restorer/src/find/key-event.ts';
import {
  keyHistory,
  type HistorySearch,
  type HistoryTotals,
} from '../../../../services/restorer/src/find/key-history.ts';
import { patternBytes } from '../../../support/pattern.ts';
import { RdbBuilder } from '../../../support/rdb-builder.ts';
import { ARCHIVED, FIRST, TestArchive } from '../../../support/test-archive.ts';

let archive: TestArchive;
beforeEach(async () => {
  archive = await TestArchive.begun();
});
afterEach(async () => archive[Symbol.asyncDispose]());

async function history(
  key: string | Buffer,
  wish: Partial<HistorySearch> = {},
): Promise<{ events: KeyEvent[]; totals: HistoryTotals }> {
  const window = { since: null, until: null };
  const search = {
    instance: ARCHIVED,
    key: Buffer.from(key),
    db: null,
    window,
    snapshots: false,
    ...wish,
  };
  const result = keyHistory(search, await archive.environment());
  const events: KeyEvent[] = [];
  for await (const batch of result) events.push(...batch);
  return { events, totals: result.totals };
}

/** Command and what it did: `set write`. */
const done = ({ events }: { events: KeyEvent[] }): string[] =>
  events.map(({ command, did, db, other }) => {
    const more = other === null ? '' : ` ${other.key?.toString() ?? '-'}@${other.db.toString()}`;
    return `${db.toString()} ${command} ${did}${more}`;
  });

describe('keyHistory()', () => {
  it('tells writes, deletions and expiries in their order, and nothing of other keys', async () => {
    const past = FIRST * 1000 + 500;
    archive.write(['SET', 'k', 'v'], ['SET', 'other', 'v'], ['PEXPIREAT', 'k', String(past)]);
    await archive.roll();
    archive.sample(FIRST + 1);
    archive.write(['DEL', 'other', 'k'], ['HSET', 'k', 'f', 'v', 'g', 'w'], ['PERSIST', 'k']);
    archive.sample(FIRST + 2);
    archive.write(['SET', 'k', 'v', 'PXAT', '9999999999999'], ['UNLINK', 'k']);
    archive.sample(FIRST + 3);
    await archive.roll();
    const result = await history('k');
    expect(done(result)).toEqual([
      '0 set write',
      '0 pexpireat expire set',
      '0 del delete',
      '0 hset write',
      '0 persist expiry removed',
      '0 set write',
      '0 unlink delete',
    ]);
    const [, expire, del, hset, , set, unlink] = result.events;
    expect(expire).toMatchObject({ expiryMs: past, expired: false });
    expect(del).toMatchObject({ expired: true, notBeforeMs: (FIRST + 1) * 1000 });
    expect(hset).toMatchObject({ argumentCount: 5, expiryMs: null });
    expect(set).toMatchObject({ expiryMs: 9_999_999_999_999 });
    expect(unlink).toMatchObject({ expired: false });
  });

  it('follows what global commands, renames, moves and copies do to it', async () => {
    archive.write(['SET', 'k', 'v'], ['RENAME', 'k', 'b'], ['RENAME', 'c', 'k']);
    archive.write(['MOVE', 'k', '5'], ['COPY', 'b', 'k'], ['COPY', 'k', 'b', 'DB', '2']);
    await archive.roll();
    archive.write(['SWAPDB', '0', '5'], ['SWAPDB', '7', '8'], ['SELECT', '5'], ['FLUSHDB']);
    archive.write(['FLUSHALL'], ['SUNIONSTORE', 'k', 'x', 'y'], ['SMOVE', 'k', 'z', 'm']);
    await archive.roll();
    const before = [
      '0 set write',
      '0 rename rename to b@0',
      '0 rename rename from c@0',
      '0 move move to k@5',
    ];
    expect(done(await history('k', { db: 0 }))).toEqual([
      ...before,
      '0 copy copy from b@0',
      '0 swapdb swapped -@5',
      '0 flushall flushed',
    ]);
    expect(done(await history('k'))).toEqual([
      ...before,
      '5 move move from k@0',
      '0 copy copy from b@0',
      '0 swapdb swapped -@5',
      '7 swapdb swapped -@8',
      '5 flushdb flushed',
      '5 flushall flushed',
      '5 sunionstore write',
      '5 smove write',
    ]);
    expect(done(await history('k', { db: 2 }))).toEqual(['2 flushall flushed']);
    expect(done(await history('b', { db: 2 }))).toContain('2 copy copy from k@0');
  });

  it('tells commands of unknown effect once for each segment and name, in their place', async () => {
    archive.write(['SET', 'k', '1'], ['ts.add', 'a', '1'], ['SET', 'k', '2'], ['ts.add', 'b', '1']);
    archive.write(['SET', 'k', '3']);
    await archive.roll();
    archive.write(['ts.add', 'c', '1']);
    await archive.roll();
    const result = await history('k');
    expect(done(result)).toEqual([
      '0 set write',
      '0 ts.add may have written',
      '0 set write',
      '0 set write',
      '0 ts.add may have written',
    ]);
    expect(result.events.map(({ count }) => count)).toEqual([1, 2, 1, 1, 1]);
  });

  it('finds what stands in transactions, spans frames, or has bytes that are no text', async () => {
    const key = Buffer.from([0xff, 0x00, 0x0a]);
    archive.write(['SET', 'x', patternBytes(1_100_000)]);
    const multi = archive.end;
    archive.write(['MULTI'], ['APPEND', key, patternBytes(2_200_000)], ['INCR', 'n'], ['EXEC']);
    archive.write(['LPUSH', key, '1']);
    await archive.roll();
    const { events } = await history(key);
    expect(events.map(({ command }) => command)).toEqual(['append', 'lpush']);
    expect(events[0]).toMatchObject({ before: multi });
    expect(events[0]!.offset).toBeGreaterThan(multi);
    expect(events[1]!.before).toBe(events[1]!.offset);
  });

  it('fetches only frames that hold the key', async () => {
    for (let i = 0; i < 4; i++) {
      archive.write(['SET', `k${String(i)}`, '1']);
      for (let n = 0; n < 5; n++) archive.write(['SET', 'bulk', patternBytes(1_000_000)]);
      await archive.roll();
    }
    const { events, totals } = await history('k2');
    expect(events).toHaveLength(1);
    expect(totals).toMatchObject({ segments: 4, segmentsRead: 1 });
    expect(totals.readBytes).toBeLessThan(totals.logBytes / 8);
    expect((await history('absent')).totals).toMatchObject({ segmentsRead: 0 });
  });

  it('reads all of a segment for a key that is too long for an index', async () => {
    const key = patternBytes(5_000);
    archive.write(['SET', key, '1'], ['SET', 'other', '1']);
    await archive.roll();
    expect(done(await history(key))).toHaveLength(1);
  });

  it('keeps to the window', async () => {
    for (let second = 0; second < 4; second++) {
      archive.sample(FIRST + second);
      archive.write(['INCR', 'k'], ['ts.add', 'x', '1']);
      archive.sample(FIRST + second, 900);
      await archive.roll();
    }
    const window = { since: FIRST + 1, until: FIRST + 1 };
    expect(done(await history('k', { window }))).toEqual([
      '0 incr write',
      '0 ts.add may have written',
    ]);
  });

  it('looks into snapshots when that is asked for: those of the window, and the one before', async () => {
    const rdb = (expiryMs: number): Buffer =>
      new RdbBuilder({ version: 10 })
        .selectDb(3)
        .entry({ key: 'k', expiryMs })
        .string('other', 'value')
        .build();
    archive.write(['SET', 'k', 'v']);
    archive.sample(FIRST + 1);
    await archive.roll();
    await archive.snapshot('bk-1', rdb(5_000), FIRST + 1);
    archive.write(['DEL', 'k']);
    archive.sample(FIRST + 5);
    await archive.roll();
    await archive.snapshot('bk-2', rdb(6_000), FIRST + 5);
    const all = await history('k', { snapshots: true });
    expect(done(all)).toEqual([
      '0 snapshot not in snapshot',
      '0 set write',
      '3 snapshot in snapshot',
      '0 del delete',
      '3 snapshot in snapshot',
    ]);
    expect(all.events.map(({ snapshot }) => snapshot?.backup)).toEqual([
      ...['bk-0', undefined, 'bk-1', undefined, 'bk-2'],
    ]);
    const [, , held] = all.events;
    expect(held).toMatchObject({
      ...{ expiryMs: 5_000, notAfterMs: (FIRST + 1) * 1000 + 999, snapshot: { type: 'string' } },
    });
    expect(all.totals.snapshotBytes).toBeGreaterThan(0);
    const window = { since: FIRST + 2, until: FIRST + 4 };
    const late = await history('k', { snapshots: true, db: 3, window });
    expect(done(late)).toEqual(['3 snapshot in snapshot']);
    expect(late.events[0]!.snapshot!.backup).toBe('bk-1');
    expect((await history('k')).totals.snapshotBytes).toBe(0);
  });
});
