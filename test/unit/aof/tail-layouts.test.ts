import { readFileSync, renameSync } from 'node:fs';
import { open, readFile } from 'node:fs/promises';
import { openAofTail, probeAofDir, type BaseFile, type TailSample } from '@tidemark/aof';
import { systemClock } from '@tidemark/system';
import { beforeAll, describe, expect, it } from 'vitest';
import { HandMadeAof } from '../../support/aof-folder.ts';
import { buildAof, type AofRun } from '../../support/aof-run.ts';
import { findFork } from '../../../libs/aof/src/tail/single/overlap.ts';
import { SingleSampleMapper } from '../../../libs/aof/src/tail/single/single-sample-mapper.ts';
import type { DiskView } from '../../../libs/aof/src/tail/sample-mapper.ts';

beforeAll(() => buildAof(), 120_000);

/** Stands for an RDB: its head is told by its first bytes, its length by who reads it. */
const HEAD = 'REDIS0009-head;';
const rdbBytes = async (path: string): Promise<number> => {
  const text = await readFile(path, 'latin1');
  return text.indexOf(';') + 1;
};

const single = (
  folder: HandMadeAof,
  options: Parameters<HandMadeAof['open']>[0] = {},
): Promise<AofRun> =>
  folder.open({ manifestName: 'appendonly.aof', layout: 'single-file', rdbBytes, ...options });

/** As a rewrite of 6.x does. */
function replace(folder: HandMadeAof, content: string): void {
  folder.put('temp-rewriteaof-bg-1.aof', content);
  renameSync(folder.path('temp-rewriteaof-bg-1.aof'), folder.path('appendonly.aof'));
}

const forms = (bases: readonly (BaseFile | null)[]): unknown[] =>
  bases.map((base) => (base === null ? null : [base.form ?? 'rdb', base.size, base.alignedSeq]));
const textOf = (run: AofRun, at: number): string =>
  Buffer.concat(run.stretches.at(at)?.chunks ?? []).toString();

describe('a base of commands', () => {
  it('is the first of the log, from an empty dataset; the increments follow, proven', async () => {
    await using folder = await HandMadeAof.create();
    folder.put('a.aof', 'base;');
    folder.put('i1', 'one;');
    folder.put('i2', 'two;');
    folder.manifest('b1 i1 i2', { b1: 'a.aof' });
    await using run = await folder.open();
    await run.idle();
    expect(run.continuities()).toEqual(['first', 'proven', 'proven']);
    expect(run.bytes().toString()).toBe('base;one;two;');
    expect(forms(run.stretches.map(({ opened }) => opened.base))).toEqual([
      ['empty', 0, 0],
      null,
      null,
    ]);
    expect(run.stretches.map(({ opened }) => opened.start)).toEqual([0, 0, 0]);
  });

  it('of a later rewrite is told as no snapshot, and its pin goes with the next one', async () => {
    await using folder = await HandMadeAof.create();
    folder.put('a1.aof', 'base;');
    folder.put('i1', 'one;');
    folder.manifest('b1 i1', { b1: 'a1.aof' });
    await using run = await folder.open();
    await run.idle();
    for (const seq of [2, 3]) {
      folder.put(`i${seq}`, `incr ${seq};`);
      folder.manifest(`b${seq - 1} i${seq - 1} i${seq}`, { [`b${seq - 1}`]: `a${seq - 1}.aof` });
      await run.until('the increment', () => run.last.opened.file.seq === seq);
      folder.put(`a${seq}.aof`, `base ${seq};`);
      folder.manifest(`b${seq} i${seq}`, { [`b${seq}`]: `a${seq}.aof` });
      await run.until('the base', () => run.last.bases.length === 1);
      expect(forms(run.last.bases.map(({ base }) => base))).toEqual([['commands', 0, seq]]);
    }
    expect(run.bytes().toString()).toBe('base;one;incr 2;incr 3;');
    expect(run.stretches.flatMap(({ bases }) => bases)).toHaveLength(2);
    // What was delivered waits for its release; the base of the second rewrite does not.
    expect(folder.pins()).toEqual(['incr0', 'incr1', 'incr2', 'incr2', 'incr3']);
  });

  it('is where a broken log starts anew', async () => {
    await using folder = await HandMadeAof.create();
    folder.put('a1.aof', 'base;');
    folder.put('i1', 'one;');
    folder.manifest('b1 i1', { b1: 'a1.aof' });
    await using run = await folder.open();
    await run.idle();
    folder.put('a7.aof', 'base 7;');
    folder.put('i7', 'seven;');
    folder.manifest('b7 i7', { b7: 'a7.aof' });
    await run.until('the increment', () => run.stretches.length === 4);
    await run.idle();
    expect(run.broken()).toEqual(['rewrite-unobserved']);
    expect(run.continuities()).toEqual(['first', 'proven', 'broken', 'proven']);
    expect([2, 3].map((at) => textOf(run, at))).toEqual(['base 7;', 'seven;']);
  });

  it('with an RDB at its head is a snapshot and a log: the layout after an upgrade', async () => {
    await using folder = await HandMadeAof.create();
    folder.put('appendonly.aof', `${HEAD}tail;`);
    folder.put('i1', 'one;');
    folder.manifest('b1 i1', { b1: 'appendonly.aof' });
    renameSync(folder.path('m'), folder.path('appendonly.aof.manifest'));
    expect(await probeAofDir(folder.dir)).toMatchObject({
      layout: 'multi-part',
      baseForm: 'rdb-and-commands',
      baseBytes: HEAD.length + 5,
    });
    await using run = await folder.open({ manifestName: 'appendonly.aof.manifest', rdbBytes });
    await run.idle();
    expect(run.bytes().toString()).toBe('tail;one;');
    const [{ opened }] = run.stretches as [AofRun['last']];
    expect(opened).toMatchObject({ start: HEAD.length, position: HEAD.length });
    const { base } = opened;
    expect(forms([base])).toEqual([['rdb', HEAD.length, 0]]);
    const bytes = readFileSync(base?.path ?? '').subarray(0, base?.size);
    expect(bytes.toString()).toBe(HEAD);
  });
});

