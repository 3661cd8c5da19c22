import { readdir, readFile, rename, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { patternBytes } from '../../../support/pattern.ts';
import { collect } from '../../../support/segments.ts';
import { TempDir } from '../../../support/temp-dir.ts';
import {
  bytesAmong,
  harm,
  inShort,
  openWire,
  readAll,
  REPLID_B,
  syncWire,
  WIRE_KEY,
  wireFiles,
} from '../../../support/wire-spool.ts';

let temp: TempDir;
let dir: string;
beforeEach(async () => {
  temp = await TempDir.create();
  dir = join(temp.path, 'wire');
});
afterEach(() => temp[Symbol.asyncDispose]());

/** Two histories; the first has a file for each of its three texts. */
async function twoHistories(): Promise<readonly string[]> {
  await using spool = await openWire(dir, { fileBytesMax: 1 });
  const inos = [await syncWire(spool)];
  for (const text of ['one', 'two', 'three']) {
    await spool.append(Buffer.from(text));
    await spool.flush();
  }
  inos.push(await syncWire(spool, { seq: 1, offset: 50n }));
  await spool.append(Buffer.from('later'));
  return inos;
}

const later = ['history 1 a at 50', 'later after 50'];

async function found(): Promise<readonly string[]> {
  await using spool = await openWire(dir);
  return inShort(await readAll(spool.read(null)));
}

describe('a wire spool that is opened again', () => {
  it('is whole when nothing happened to it', async () => {
    await twoHistories();
    expect(await found()).toEqual(['history 0 a at 100', 'onetwothree after 100', ...later]);
  });

  it('is empty when it is another writer that left it', async () => {
    await twoHistories();
    await using spool = await openWire(dir, { writer: 'w-2' });
    expect(spool.newest).toBe(null);
    expect(spool.bytes).toBe(0);
    expect(await readdir(dir)).toEqual([]);
  });

  it('ends a history at a file that cannot be opened, and keeps the next one', async () => {
    await twoHistories();
    const [, second] = await wireFiles(dir, 'stream');
    await harm(second!, 'flip', 20);
    expect(await found()).toEqual(['history 0 a at 100', 'one after 100', ...later]);
    expect(await wireFiles(dir, 'stream')).toHaveLength(2);
  });

  it('cuts a torn frame, and never writes behind it in the same file', async () => {
    await twoHistories();
    const last = (await wireFiles(dir, 'stream')).at(-1)!;
    const { size } = await stat(last);
    await harm(last, 'cut', size - 1);
    {
      await using spool = await openWire(dir);
      expect(spool.newest).toMatchObject({ to: 50n });
      await spool.append(Buffer.from('LATER'));
    }
    expect((await stat(last)).size).toBe(size - 32 - 'later'.length);
    expect((await found()).slice(-2)).toEqual(['history 1 a at 50', 'LATER after 50']);
  });

  it('gives a prefix of whole frames wherever a byte is changed or the file is cut', async () => {
    {
      await using spool = await openWire(dir);
      await syncWire(spool);
      for (const text of ['one', 'two', 'three']) {
        await spool.append(Buffer.from(text));
        await spool.flush();
      }
    }
    const [path] = await wireFiles(dir, 'stream');
    const bytes = await readFile(path!);
    const prefixes = ['', 'one', 'onetwo', 'onetwothree'];
    const ends = prefixes.map((text, count) => bytes.length - 11 - 96 + 32 * count + text.length);
    for (let at = 0; at < bytes.length; at += 11) {
      const kept = ends.findLast((end) => end <= at);
      const wanted = prefixes[kept === undefined ? 0 : ends.indexOf(kept)]!;
      for (const what of ['flip', 'cut'] as const) {
        await writeFile(path!, bytes);
        await harm(path!, what, at);
        await using spool = await openWire(dir);
        expect(bytesAmong(await readAll(spool.read(null))).toString()).toBe(wanted);
      }
    }
  });

  it('drops what another key sealed, and goes on', async () => {
    await twoHistories();
    const key = { id: 'e1'.repeat(16), key: patternBytes(32, 6) };
    {
      await using spool = await openWire(dir, { key });
      expect(spool.newest).toBe(null);
      expect(await readdir(dir)).toEqual([]);
      await syncWire(spool);
    }
    await using same = await openWire(dir, { key: { id: key.id, key: WIRE_KEY.key } });
    expect(same.newest).toBe(null);
  });

  it('takes no file in the place of another one', async () => {
    await twoHistories();
    const [first, second, third] = await wireFiles(dir, 'stream');
    await rename(third!, second!);
    expect(await found()).toEqual(['history 0 a at 100', 'one after 100', ...later]);
    await rename((await wireFiles(dir, 'stream'))[1]!, first!);
    expect((await found())[0]).toBe('history 0 a at 100');
  });

  it('keeps no snapshot without its end, and none that is another one', async () => {
    const [old, newest] = await twoHistories();
    const [first, second] = await wireFiles(dir, 'snapshot');
    await harm(first!, 'cut', (await stat(first!)).size - 1);
    await using spool = await openWire(dir);
    expect(await wireFiles(dir, 'snapshot')).toEqual([second]);
    await expect(collect(spool.snapshotBytes(old!))).rejects.toMatchObject({
      ...{ code: 'TM_SPOOL', context: { ino: old } },
    });
    expect((await collect(spool.snapshotBytes(newest!))).toString()).toBe('snapshot');
  });

  it('does not give out a snapshot past the first frame that does not hold', async () => {
    const rdb = patternBytes(600_000, 3);
    let ino = '';
    {
      await using spool = await openWire(dir);
      ino = await syncWire(spool, { rdb: rdb.toString('latin1') });
    }
    const [path] = await wireFiles(dir, 'snapshot');
    await harm(path!, 'flip', 500_000);
    await using spool = await openWire(dir);
    const chunks: Buffer[] = [];
    const reading = (async () => {
      for await (const chunk of spool.snapshotBytes(ino)) chunks.push(chunk);
    })();
    await expect(reading).rejects.toMatchObject({ code: 'TM_SPOOL_DAMAGED' });
    expect(chunks).toHaveLength(1);
  });

  it('says so when a file is damaged under the reader, and is mended by the next opening', async () => {
    await using spool = await openWire(dir, { fileBytesMax: 2 ** 20 });
    await syncWire(spool, { offset: 0n });
    await spool.append(patternBytes(6 * 2 ** 20));
    await spool.flush();
    const [first] = await wireFiles(dir, 'stream');
    await harm(first!, 'flip', 400_000);
    const reader = spool.read(null);
    const damage = { code: 'TM_SPOOL_DAMAGED', context: { file: first!.split('/').at(-1) } };
    await expect(readAll(reader)).rejects.toMatchObject(damage);
    await expect(readAll(reader)).rejects.toMatchObject(damage);
    await spool[Symbol.asyncDispose]();
    await using again = await openWire(dir);
    expect(again.newest).toMatchObject({ from: 0n, to: BigInt(2 ** 18) });
  });

  it('shows by the name what was a rename, when that is all of a file', async () => {
    {
      await using spool = await openWire(dir);
      await syncWire(spool);
      await spool.append(Buffer.from('abc'));
      await spool.continueAs(REPLID_B);
    }
    await using spool = await openWire(dir);
    expect(spool.newest).toMatchObject({ history: { replid: REPLID_B }, to: 103n });
  });
});
