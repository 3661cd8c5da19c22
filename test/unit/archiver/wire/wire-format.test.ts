import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { collect } from '../../../support/segments.ts';
import { TempDir } from '../../../support/temp-dir.ts';
import {
  goldenOf,
  readByTable,
  writeGolden,
  type WireGolden,
} from '../../../support/wire-golden.ts';
import { inShort, openWire, readAll, REPLID_A, REPLID_B } from '../../../support/wire-spool.ts';

const FIXTURE = new URL('../../../fixtures/wire/wire-spool-v1.json', import.meta.url);
const NONE = 2n ** 64n - 1n;

async function fixture(): Promise<WireGolden> {
  return JSON.parse(await readFile(FIXTURE, 'utf8')) as WireGolden;
}

describe('files of the wire spool', () => {
  it('are written as version 1 was', async () => {
    await using temp = await TempDir.create();
    await writeGolden(temp.path);
    const golden = await goldenOf(temp.path);
    if (process.env['TIDEMARK_WRITE_FIXTURES'] === '1') {
      await writeFile(FIXTURE, `${JSON.stringify(golden, null, 2)}\n`);
    }
    expect(golden).toEqual(await fixture());
  });

  it('are as their byte table says', async () => {
    const files = Object.entries(await fixture()).map(([name, hex]) => {
      const read = readByTable(Buffer.from(hex, 'hex'));
      expect(read).toMatchObject({ name, writer: 'w-1' });
      return read;
    });
    const [first, renamed, joined, snapshot, aside] = files;
    const start = 2n ** 40n;
    const { history } = first!;
    expect(first).toMatchObject({
      kind: 1,
      seq: 0n,
      start,
      snapshotOffset: start,
      replid: REPLID_A,
    });
    expect(first!.frames).toEqual(['1 0 *1\r\n$4\r\nPING\r\n', '1 1 *1\r\n']);
    expect(renamed).toMatchObject({ history, start: start + 18n, replid: REPLID_B });
    expect(renamed!.frames).toEqual(['1 0 $4\r\nPING\r\n']);
    expect(joined).toMatchObject({
      seq: 1n,
      history: 2n ** 62n - 1n,
      start: 7n,
      snapshotOffset: NONE,
    });
    expect(snapshot).toMatchObject({ kind: 2, history, start, snapshotOffset: start });
    const total = Buffer.from([0, 0, 0, 0, 0, 0, 0, 19]).toString('latin1');
    expect(snapshot!.frames).toEqual(['1 0 REDIS0011 and so on', `2 1 ${total}`]);
    expect(aside).toMatchObject({ kind: 3, history: 0n, replid: '0'.repeat(40) });
  });

  it('are read as they were written by version 1', async () => {
    await using temp = await TempDir.create();
    const dir = join(temp.path, 'wire');
    await mkdir(dir);
    for (const [name, hex] of Object.entries(await fixture())) {
      await writeFile(join(dir, name), Buffer.from(hex, 'hex'));
    }
    await using spool = await openWire(dir);
    const items = await readAll(spool.read(null));
    expect(inShort(items)).toEqual([
      'history 0 a at 1099511627776',
      '*1\r\n$4\r\nPING\r\n*1\r\n after 1099511627776',
      'renamed b at 1099511627794',
      '$4\r\nPING\r\n after 1099511627794',
      'history 1 b at 7',
      'x after 7',
    ]);
    const [begun] = items;
    const ino = begun?.kind === 'history' ? begun.history.ino : '';
    expect((await collect(spool.snapshotBytes(ino))).toString()).toBe('REDIS0011 and so on');
    expect((await collect(spool.readAside('b-1'))).toString()).toBe('beside');
  });
});