describe('a single file', () => {
  it('is followed as it grows, and each file of a rewrite is a generation of its own', async () => {
    await using folder = await HandMadeAof.create();
    folder.put('appendonly.aof', 'one;');
    await using run = await single(folder);
    await run.idle();
    folder.append('appendonly.aof', 'two;');
    await run.until('the growth', () => textOf(run, 0) === 'one;two;');
    replace(folder, `${HEAD}three;`);
    await run.until('the rewrite', () => run.stretches.length === 2);
    await run.idle();
    expect(run.broken()).toEqual(['rewrite-unobserved']);
    expect(textOf(run, 1)).toBe('three;');
    expect(forms(run.stretches.map(({ opened }) => opened.base))).toEqual([
      ['empty', 0, 1],
      ['rdb', HEAD.length, 2],
    ]);
    expect(folder.pins()).toEqual(['incr1', 'incr2']);
  });

  it('is gone on with by a later process, also at its very start', async () => {
    await using folder = await HandMadeAof.create();
    folder.put('appendonly.aof', HEAD);
    const first = await single(folder);
    await first.idle();
    const atHead = first.tail.cursor();
    await first.stop();
    folder.append('appendonly.aof', 'one;');
    const second = await single(folder, { resume: atHead });
    await second.idle();
    const cursor = second.tail.cursor();
    expect(second.continuities()).toEqual(['resumed']);
    expect(second.last.opened.base).toBeNull();
    await second.stop();
    folder.append('appendonly.aof', 'two;');
    replace(folder, `${HEAD}new;`);
    await using third = await single(folder, { resume: cursor });
    await third.until('the rewrite', () => third.stretches.length === 2);
    await third.idle();
    expect(textOf(third, 0)).toBe('two;');
    expect(third.continuities()).toEqual(['resumed', 'broken']);
    expect(third.stretches.map(({ opened }) => opened.file.seq)).toEqual([1, 2]);
  });

  it('of commands tells of the empty dataset before it to each process', async () => {
    await using folder = await HandMadeAof.create();
    folder.put('appendonly.aof', 'one;');
    const first = await single(folder);
    await first.idle();
    const cursor = first.tail.cursor();
    await first.stop();
    await using second = await single(folder, { resume: cursor });
    await second.idle();
    expect(second.continuities()).toEqual(['resumed']);
    expect(forms([second.last.opened.base])).toEqual([['empty', 0, 1]]);
  });

  it('that was cut is read again from its base', async () => {
    await using folder = await HandMadeAof.create();
    folder.put('appendonly.aof', `${HEAD}one;two;`);
    const first = await single(folder);
    await first.idle();
    const cursor = first.tail.cursor();
    await first.stop();
    folder.put('appendonly.aof', `${HEAD}one;tWo;`);
    await using second = await single(folder, { resume: cursor });
    await second.until('the new one', () => second.stretches.length === 1);
    await second.idle();
    expect(second.broken()).toEqual(['divergent-tail']);
    expect(second.bytes().toString()).toBe('one;tWo;');
    expect(forms([second.last.opened.base])).toEqual([['rdb', HEAD.length, 1]]);
  });

  it('is found by the probe, which a manifest goes before', async () => {
    await using folder = await HandMadeAof.create();
    await expect(probeAofDir(folder.dir)).rejects.toMatchObject({ code: 'TM_AOF_DIR' });
    folder.put('orders.aof', 'one;');
    expect(await probeAofDir(folder.dir)).toMatchObject({
      layout: 'single-file',
      manifestName: 'orders.aof',
      baseForm: 'commands',
      incrBytes: 4,
      pinClass: 'pinned',
    });
    folder.put('i1', '');
    folder.manifest('i1');
    renameSync(folder.path('m'), folder.path('orders.aof.manifest'));
    expect(await probeAofDir(folder.dir)).toMatchObject({ layout: 'multi-part', baseForm: 'none' });
  });

  it('with an RDB at its head cannot be opened without somebody who reads it', async () => {
    await using folder = await HandMadeAof.create();
    folder.put('appendonly.aof', `${HEAD}one;`);
    const { signal } = new AbortController();
    await using tail = await openAofTail({
      ...{ dir: folder.dir, manifestName: 'appendonly.aof', layout: 'single-file', resume: null },
      ...{ clock: systemClock, signal, pinBytesMax: 1 << 30, pinAgeMaxMs: 3_600_000 },
    });
    await expect(tail.next()).rejects.toMatchObject({ code: 'TM_USAGE' });
  });
});

