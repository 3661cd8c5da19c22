import { existsSync } from 'node:fs';
import { mkdir, readdir, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { WriterOwner } from '@tidemark/catalog';
import { Gate } from '../../../../services/archiver/src/fleet/gate.ts';
import { sweepIdle } from '../../../../services/archiver/src/fleet/idle-spools.ts';
import { dropForeign } from '../../../../services/archiver/src/ship/own-spool.ts';
import { Spool } from '../../../../services/archiver/src/ship/spool.ts';
import { TempDir } from '../../../support/temp-dir.ts';

const NOW_MS = 1_800_000_000_000;
const HOUR_MS = 3_600_000;

async function leave(
  stateDir: string,
  instance: string,
  bytes: number,
  atMs: number,
): Promise<void> {
  const dir = join(stateDir, 'spool', `${instance}.wire`);
  await mkdir(dir, { recursive: true });
  await writeFile(join(dir, 'stream'), Buffer.alloc(bytes));
  await utimes(join(dir, 'stream'), atMs / 1000, atMs / 1000);
}

describe('what captures left that go on elsewhere', () => {
  it('is kept for a day, and the oldest goes before when all takes too much room', async () => {
    await using temp = await TempDir.create();
    const stateDir = temp.path;
    await leave(stateDir, 'old', 10, NOW_MS - 25 * HOUR_MS);
    await leave(stateDir, 'big', 900, NOW_MS - 2 * HOUR_MS);
    await leave(stateDir, 'new', 200, NOW_MS - HOUR_MS);
    await leave(stateDir, 'busy', 5_000, NOW_MS - 30 * HOUR_MS);
    const idle = ['old', 'big', 'new', 'nothing'];
    const options = { stateDir, idle, nowMs: NOW_MS };
    expect(await sweepIdle({ ...options, bytesMax: 2_000 })).toEqual(['old']);
    expect(await sweepIdle({ ...options, bytesMax: 1_000 })).toEqual(['big']);
    expect(await sweepIdle({ ...options, bytesMax: 1_000 })).toEqual([]);
    expect((await readdir(join(stateDir, 'spool'))).sort()).toEqual(['busy.wire', 'new.wire']);
  });
});

describe('a spool whose log is claimed again', () => {
  const owner = (generation: number, ownerId: string): WriterOwner => ({
    ...{ generation, ownerId, atMs: NOW_MS, tookOver: false, released: true },
  });

  async function withEntry(dir: string): Promise<Spool> {
    await mkdir(`${dir}.copies`, { recursive: true });
    const spool = await Spool.open(dir, 1 << 20);
    await spool.noteAlone(spool.nextName(), '{}');
    return spool;
  }

  it('is kept when nobody else had the log, however often this host claimed it', async () => {
    await using temp = await TempDir.create();
    const dir = join(temp.path, 'orders');
    const spool = await withEntry(dir);
    const claimed = { dir, spool, ownerId: 'me' };
    expect(await dropForeign({ ...claimed, before: owner(4, 'me'), generation: 5 })).toBe(0);
    expect(await dropForeign({ ...claimed, before: owner(5, 'me'), generation: 6 })).toBe(0);
    expect(await spool.names()).toHaveLength(1);
    expect(existsSync(`${dir}.copies`)).toBe(true);
  });

  it('is emptied when another host had it meanwhile, also when that is found out late', async () => {
    await using temp = await TempDir.create();
    const dir = join(temp.path, 'orders');
    const spool = await withEntry(dir);
    const claimed = { dir, spool, ownerId: 'me' };
    await dropForeign({ ...claimed, before: owner(4, 'me'), generation: 5 });
    // Another one had 6; a claim of ours, 7, was cut short before the spool was looked at.
    expect(await dropForeign({ ...claimed, before: owner(7, 'me'), generation: 8 })).toBe(1);
    expect(await spool.names()).toEqual([]);
    expect(existsSync(`${dir}.copies`)).toBe(false);
  });

  it('is emptied on a host that knows of no claim of its own', async () => {
    await using temp = await TempDir.create();
    const dir = join(temp.path, 'orders');
    const spool = await withEntry(dir);
    const claimed = { dir, spool, ownerId: 'me', generation: 9 };
    expect(await dropForeign({ ...claimed, before: owner(8, 'other') })).toBe(1);
  });
});

describe('a gate', () => {
  it('lets so much through at one time, in order, also after work that failed', async () => {
    const gate = new Gate(2);
    const begun: number[] = [];
    const ends: (() => void)[] = [];
    const work = [0, 1, 2, 3].map((number) =>
      gate.pass(async () => {
        begun.push(number);
        await new Promise<void>((resolve) => ends.push(resolve));
        if (number === 0) throw new Error('failed');
      }),
    );
    const failed = expect(work[0]).rejects.toThrow('failed');
    await new Promise(setImmediate);
    expect(begun).toEqual([0, 1]);
    ends[0]!();
    await failed;
    await new Promise(setImmediate);
    expect(begun).toEqual([0, 1, 2]);
    for (let at = 1; at < 4; at++) {
      ends[at]!();
      await new Promise(setImmediate);
    }
    await Promise.all(work.slice(1));
    expect(begun).toEqual([0, 1, 2, 3]);
  });
});
