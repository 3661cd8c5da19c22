import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { patternBytes } from '../../../support/pattern.ts';
import { TempDir } from '../../../support/temp-dir.ts';
import {
  bytesAmong,
  openWire,
  readAll,
  REPLID_A,
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

const MIB = 2 ** 20;

describe('limits of a wire spool', () => {
  it('takes nothing over its limit, and goes on once there is room', async () => {
    const bytesMax = 8 * MIB;
    await using spool = await openWire(dir, { bytesMax });
    const ino = await syncWire(spool, { offset: 0n });
    const bytes = patternBytes(MIB);
    let taken = 0;
    const fill = async (): Promise<void> => {
      for (let at = 0; at < 100; at++) {
        await spool.append(bytes);
        taken += bytes.length;
      }
    };
    await expect(fill()).rejects.toMatchObject({ code: 'TM_SPOOL', context: { bytesMax } });
    await spool.flush();
    expect(spool.isFull).toBe(true);
    expect(spool.bytes).toBeLessThan(bytesMax + 2 * MIB);
    expect(spool.newest).toMatchObject({ to: BigInt(taken) });
    const reader = spool.read(null);
    const read = bytesAmong(await readAll(reader));
    await spool.releaseBefore({ seq: 0, ino, position: BigInt(taken) });
    expect(spool.isFull).toBe(false);
    await spool.append(bytes);
    await spool.flush();
    const all = Buffer.concat([read, bytesAmong(await readAll(reader))]);
    expect(all.length).toBe(taken + MIB);
    for (let at = 0; at < all.length; at += MIB) {
      expect(all.subarray(at, at + MIB).equals(bytes)).toBe(true);
    }
  });

  it('takes no snapshot over its limit, and keeps nothing of it', async () => {
    const bytesMax = 2 * MIB;
    await using spool = await openWire(dir, { bytesMax });
    await spool.beginSync({ seq: 0, replid: REPLID_A, offset: 5n });
    const fill = async (): Promise<void> => {
      for (let at = 0; at < 100; at++) await spool.appendSnapshot(patternBytes(MIB / 4));
    };
    await expect(fill()).rejects.toMatchObject({ code: 'TM_SPOOL', context: { bytesMax } });
    await spool.settle();
    expect(spool.bytes).toBe(0);
    expect(await wireFiles(dir, 'snapshot')).toEqual([]);
    expect(spool.newest).toBe(null);
  });

  it('leaves room on the disk for others', async () => {
    await using spool = await openWire(dir, { freeBytesMin: Number.MAX_SAFE_INTEGER });
    const begin = spool.beginSync({ seq: 0, replid: REPLID_A, offset: 5n });
    await expect(begin).rejects.toMatchObject({
      ...{ code: 'TM_SPOOL', context: { freeBytesMin: Number.MAX_SAFE_INTEGER } },
    });
    expect(await wireFiles(dir, 'snapshot')).toEqual([]);
    expect(spool.newest).toBe(null);
  });

  it('says so when its folder cannot be used', async () => {
    const inTheWay = join(temp.path, 'file');
    await writeFile(inTheWay, '');
    await expect(openWire(join(inTheWay, 'wire'))).rejects.toMatchObject({
      ...{ code: 'TM_SPOOL', context: { errno: 'ENOTDIR' } },
    });
  });
});
