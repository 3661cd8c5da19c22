import { execFileSync } from 'node:child_process';
import { lstatSync, readFileSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { beforeAll, describe, expect, it } from 'vitest';
import { AofRun, buildAof } from '../support/aof-run.ts';
import {
  cursorOf,
  delivered,
  manifestOf,
  numberInBase,
  numbersIn,
  pinRoot,
  pins,
  PLAIN,
  rewrite,
  upTo,
  Writer,
} from '../support/aof-writer.ts';
import { startRedis } from '../support/redis-server.ts';

beforeAll(() => buildAof(), 120_000);

describe('openAofTail() on a running server', () => {
  it('delivers exactly the bytes of the increment, with the base it starts from', async () => {
    await using server = await startRedis();
    const client = await server.connect();
    const writer = new Writer(client);
    await writer.write(5);
    await using run = await AofRun.open({ dir: server.aofDir, readBytesMax: 64 });
    expect(run.tail.pinClass).toBe('pinned');
    await writer.write(100);
    await run.until('all numbers', () => delivered(run) === 105);
    await run.idle();
    const file = manifestOf(server).incr[0]?.name ?? '';
    expect(run.bytes().equals(readFileSync(join(server.aofDir, file)))).toBe(true);
    expect(run.continuities()).toEqual(['first']);
    expect(run.last.opened.base).toMatchObject({ seq: 1, alignedSeq: 1 });
    expect(lstatSync(run.last.opened.base?.path ?? '').size).toBe(run.last.opened.base?.size);
    expect(lstatSync(pinRoot(server)).mode & 0o777).toBe(0o700);
    await writer.write(1);
    await run.until('one more', () => delivered(run) === 106);
    await run.idle();
    expect(run.items.filter(({ kind }) => kind === 'idle').length).toBeGreaterThan(1);
  });

  it('loses and doubles nothing over 30 rewrites under writes, and aligns every base', async () => {
    await using server = await startRedis(PLAIN);
    const client = await server.connect();
    const control = await server.connect();
    const writer = new Writer(client);
    await using run = await AofRun.open({ dir: server.aofDir });
    writer.start();
    for (let i = 0; i < 30; i++) await rewrite(control);
    await writer.stop();
    await run.until('all numbers', () => delivered(run) === writer.number);
    await run.until('the last base', () => {
      const { opened, bases } = run.last;
      return opened.base !== null || bases.length > 0;
    });
    expect(run.broken()).toEqual([]);
    expect(numbersIn(run.bytes())).toEqual(upTo(writer.number));
    expect(run.continuities()).toEqual(['first', ...Array.from({ length: 30 }, () => 'proven')]);
    let before = 0;
    for (const { opened, bases, chunks, ended } of run.stretches) {
      const base = opened.base ?? bases[0]?.base;
      expect(base).toMatchObject({ alignedSeq: opened.file.seq });
      expect(numberInBase(base?.path ?? '')).toBe(before);
      before = numbersIn(Buffer.concat(chunks)).at(-1) ?? before;
      const size = chunks.reduce((sum, { length }) => sum + length, 0);
      if (opened !== run.last.opened) expect(ended).toBe(size);
    }
    // Everything is held until it is released, and nothing after.
    expect(pins(server)).toHaveLength(62);
    await run.tail.release(30);
    for (const { opened, bases } of run.stretches) {
      await run.tail.releaseBase((opened.base ?? bases[0]?.base)?.name ?? '');
    }
    expect(pins(server)).toHaveLength(1);
    expect(manifestOf(server).incr).toHaveLength(1);
  });

  it('goes on in the same file after a clean stop and after a crash of the server', async () => {
    await using server = await startRedis();
    const writer = new Writer(await server.connect());
    await using run = await AofRun.open({ dir: server.aofDir });
    await writer.write(50);
    for (const end of ['restart', 'kill'] as const) {
      if (end === 'kill') await server.kill();
      await server.restart();
      const next = new Writer(await server.connect());
      await next.write(10);
      await run.until(`ten after ${end}`, () => delivered(run) === 10);
      await next.write(40);
    }
    await run.until('all', () => delivered(run) === 50);
    expect(run.continuities()).toEqual(['first']);
    expect(run.broken()).toEqual([]);
    expect(numbersIn(run.bytes())).toEqual([...upTo(50), ...upTo(50), ...upTo(50)]);
  });

  it('waits for a folder that is not there yet and survives its absence', async () => {
    await using server = await startRedis({ aof: false, config: { save: '' } });
    const client = await server.connect();
    await using run = await AofRun.open({ dir: server.aofDir });
    await sleep(60);
    expect(run.items).toEqual([]);
    await client.config('SET', 'appendonly', 'yes');
    const writer = new Writer(client);
    await writer.write(5);
    await run.until('the first numbers', () => delivered(run) === 5);
    renameSync(server.aofDir, `${server.aofDir}.away`);
    await writer.write(5);
    await sleep(100);
    renameSync(`${server.aofDir}.away`, server.aofDir);
    await rewrite(client);
    await writer.write(5);
    await run.until('all', () => delivered(run) === 15);
    expect(numbersIn(run.bytes())).toEqual(upTo(15));
    expect(run.continuities()).toEqual(['first', 'proven']);
  });
});

describe('openAofTail() with a cursor', () => {
  it('goes on where it stopped, without a byte twice', async () => {
    await using server = await startRedis();
    const writer = new Writer(await server.connect());
    await writer.write(1_000);
    const first = await AofRun.open({ dir: server.aofDir, readBytesMax: 5_000, paused: true });
    await first.tail.next();
    await first.tail.next();
    const cursor = cursorOf(first);
    await first.stop();
    expect(cursor).toMatchObject({ position: 5_000, digestBytes: 4_096 });
    await writer.write(10);
    await using second = await AofRun.open({ dir: server.aofDir, resume: cursor });
    await second.until('all', () => delivered(second) === 1_010);
    expect(second.last.opened).toMatchObject({ continuity: 'resumed', position: 5_000 });
    expect(second.last.opened.base).toMatchObject({ alignedSeq: 1 });
    const file = readFileSync(join(server.aofDir, manifestOf(server).incr[0]?.name ?? ''));
    expect(second.bytes().equals(file.subarray(5_000))).toBe(true);
  });

  it('delivers the old increment to its end when rewrites went by, then tells the break', async () => {
    await using server = await startRedis(PLAIN);
    const client = await server.connect();
    const writer = new Writer(client);
    const first = await AofRun.open({ dir: server.aofDir });
    await writer.write(100);
    await first.until('all', () => delivered(first) === 100);
    const cursor = cursorOf(first);
    await first.stop();
    await writer.write(100);
    await rewrite(client);
    await writer.write(100);
    await rewrite(client);
    await writer.write(100);
    await using second = await AofRun.open({ dir: server.aofDir, resume: cursor });
    await second.until('all', () => second.stretches.length === 2 && delivered(second) === 400);
    const [old, fresh] = second.stretches;
    expect(old?.opened.continuity).toBe('resumed');
    expect(numbersIn(second.bytes(old))).toEqual(upTo(200, 101));
    expect(second.broken()).toEqual(['rewrite-unobserved']);
    expect(fresh?.opened).toMatchObject({ continuity: 'broken', reason: 'rewrite-unobserved' });
    expect(numberInBase(fresh?.opened.base?.path ?? '')).toBe(300);
    expect(numbersIn(second.bytes(fresh))).toEqual(upTo(400, 301));
  });

  it('proves the way over a rewrite that still runs, or failed, when it comes back', async () => {
    await using server = await startRedis(PLAIN);
    const client = await server.connect();
    const writer = new Writer(client);
    await client.mset(Object.fromEntries(upTo(200).map((n) => [`key:${n}`, 'x'])));
    const first = await AofRun.open({ dir: server.aofDir });
    await writer.write(100);
    await first.until('all', () => delivered(first) === 100);
    const cursor = cursorOf(first);
    await first.stop();
    await client.config('SET', 'rdb-key-save-delay', '1000000');
    await client.bgrewriteaof();
    await writer.write(100);
    const child = execFileSync('pgrep', ['-P', String(server.pid)])
      .toString()
      .trim();
    process.kill(Number(child), 'SIGKILL');
    await sleep(150);
    await client.config('SET', 'rdb-key-save-delay', '0');
    expect(manifestOf(server).incr).toHaveLength(2);
    await using second = await AofRun.open({ dir: server.aofDir, resume: cursor });
    await second.until('numbers so far', () => delivered(second) === 200);
    await rewrite(client);
    await writer.write(1);
    await second.until('all', () => delivered(second) === 201);
    expect(second.continuities()).toEqual(['resumed', 'proven', 'proven']);
    expect(numbersIn(second.bytes())).toEqual(upTo(201, 101));
    const base = second.last.opened.base ?? second.last.bases[0]?.base;
    expect(base).toMatchObject({ alignedSeq: 3 });
  });

  it('keeps the proof of a crossing over its own restart', async () => {
    await using server = await startRedis(PLAIN);
    const client = await server.connect();
    const writer = new Writer(client);
    const first = await AofRun.open({ dir: server.aofDir, paused: true });
    await writer.write(100);
    await first.tail.next();
    await rewrite(client);
    await writer.write(100);
    await rewrite(client);
    await writer.write(100);
    await first.tail.next();
    const cursor = cursorOf(first); // in the first of three, all seen by the pins
    await first.stop();
    await rewrite(client); // unseen
    await writer.write(100);
    await using second = await AofRun.open({ dir: server.aofDir, resume: cursor });
    await second.until('all', () => second.stretches.length === 4 && delivered(second) === 400);
    expect(second.continuities()).toEqual(['resumed', 'proven', 'proven', 'broken']);
    expect(second.broken()).toEqual(['rewrite-unobserved']);
    await second.until('old pins gone', () => pins(server).length <= 5);
  });

  it('does not take a file with other bytes for the one it knew', async () => {
    await using server = await startRedis(PLAIN);
    const writer = new Writer(await server.connect());
    const first = await AofRun.open({ dir: server.aofDir });
    await writer.write(10);
    await first.until('all', () => delivered(first) === 10);
    const cursor = cursorOf(first);
    await first.stop();
    const resume = {
      ...cursor,
      digest: cursor.digest.replace(/^./, (c) => (c === '0' ? '1' : '0')),
    };
    await using second = await AofRun.open({ dir: server.aofDir, resume });
    await second.until('all', () => second.stretches.length > 0 && delivered(second) === 10);
    expect(second.broken()).toEqual(['divergent-tail']);
    expect(second.last.opened).toMatchObject({ continuity: 'broken', position: 0 });
    await second.stop();
    await using third = await AofRun.open({ dir: server.aofDir, resume: { ...cursor, ino: '1' } });
    await third.until('all', () => third.stretches.length > 0 && delivered(third) === 10);
    expect(third.broken()).toEqual(['divergent-tail']);
  });
});
