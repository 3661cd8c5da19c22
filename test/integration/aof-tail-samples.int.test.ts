import { existsSync, lstatSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { probeAofDir, removeAofPins } from '@tidemark/aof';
import { beforeAll, describe, expect, it } from 'vitest';
import { AofRun, buildAof } from '../support/aof-run.ts';
import {
  delivered,
  manifestOf,
  pinRoot,
  pins,
  PLAIN,
  rewrite,
  upTo,
  Writer,
} from '../support/aof-writer.ts';
import { startRedis } from '../support/redis-server.ts';

beforeAll(() => buildAof(), 120_000);

describe('AofTail.position()', () => {
  it('gives the place of every sample under load and rewrites, or nothing', async () => {
    await using server = await startRedis(PLAIN);
    const load = await server.connect();
    const client = await server.connect();
    const control = await server.connect();
    await using run = await AofRun.open({ dir: server.aofDir });
    const writer = new Writer(load);
    writer.start();
    const places = new Map<string, { ino: string; position: number }>();
    let dropped = 0;
    const loop = { running: true };
    const rewriteLoop = (async () => {
      for (let i = 0; i < 12; i++) await rewrite(control);
      loop.running = false;
    })();
    for (let i = 0; loop.running || i < 150; i++) {
      const stamp = run.tail.beginSample();
      const reply = await client.multi().info('persistence').set(`mark:${i}`, 'x').exec();
      const place = run.tail.position(sampleOf(String(reply?.[0]?.[1])), stamp);
      if (place === null) dropped++;
      else places.set(`mark:${i}`, { ino: place.file.ino, position: place.position });
      await sleep(4);
    }
    await rewriteLoop;
    await writer.stop();
    await run.until('all numbers', () => delivered(run) === writer.number);
    let found = 0;
    for (const stretch of run.stretches) {
      const text = run.bytes(stretch).toString('latin1');
      for (const hit of text.matchAll(/\*3\r\n\$3\r\n[sS][eE][tT]\r\n\$\d+\r\n(mark:\d+)\r\n/g)) {
        const place = places.get(hit[1] ?? '');
        if (place === undefined) continue;
        found++;
        if (place.ino === stretch.opened.file.ino) {
          expect(text.slice(place.position, hit.index)).toMatch(/^(\*2\r\n\$6\r\nSELECT\r\n.*)?$/s);
        } else {
          // the end of one file is the start of the next
          expect(
            hit.index - (/^\*2\r\n\$6\r\nSELECT\r\n\$1\r\n0\r\n/.exec(text)?.[0].length ?? 0),
          ).toBe(0);
        }
      }
    }
    expect(found).toBe(places.size);
    expect(places.size).toBeGreaterThan(dropped * 4);
  });

  it('counts right on a server that never rewrote, and after its restart', async () => {
    await using server = await startRedis(PLAIN);
    await using run = await AofRun.open({ dir: server.aofDir });
    for (let round = 0; round < 2; round++) {
      const client = await server.connect();
      await client.set('a', 'b');
      const path = join(server.aofDir, manifestOf(server).incr[0]?.name ?? '');
      const stamp = run.tail.beginSample();
      const place = run.tail.position(sampleOf(await client.info('persistence')), stamp);
      expect(place).toMatchObject({ seq: 1, position: lstatSync(path).size });
      await server.restart();
    }
  });

  it('gives nothing while the log waits for its first rewrite', async () => {
    await using server = await startRedis(PLAIN);
    const client = await server.connect();
    await using run = await AofRun.open({ dir: server.aofDir });
    await client.mset(Object.fromEntries(upTo(50).map((n) => [`key:${n}`, 'x'])));
    const place = async (): Promise<unknown> => {
      const stamp = run.tail.beginSample();
      return run.tail.position(sampleOf(await client.info('persistence')), stamp);
    };
    expect(await place()).not.toBeNull();
    await client.config('SET', 'appendonly', 'no');
    await client.config('SET', 'rdb-key-save-delay', '10000');
    await client.config('SET', 'appendonly', 'yes');
    expect(await place()).toBeNull();
    await run.until('a new start', () => run.stretches.length === 2);
    await client.set('a', 'b');
    expect(await place()).not.toBeNull();
  });
});

const sampleOf = (info: string): Parameters<AofRun['tail']['position']>[0] => {
  const number = (name: string): number =>
    Number(new RegExp(`${name}:(\\d+)`).exec(info)?.[1] ?? 0);
  return {
    aofCurrentSize: number('aof_current_size'),
    aofBaseSize: number('aof_base_size'),
    aofBufferLength: number('aof_buffer_length'),
    rewriteInProgress: number('aof_rewrite_in_progress') === 1,
    rewrites: number('aof_rewrites'),
    runId: 'one',
  };
};

describe('probeAofDir()', () => {
  it('tells what is there, and what stands in the way', async () => {
    await using server = await startRedis(PLAIN);
    const client = await server.connect();
    await client.set('a', 'b');
    const facts = await probeAofDir(server.aofDir);
    expect(facts).toMatchObject({
      manifestName: 'appendonly.aof.manifest',
      pinClass: 'pinned',
      incrCount: 1,
      base: { seq: 1, type: 'b' },
      baseForm: 'rdb',
    });
    await client.config('SET', 'aof-use-rdb-preamble', 'no');
    await rewrite(client);
    expect(await probeAofDir(server.aofDir)).toMatchObject({
      base: { name: 'appendonly.aof.2.base.aof' },
      baseForm: 'commands',
    });
    await expect(probeAofDir(server.dir)).rejects.toMatchObject({ code: 'TM_AOF_DIR' });
    await expect(probeAofDir(`${server.dir}/none`)).rejects.toMatchObject({ code: 'TM_AOF_DIR' });
    expect(existsSync(pinRoot(server))).toBe(false);
    await using run = await AofRun.open({ dir: server.aofDir });
    expect(pins(server)).toHaveLength(2);
    await run.stop();
    await removeAofPins({ dir: server.aofDir });
    expect(existsSync(pinRoot(server))).toBe(false);
  });
});