const view = (size: number, ino = '7'): DiskView => ({
  base: null,
  incr: [{ name: 'appendonly.aof', seq: 1, dev: '1', ino, size }],
});
const sample = (aofCurrentSize: number, more: Partial<TailSample> = {}): TailSample => ({
  ...{ aofCurrentSize, aofBaseSize: 0, aofBufferLength: 0, rewriteInProgress: false },
  ...{ rewrites: -1, runId: 'a', ...more },
});

describe('a sample of a single file', () => {
  it('stands where the server will write next', () => {
    const mapper = new SingleSampleMapper();
    expect(mapper.map(sample(100, { aofBufferLength: 7 }), view(90), view(110))).toMatchObject({
      position: 107,
      file: { ino: '7' },
    });
  });

  it('counts only when the file held what the server says, before and after', () => {
    const mapper = new SingleSampleMapper();
    expect(mapper.map(sample(89), view(90), view(110))).toBeNull();
    expect(mapper.map(sample(111), view(90), view(110))).toBeNull();
    expect(mapper.map(sample(100), view(90), view(110, '8'))).toBeNull();
    expect(mapper.map(sample(100), null, view(110))).toBeNull();
  });

  it('during a rewrite counts only when the log grew meanwhile: else it may not be written', () => {
    const mapper = new SingleSampleMapper();
    const busy = { rewriteInProgress: true };
    expect(mapper.map(sample(100), view(100), view(100))).not.toBeNull();
    expect(mapper.map(sample(120, busy), view(100), view(130))).toBeNull();
    expect(mapper.map(sample(120, busy), view(120), view(130))).toBeNull();
    expect(mapper.map(sample(130, busy), view(120), view(130))).toMatchObject({ position: 130 });
    expect(
      mapper.map(sample(140, { rewriteScheduled: true }), view(140), view(140)),
    ).not.toBeNull();
    mapper.reset();
    expect(mapper.map(sample(150, busy), view(150), view(150))).toBeNull();
    expect(mapper.map(sample(160, { ...busy, runId: 'b' }), view(160), view(160))).toBeNull();
    expect(mapper.map(sample(160), view(160), view(160))).toMatchObject({ position: 160 });
  });
});

