import { lstatSync, readFileSync, truncateSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { probeAofDir } from '@tidemark/aof';
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

describe('openAofTail() where continuity ends', () => {
  it('tells a break when the log is switched off and on', async () => {
    await using server = await startRedis(PLAIN);
    const client = await server.connect();
    const writer = new Writer(client);
    await using run = await AofRun.open({ dir: server.aofDir });
    await writer.write(10);
    await client.config('SET', 'appendonly', 'no');
    await writer.write(10);
    await client.config('SET', 'appendonly', 'yes');
    await run.until('a new start', () => run.stretches.length === 2);
    await writer.write(10);
    await run.until('all', () => delivered(run) === 30);
    expect(run.broken()).toEqual(['rewrite-unobserved']);
    expect(numbersIn(run.bytes())).toEqual([...upTo(10), ...upTo(30, 21)]);
    expect(numberInBase(run.last.opened.base?.path ?? '')).toBe(20);
  });

  it('says aof-off when it is told, and starts again only with a dataset that is logged', async () => {
    await using server = await startRedis(PLAIN);
    const client = await server.connect();
    const writer = new Writer(client);
    await using run = await AofRun.open({ dir: server.aofDir });
    await writer.write(10);
    await client.config('SET', 'appendonly', 'no');
    run.tail.noteAofEnabled(false, 'run-1');
    await writer.write(10);
    await run.until('the break', () => run.broken().length === 1);
    await rewrite(client); // a base without any increment
    await sleep(250);
    expect(run.stretches).toHaveLength(1);
    await client.config('SET', 'appendonly', 'yes');
    run.tail.noteAofEnabled(true, 'run-1');
    await run.until('a new start', () => run.stretches.length === 2);
    expect(run.last.opened).toMatchObject({ continuity: 'broken', reason: 'aof-off' });
    expect(numberInBase(run.last.opened.base?.path ?? '')).toBe(20);
    // Off again; this time a restart loads the old file and goes on in it.
    await writer.write(5);
    await run.until('these', () => delivered(run) === 25);
    await client.config('SET', 'appendonly', 'no');
    run.tail.noteAofEnabled(false, 'run-1');
    await writer.write(5);
    await run.until('the break', () => run.broken().length === 2);
    await server.restart();
    run.tail.noteAofEnabled(true, 'run-2');
    await run.until('a third start', () => run.stretches.length === 3);
    await run.until('from the base', () => delivered(run) === 25);
    expect(run.broken()).toEqual(['aof-off', 'aof-off']);
    expect(run.last.opened).toMatchObject({ continuity: 'broken', position: 0 });
    expect(numberInBase(run.last.opened.base?.path ?? '')).toBe(20);
  });

  it('tells a break when the server starts with a log that was cut below what it delivered', async () => {
    await using server = await startRedis(PLAIN);
    const writer = new Writer(await server.connect());
    await using run = await AofRun.open({ dir: server.aofDir });
    await writer.write(10);
    await run.until('all', () => delivered(run) === 10);
    await server.stop();
    const path = join(server.aofDir, manifestOf(server).incr[0]?.name ?? '');
    const size = lstatSync(path).size;
    truncateSync(path, size - 10);
    await server.restart();
    const client = await server.connect();
    await client.set('other', 'x'.repeat(100));
    await run.until('a new start', () => run.stretches.length === 2);
    await run.until('the other', () => run.bytes(run.last).includes('other'));
    expect(run.broken()).toEqual(['divergent-tail']);
    expect(run.bytes(run.last).equals(readFileSync(path))).toBe(true);
  });

  it('gives pins up over the limit and tells what is lost', async () => {
    await using server = await startRedis(PLAIN);
    const client = await server.connect();
    const writer = new Writer(client);
    await using run = await AofRun.open({ dir: server.aofDir, pinBytesMax: 2_000, paused: true });
    await writer.write(100);
    await run.tail.next();
    await rewrite(client);
    await writer.write(100);
    await rewrite(client);
    await writer.write(100);
    for (let i = 0; pins(server).length > 2 && i < 300; i++) await sleep(10);
    expect(pins(server)).toHaveLength(2); // base and increment of the manifest
    run.go();
    await run.until('a new start', () => run.stretches.length === 1);
    await run.until('all', () => delivered(run) === 300);
    expect(run.broken()).toEqual(['pin-dropped']);
    expect(run.last.opened).toMatchObject({ continuity: 'broken', reason: 'pin-dropped' });
    expect(numbersIn(run.bytes())).toEqual(upTo(300, 201));
    expect(numberInBase(run.last.opened.base?.path ?? '')).toBe(200);
  });

  it('holds files open where it cannot link them', async () => {
    await using server = await startRedis(PLAIN);
    await writeFile(pinRoot(server), 'in the way');
    const client = await server.connect();
    const writer = new Writer(client);
    await using run = await AofRun.open({ dir: server.aofDir, paused: true });
    expect(run.tail.pinClass).toBe('held');
    expect(await probeAofDir(server.aofDir)).toMatchObject({ pinClass: 'held' });
    await writer.write(10);
    await rewrite(client);
    await writer.write(10);
    await rewrite(client);
    await writer.write(10);
    run.go();
    await run.until('all', () => delivered(run) === 30);
    await run.until(
      'the last base',
      () => (run.last.opened.base ?? run.last.bases[0]) !== undefined,
    );
    expect(run.continuities()).toEqual(['first', 'proven', 'proven']);
    expect(numbersIn(run.bytes())).toEqual(upTo(30));
    for (const [i, { opened }] of run.stretches.entries()) {
      expect(numberInBase(opened.base?.path ?? '')).toBe(10 * i);
    }
    await run.tail.releaseBefore(cursorOf(run));
  });
});
