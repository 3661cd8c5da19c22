import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { patternBytes } from '../../../support/pattern.ts';
import { collect } from '../../../support/segments.ts';
import { TempDir } from '../../../support/temp-dir.ts';
import {
  bytesAmong,
  inShort,
  openWire,
  readAll,
  REPLID_A,
  REPLID_B,
  syncWire,
  wireFiles,
} from '../../../support/wire-spool.ts';

let temp: TempDir;
let dir: string;
beforeEach(async () => {
  temp = await TempDir.create();
  dir = join(temp.path, 'wire');
});
afterEach(() => temp[Symbol.asyncDispose]());

const never = new AbortController().signal;

describe('WireSpool', () => {
  it('gives histories, renames and bytes in order, also after it was opened again', async () => {
    const wanted = [
      'history 0 a at 100',
      'first after 100',
      'renamed b at 105',
      'second after 105',
      'history 1 a at 7',
      'third after 7',
    ];
    {
      await using spool = await openWire(dir);
      expect(spool.newest).toBe(null);
      await syncWire(spool);
      await spool.append(Buffer.from('first'));
      await spool.continueAs(REPLID_B);
      await spool.append(Buffer.from('second'));
      await syncWire(spool, { seq: 1, offset: 7n });
      await spool.append(Buffer.from('third'));
      await spool.flush();
      expect(inShort(await readAll(spool.read(null)))).toEqual(wanted);
      expect(spool.newest).toMatchObject({ from: 7n, to: 12n, snapshot: 'whole' });
    }
    await using again = await openWire(dir);
    expect(inShort(await readAll(again.read(null)))).toEqual(wanted);
    expect(again.newest).toMatchObject({ from: 7n, to: 12n, history: { seq: 1 } });
  });

  it('goes on where it ended, and the reader does not see the seam', async () => {
    let ino = '';
    for (const text of ['one', 'two', 'three']) {
      await using spool = await openWire(dir);
      if (ino === '') ino = await syncWire(spool);
      await spool.append(Buffer.from(text));
    }
    await using spool = await openWire(dir);
    const items = await readAll(spool.read({ seq: 0, ino, position: 102n }));
    expect(inShort(items)).toEqual(['history 0 a at 102', 'etwothree after 102']);
  });

  it('keeps what is far larger than its memory, frame for frame', async () => {
    const bytes = patternBytes(9 * 2 ** 20 + 5);
    await using spool = await openWire(dir, { fileBytesMax: 2 ** 20 });
    await syncWire(spool, { offset: 0n });
    await spool.append(bytes);
    const reader = spool.read(null);
    const first = await readAll(reader);
    await spool.append(Buffer.from('more'));
    await spool.flush();
    const more = await readAll(reader);
    expect(bytesAmong(first).equals(bytes.subarray(0, bytesAmong(first).length))).toBe(true);
    expect(
      bytesAmong([...first, ...more]).equals(Buffer.concat([bytes, Buffer.from('more')])),
    ).toBe(true);
    expect((await wireFiles(dir, 'stream')).length).toBeGreaterThan(7);
  });

  it('wakes a reader that waits, within what a small chunk may be late', async () => {
    await using spool = await openWire(dir);
    await syncWire(spool);
    const reader = spool.read(null);
    await readAll(reader);
    const waiting = reader.next(never);
    await spool.append(Buffer.from('x'));
    await expect(waiting).resolves.toMatchObject({ kind: 'bytes', position: 100n });
    expect(await reader.next(never)).toEqual({ kind: 'idle' });
    const renamed = reader.next(never);
    await spool.continueAs(REPLID_B);
    await expect(renamed).resolves.toMatchObject({ kind: 'renamed', replid: REPLID_B });
    await readAll(reader);
    const history = reader.next(never);
    await syncWire(spool, { seq: 1 });
    await expect(history).resolves.toMatchObject({ kind: 'history', history: { seq: 1 } });
  });

  it('stops waiting when it is told to, and goes on after', async () => {
    await using spool = await openWire(dir);
    await syncWire(spool);
    const reader = spool.read(null);
    await readAll(reader);
    const leave = new AbortController();
    const waiting = reader.next(leave.signal);
    leave.abort(new Error('enough'));
    await expect(waiting).rejects.toThrow('enough');
    await spool.append(Buffer.from('later'));
    expect(await reader.next(never)).toMatchObject({ kind: 'bytes', position: 100n });
  });

  it('counts a history only with its whole snapshot', async () => {
    {
      await using spool = await openWire(dir);
      await syncWire(spool);
      await spool.append(Buffer.from('kept'));
      await spool.beginSync({ seq: 1, replid: REPLID_B, offset: 500n });
      await spool.appendSnapshot(Buffer.from('half'));
      expect(spool.newest).toMatchObject({ history: { seq: 1 }, to: 500n, snapshot: 'partial' });
      expect(inShort(await readAll(spool.read(null)))).toEqual([
        'history 0 a at 100',
        'kept after 100',
      ]);
      await spool.dropPartial();
      await spool.append(Buffer.from('more'));
      expect(spool.newest).toMatchObject({ history: { seq: 0 }, to: 108n });
      await spool.beginSync({ seq: 1, replid: REPLID_B, offset: 500n });
    }
    expect((await wireFiles(dir, 'snapshot')).length).toBe(1);
    await using again = await openWire(dir);
    expect(again.newest).toMatchObject({ history: { seq: 0, replid: REPLID_A }, to: 108n });
  });

  it('gives back a snapshot while it is whole, and lets go of it', async () => {
    const rdb = patternBytes(700_000, 3).toString('latin1');
    await using spool = await openWire(dir);
    const ino = await syncWire(spool, { rdb });
    const wanted = Buffer.from(rdb);
    expect((await collect(spool.snapshotBytes(ino))).equals(wanted)).toBe(true);
    const before = spool.bytes;
    await spool.releaseSnapshot(ino);
    expect(before - spool.bytes).toBeGreaterThan(wanted.length);
    await expect(collect(spool.snapshotBytes(ino))).rejects.toMatchObject({ code: 'TM_SPOOL' });
    expect(spool.newest).toMatchObject({ to: 100n, snapshot: 'none' });
    await using again = await openWire(dir);
    expect(again.newest).toMatchObject({ history: { ino }, to: 100n, snapshot: 'none' });
  });

  it('releases files and histories before a place, never the newest one', async () => {
    await using spool = await openWire(dir, { fileBytesMax: 1 });
    const old = await syncWire(spool);
    for (const text of ['aa', 'bb']) {
      await spool.append(Buffer.from(text));
      await spool.flush();
    }
    const ino = await syncWire(spool, { seq: 1, offset: 10n });
    for (const text of ['cc', 'dd', 'ee']) {
      await spool.append(Buffer.from(text));
      await spool.flush();
    }
    await spool.releaseBefore({ seq: 0, ino: old, position: 103n });
    const rest = ['history 1 a at 10', 'ccddee after 10'];
    expect(inShort(await readAll(spool.read(null)))).toEqual([
      ...['history 0 a at 102', 'bb after 102'],
      ...rest,
    ]);
    await spool.releaseBefore({ seq: 1, ino, position: 10n });
    expect(inShort(await readAll(spool.read(null)))).toEqual(rest);
    await spool.releaseBefore({ seq: 1, ino, position: 99n });
    expect(inShort(await readAll(spool.read(null)))).toEqual(['history 1 a at 14', 'ee after 14']);
    expect(spool.newest).toMatchObject({ from: 14n, to: 16n });
  });

  it('joins a history in the middle, also past what it holds, and shows the gap', async () => {
    await using spool = await openWire(dir);
    await spool.join({ seq: 3, ino: '42', replid: REPLID_A, offset: 1_000n });
    await spool.append(Buffer.from('abc'));
    await spool.flush();
    const reader = spool.read({ seq: 3, ino: '42', position: 1_000n });
    const first = await readAll(reader);
    expect(inShort(first)).toEqual(['history 3 a at 1000', 'abc after 1000']);
    expect(first[0]).toMatchObject({ history: { snapshotOffset: null } });
    await spool.join({ seq: 3, ino: '42', replid: REPLID_B, offset: 1_003n });
    await spool.join({ seq: 3, ino: '42', replid: REPLID_B, offset: 2_000n });
    await spool.append(Buffer.from('xyz'));
    await spool.flush();
    expect(inShort(await readAll(reader))).toEqual(['history 3 b at 2000', 'xyz after 2000']);
    const back = spool.join({ seq: 3, ino: '42', replid: REPLID_B, offset: 1_500n });
    await expect(back).rejects.toMatchObject({ code: 'TM_USAGE', context: { ino: '42' } });
  });

  it('does not give bytes again that were read before they were lost', async () => {
    await using spool = await openWire(dir);
    const ino = await syncWire(spool);
    const reader = spool.read({ seq: 0, ino, position: 104n });
    await spool.append(Buffer.from('lost'));
    await spool.append(Buffer.from('new'));
    await spool.flush();
    expect(inShort(await readAll(reader))).toEqual(['history 0 a at 104', 'new after 104']);
  });

  it('begins with the next history when the place is of one that has gone', async () => {
    await using spool = await openWire(dir);
    const reader = spool.read({ seq: 4, ino: '77', position: 5n });
    await syncWire(spool, { seq: 3 });
    expect(inShort(await readAll(reader))).toEqual([]);
    await syncWire(spool, { seq: 5, offset: 9n });
    expect(inShort(await readAll(reader))).toEqual(['history 5 a at 9']);
  });

  it('keeps a snapshot beside the stream under its name, and none that was broken off', async () => {
    const rdb = patternBytes(600_000, 4);
    async function* chunks(fault?: Error): AsyncGenerator<Buffer> {
      yield await Promise.resolve(rdb.subarray(0, 300_000));
      if (fault !== undefined) throw fault;
      yield rdb.subarray(300_000);
    }
    {
      await using spool = await openWire(dir);
      expect(await spool.writeAside('b-1', chunks())).toEqual({ bytes: rdb.length });
      await expect(spool.writeAside('b-2', chunks(new Error('link lost')))).rejects.toThrow('lost');
      expect(await wireFiles(dir, 'aside')).toEqual([join(dir, 'b-1.aside')]);
    }
    await using again = await openWire(dir);
    expect((await collect(again.readAside('b-1'))).equals(rdb)).toBe(true);
    const { bytes } = again;
    expect(bytes).toBeGreaterThan(rdb.length);
    await again.dropAside('b-1');
    await again.dropAside('b-1');
    expect(again.bytes).toBe(0);
    await expect(collect(again.readAside('b-1'))).rejects.toMatchObject({
      ...{ code: 'TM_SPOOL_DAMAGED', context: { file: 'b-1.aside' } },
    });
    await expect(async () => again.writeAside('../b', chunks())).rejects.toMatchObject({
      code: 'TM_USAGE',
    });
  });

  it('refuses to append where there is no history', async () => {
    await using spool = await openWire(dir);
    await expect(spool.append(Buffer.from('x'))).rejects.toMatchObject({ code: 'TM_USAGE' });
    await expect(spool.continueAs(REPLID_B)).rejects.toMatchObject({ code: 'TM_USAGE' });
    await expect(spool.endSnapshot()).rejects.toMatchObject({ code: 'TM_USAGE' });
  });
});
