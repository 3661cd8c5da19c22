import { execFileSync } from 'node:child_process';
import {
  existsSync,
  lstatSync,
  readdirSync,
  readFileSync,
  renameSync,
  truncateSync,
} from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseManifest, probeAofDir, removeAofPins, type TailCursor } from '@tidemark/aof';
import type { Redis } from 'ioredis';
import { beforeAll, describe, expect, it } from 'vitest';
import { AofRun, buildAof } from '../support/aof-run.ts';
import { startRedis, type RedisServer } from '../support/redis-server.ts';

beforeAll(() => buildAof(), 120_000);

const PLAIN = { config: { 'aof-timestamp-enabled': 'no', save: '' } };

/** Writes `SET seq n:000001` and so on, and knows the last number that was answered. */
class Writer {
  readonly #client: Redis;
  #number = 0;
  #running = false;
  #loop: Promise<void> = Promise.resolve();

  constructor(client: Redis) {
    this.#client = client;
  }

  get number(): number {
    return this.#number;
  }

  async write(count: number): Promise<void> {
    const pipeline = this.#client.pipeline();
    for (let i = 0; i < count; i++) pipeline.set('seq', value(++this.#number));
    await pipeline.exec();
  }

  start(): void {
    this.#running = true;
    this.#loop = (async () => {
      while (this.#running) await this.write(20);
    })();
  }

  async stop(): Promise<void> {
    this.#running = false;
    await this.#loop;
  }
}

const value = (number: number): string => `n:${String(number).padStart(7, '0')}`;

const numbersIn = (bytes: Buffer): number[] =>
  [...bytes.toString('latin1').matchAll(/\r\nseq\r\n\$9\r\nn:(\d{7})\r\n/g)].map(([, n]) =>
    Number(n),
  );

/** The number a base holds: a short string lies plainly in an RDB. */
const numberInBase = (path: string): number => {
  const found = /\u0003seq\tn:(\d{7})/.exec(readFileSync(path).toString('latin1'));
  return found === null ? 0 : Number(found[1]);
};

const upTo = (last: number, first = 1): number[] =>
  Array.from({ length: last - first + 1 }, (_, i) => first + i);

async function rewrite(client: Redis): Promise<void> {
  const before = await rewrites(client);
  for (;;) {
    try {
      await client.bgrewriteaof();
      break;
    } catch {
      await sleep(5); // one is under way
    }
  }
  for (;;) {
    const info = await client.info('persistence');
    const settled = /aof_rewrite_in_progress:0/.test(info) && /aof_rewrite_scheduled:0/.test(info);
    if (settled && (await rewrites(client)) > before) return;
    await sleep(5);
  }
}

async function rewrites(client: Redis): Promise<number> {
  return Number(/aof_rewrites:(\d+)/.exec(await client.info('persistence'))?.[1]);
}

const pinRoot = (server: RedisServer): string => join(server.dir, '.tidemark-pins');

const pins = (server: RedisServer): string[] => {
  const root = pinRoot(server);
  return existsSync(root) ? readdirSync(root).flatMap((dir) => readdirSync(join(root, dir))) : [];
};

const manifestOf = (server: RedisServer): ReturnType<typeof parseManifest> =>
  parseManifest(readFileSync(join(server.aofDir, 'appendonly.aof.manifest')));

const cursorOf = (run: AofRun): TailCursor => {
  const cursor = run.tail.cursor();
  if (cursor === null) throw new Error('no cursor');
  return JSON.parse(JSON.stringify(cursor)) as TailCursor;
};

/** The last number among everything delivered. */
const delivered = (run: AofRun): number => numbersIn(run.ending(1_000)).at(-1) ?? 0;

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
    });
    await client.config('SET', 'aof-use-rdb-preamble', 'no');
    await rewrite(client);
    await expect(probeAofDir(server.aofDir)).rejects.toMatchObject({
      code: 'TM_AOF_BASE',
      context: { base: 'appendonly.aof.2.base.aof' },
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