describe('the fork of a rewrite before 7.0', () => {
  const select = (db: number): string => `*2\r\n$6\r\nSELECT\r\n$1\r\n${db}\r\n`;
  const old = `${select(0)}one;two;${select(0)}three;four;`;
  const fork = old.lastIndexOf('*2');
  const ends = `${select(0)}three;four;`;

  async function find(
    oldLog: string,
    newLog: string,
    bounds: { from: number; to: number },
  ): Promise<number | null> {
    await using folder = await HandMadeAof.create();
    folder.put('old', oldLog);
    folder.put('new', HEAD + newLog);
    const [a, b] = [await open(folder.path('old')), await open(folder.path('new'))];
    try {
      const next = { fd: b.fd, start: HEAD.length };
      return await findFork(a.fd, oldLog.length, bounds, next);
    } finally {
      await a.close();
      await b.close();
    }
  }

  it('is where the rest of the old log is the start of the new one', async () => {
    const bounds = { from: 0, to: old.length - 1 };
    expect(await find(old, ends, bounds)).toBe(fork);
    expect(await find(old, `${ends}later;`, bounds)).toBe(fork);
    expect(await find(old, `${ends}later;`, { from: fork, to: fork })).toBe(fork);
  });

  it('is not told when the bytes differ, or end too early', async () => {
    const bounds = { from: 0, to: old.length - 1 };
    expect(await find(old, `${select(0)}three;fouR;later`, bounds)).toBeNull();
    expect(await find(old, ends.slice(0, -1), bounds)).toBeNull();
    expect(await find(old, '', bounds)).toBeNull();
  });

  it('is not looked for beside the samples', async () => {
    expect(await find(old, ends, { from: fork + 1, to: old.length - 1 })).toBeNull();
    expect(await find(old, ends, { from: 0, to: fork - 1 })).toBeNull();
  });

  it('is not told when the old log did not grow after it: its end would do as well', async () => {
    expect(await find(old, ends, { from: 0, to: old.length })).toBeNull();
  });

  it('is not told when two places agree', async () => {
    const once = `${select(1)}incr;`;
    const twice = once + once;
    expect(await find(twice, twice, { from: 0, to: twice.length - 1 })).toBeNull();
    const ended = `${twice}x;`;
    expect(await find(ended, ended, { from: 0, to: ended.length - 1 })).toBe(0);
    const same = select(1).repeat(3);
    expect(await find(same, same.repeat(2), { from: 0, to: same.length - 1 })).toBeNull();
  });

  it('is not told when a place behind the samples agrees too: one more rewrite came unseen', async () => {
    // The first rewrite failed, and nobody saw that a second one forked: both began with a SELECT.
    const counted = `${select(0)}${'incr;'.repeat(3)}`;
    const bounds = { from: 0, to: counted.length - 1 };
    const newLog = `${counted}${counted}later;`;
    expect(await find(counted + counted, newLog, bounds)).toBeNull();
    const far = `${counted}${'x'.repeat(3 << 20)}`;
    expect(await find(far + far, far + far, bounds)).toBeNull();
    expect(await find(`${far}y${far}`, `${far}y${far}`, bounds)).toBeNull();
    expect(await find(`${far}y`, `${far}y${far}`, bounds)).toBe(0);
  });

  it('lies between the last sample before it and the first one of the rewrite', () => {
    const mapper = new SingleSampleMapper();
    const file = { seq: 1, dev: '1', ino: '7' };
    expect(mapper.forkOf(file)).toBeNull();
    mapper.map(sample(100), view(100), view(100));
    mapper.map(sample(120), view(100), view(120));
    expect(mapper.forkOf(file)).toBeNull();
    const busy = { rewriteInProgress: true };
    mapper.map(sample(150, busy), view(150), view(160));
    mapper.map(sample(160, busy), view(160), view(160));
    expect(mapper.forkOf(file)).toEqual({ from: 120, to: 150 });
    expect(mapper.forkOf({ ...file, ino: '8' })).toBeNull();
    // Another process of the server: nothing is known of what it did in between.
    mapper.map(sample(170, { ...busy, runId: 'b' }), view(170), view(170));
    expect(mapper.forkOf(file)).toEqual({ from: 120, to: 150 });
    mapper.map(sample(180), view(180), view(180));
    expect(mapper.forkOf(file)).toBeNull();
  });
});

describe('a single file that is rewritten under the eyes of samples', () => {
  it('goes on in the new one, its base aligned with the fork, byte for byte', async () => {
    await using folder = await HandMadeAof.create();
    folder.put('appendonly.aof', 'one;');
    await using run = await single(folder);
    await run.idle();
    const take = (size: number, more: Partial<TailSample> = {}): void => {
      const stamp = run.tail.beginSample();
      run.tail.position(sample(size, more), stamp);
    };
    take(4);
    const since = '*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\ntwo;';
    folder.append('appendonly.aof', since);
    take(4 + since.length, { rewriteInProgress: true });
    folder.append('appendonly.aof', 'three;');
    await run.until('the growth', () => textOf(run, 0).endsWith('three;'));
    replace(folder, `${HEAD}${since}three;four;`);
    await run.until('the rewrite', () => run.stretches.length === 2);
    await run.idle();
    expect(run.continuities()).toEqual(['first', 'proven']);
    expect(run.bytes().toString()).toBe(`one;${since}three;four;`);
    const { opened } = run.last;
    expect(opened).toMatchObject({ start: HEAD.length });
    expect(opened.position - opened.start).toBe(since.length + 6);
    expect(forms([opened.base])).toEqual([['rdb', HEAD.length, 2]]);
  });
});
