import {
  linkSync,
  readdirSync,
  renameSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { openAofTail } from '@tidemark/aof';
import { systemClock } from '@tidemark/system';
import { beforeAll, describe, expect, it } from 'vitest';
import { HandMadeAof } from '../../support/aof-folder.ts';
import { buildAof, type AofRun } from '../../support/aof-run.ts';

beforeAll(() => buildAof(), 120_000);

const start = async (): Promise<HandMadeAof> => {
  const folder = await HandMadeAof.create();
  folder.put('b1', 'base');
  folder.put('i1', 'one;');
  folder.manifest('b1 i1');
  return folder;
};

/** What was delivered since the last opening. */
const textOf = (run: AofRun): string =>
  Buffer.concat(run.stretches.at(-1)?.chunks ?? []).toString();

describe('AofTail', () => {
  it('walks all increments of one manifest from the base, each proven', async () => {
    await using folder = await start();
    folder.put('i2', 'two;');
    folder.put('i3', '');
    folder.put('i4', 'four;');
    folder.manifest('b1 i1 i2 i3 i4');
    await using run = await folder.open();
    await run.idle();
    expect(run.bytes().toString()).toBe('one;two;four;');
    expect(run.continuities()).toEqual(['first', 'proven', 'proven', 'proven']);
    expect(run.stretches.map(({ opened }) => opened.base?.seq)).toEqual([
      1,
      undefined,
      undefined,
      undefined,
    ]);
    expect(run.stretches.map(({ ended }) => ended)).toEqual([4, 4, 0, null]);
  });

  it('gives a base that comes later as an item of its own', async () => {
    await using folder = await start();
    await using run = await folder.open();
    folder.put('i2', 'two;');
    folder.manifest('b1 i1 i2');
    await run.until('the second', () => run.stretches.length === 2);
    await run.idle();
    expect(run.last.opened.base).toBeNull();
    folder.put('b2', 'new base');
    folder.manifest('b2 h1 i2');
    await run.until('the base', () => run.last.bases.length === 1);
    expect(run.last.bases[0]?.base).toMatchObject({
      name: 'b2.rdb',
      seq: 2,
      alignedSeq: 2,
      size: 8,
    });
    expect(folder.pins()).toEqual(['base1', 'base2', 'incr1', 'incr2']);
    await run.tail.releaseBase('b1.rdb');
    await run.tail.release(2); // the second is being read
    expect(folder.pins()).toEqual(['base2', 'incr2']);
  });

  it('does not splice files of one name and seq', async () => {
    await using folder = await start();
    await using run = await folder.open();
    await run.idle();
    unlinkSync(folder.path('i1'));
    folder.put('i1', 'one;');
    folder.put('b5', 'base 5');
    folder.manifest('b5 i1');
    await run.until('a new start', () => run.stretches.length === 2);
    await run.idle();
    expect(run.broken()).toEqual(['divergent-tail']);
    expect(run.last.opened).toMatchObject({ continuity: 'broken', base: { seq: 5 } });
    expect(textOf(run)).toBe('one;');
    expect(run.stretches[0]?.opened.file.ino).not.toBe(run.last.opened.file.ino);
    // A release that means the new one must not be held up by, nor lose, the old one.
    await run.tail.release(1);
    expect(folder.pins()).toEqual(['base1', 'base5', 'incr1']);
  });

  it('takes a short write that was taken back and written again for what it is', async () => {
    await using folder = await start();
    await using run = await folder.open();
    folder.append('i1', 'partial');
    await run.until('all', () => textOf(run) === 'one;partial');
    truncateSync(folder.path('i1'), 4);
    await sleep(100);
    folder.append('i1', 'partial and whole;');
    await run.until('all', () => textOf(run) === 'one;partial and whole;');
    expect(run.broken()).toEqual([]);
    truncateSync(folder.path('i1'), 4);
    await run.until('the break', () => run.broken().length === 1);
    expect(run.broken()).toEqual(['divergent-tail']);
    await run.until('from the base again', () => run.stretches.length === 2);
    await run.idle();
    expect(textOf(run)).toBe('one;');
    expect(run.last.opened.base).toMatchObject({ seq: 1 });
  });

  it('reports other bytes at once when the file grew again with them', async () => {
    await using folder = await start();
    await using run = await folder.open();
    folder.append('i1', 'partial');
    await run.until('all', () => textOf(run) === 'one;partial');
    truncateSync(folder.path('i1'), 4);
    folder.append('i1', 'something else');
    await run.until('a new start', () => run.stretches.length === 2);
    await run.idle();
    expect(run.broken()).toEqual(['divergent-tail']);
    expect(textOf(run)).toBe('one;something else');
  });

  it('fails with the line of a broken manifest, and goes on when it is well', async () => {
    await using folder = await start();
    await using run = await folder.open({ paused: true });
    writeFileSync(folder.path('m'), 'file b1 seq 1 type b\nnonsense\n');
    await run.tail.next();
    await run.tail.next();
    let failure: unknown = null;
    for (let i = 0; failure === null && i < 100; i++) {
      await run.tail.next().catch((error: unknown) => (failure = error));
    }
    expect(failure).toMatchObject({
      code: 'TM_AOF_MANIFEST',
      context: { line: 2, offset: 21 },
    });
    folder.manifest('b1 i1');
    folder.append('i1', 'more;');
    for (;;) {
      const item = await run.tail.next().catch(() => sleep(20));
      if (item?.kind !== 'bytes') continue;
      expect(item.data.toString()).toBe('more;');
      break;
    }
  });

  it('rejects with the reason of the signal, also while it waits', async () => {
    await using folder = await start();
    const abort = new AbortController();
    const limits = { pinBytesMax: 1, pinAgeMaxMs: 1, clock: systemClock };
    const settings = { dir: folder.dir, manifestName: 'm', resume: null, ...limits };
    await using tail = await openAofTail({ ...settings, signal: abort.signal });
    for (const kind of ['opened', 'bytes', 'idle']) expect((await tail.next()).kind).toBe(kind);
    const waiting = tail.next();
    await expect(tail.next()).rejects.toMatchObject({ code: 'TM_USAGE' });
    await sleep(20);
    abort.abort(new Error('enough'));
    await expect(waiting).rejects.toThrow('enough');
    await expect(tail.next()).rejects.toThrow('enough');
    await expect(openAofTail({ ...settings, signal: abort.signal })).rejects.toThrow('enough');
  });

  it('ends a waiting call when it is disposed, and leaves the pins', async () => {
    await using folder = await start();
    const run = await folder.open({ paused: true });
    for (const kind of ['opened', 'bytes', 'idle']) expect((await run.tail.next()).kind).toBe(kind);
    const waiting = run.tail.next();
    const ended = expect(waiting).rejects.toMatchObject({ code: 'TM_USAGE' });
    await sleep(20);
    await run.tail[Symbol.asyncDispose]();
    await ended;
    expect(folder.pins()).toEqual(['base1', 'incr1']);
  });

  it('removes at its start the pins that nobody needs any more', async () => {
    await using folder = await start();
    const first = await folder.open();
    folder.put('i2', 'two;');
    folder.manifest('b1 i1 i2');
    await first.until('the second', () => first.stretches.length === 2);
    folder.put('b2', 'base 2');
    folder.manifest('b2 i2');
    await first.until('the base', () => first.last.bases.length === 1);
    await first.stop();
    unlinkSync(folder.path('b1'));
    unlinkSync(folder.path('i1'));
    expect(folder.pins()).toEqual(['base1', 'base2', 'incr1', 'incr2']);
    await using second = await folder.open();
    await second.idle();
    expect(folder.pins()).toEqual(['base2', 'incr2']);
    expect(second.bytes().toString()).toBe('two;');
  });

  it('keeps the pins of two captures of one folder apart', async () => {
    await using folder = await start();
    await using one = await folder.open({ pinOwner: 'w1' });
    await using two = await folder.open({ pinOwner: 'w2' });
    await one.idle();
    await two.idle();
    expect(folder.pins()).toEqual(['base1', 'base1', 'incr1', 'incr1']);
  });

  it('finds the increment of a cursor among the history a server keeps', async () => {
    await using folder = await start();
    const first = await folder.open();
    await first.idle();
    const cursor = first.tail.cursor();
    await first.stop();
    for (const pin of readdirSync(folder.dir)) expect(pin).not.toBe('');
    folder.append('i1', 'end;');
    folder.put('i2', 'two;');
    folder.put('b2', 'base 2');
    folder.manifest('b2 h1 i2');
    // As if pins could not be made: only the server's own file is left.
    const root = join(folder.dir, '..', '.tidemark-pins');
    renameSync(root, `${root}.gone`);
    await using second = await folder.open({ resume: cursor, hold: true });
    await second.until('both', () => second.stretches.length === 2);
    await second.idle();
    expect(second.bytes(second.stretches[0]).toString()).toBe('end;');
    expect(second.broken()).toEqual(['rewrite-unobserved']);
    expect(textOf(second)).toBe('two;');
  });

  it('tells which file of a cursor is gone', async () => {
    await using folder = await start();
    const resume = {
      file: 'i9',
      seq: 9,
      dev: '1',
      ino: '1',
      position: 0,
      digest: '',
      digestBytes: 0,
    };
    await using run = await folder.open({ resume });
    await run.idle();
    expect(run.broken()).toEqual(['rewrite-unobserved']);
    expect(run.items[0]).toMatchObject({ kind: 'broken', detail: 'i9 is gone' });
    expect(run.last.opened).toMatchObject({ continuity: 'broken', base: { seq: 1 } });
  });

  it('waits at the start while the log is off', async () => {
    await using folder = await start();
    await using run = await folder.open({ paused: true });
    run.tail.noteAofEnabled(false, 'a');
    run.go();
    await sleep(100);
    expect(run.items).toEqual([]);
    expect(run.tail.position(SAMPLE, run.tail.beginSample())).toBeNull();
    folder.put('b2', 'base 2');
    folder.put('i2', 'two;');
    folder.manifest('b2 h1 i2');
    await run.until('the new one', () => run.stretches.length === 1);
    await run.idle();
    expect(run.bytes().toString()).toBe('two;');
    expect(run.continuities()).toEqual(['first']);
  });

  it('delivers everything up to where the log was switched off, and not a byte more', async () => {
    await using folder = await start();
    folder.put('i2', 'two;');
    folder.manifest('b1 i1 i2');
    await using run = await folder.open({ paused: true });
    expect((await run.tail.next()).kind).toBe('opened');
    run.tail.noteAofEnabled(false, 'a');
    await sleep(100);
    folder.append('i2', 'after the restart;');
    run.go();
    await run.until('the break', () => run.broken().length === 1);
    expect(run.broken()).toEqual(['aof-off']);
    expect(run.bytes().toString()).toBe('two;');
    expect(run.items.map(({ kind }) => kind)).toEqual(['ended', 'opened', 'broken']);
    await sleep(50);
    expect(run.stretches).toHaveLength(1);
    run.tail.noteAofEnabled(true, 'b');
    await run.until('both again', () => textOf(run) === 'two;after the restart;');
    const [, first, second] = run.stretches;
    expect(first?.opened).toMatchObject({ continuity: 'broken', reason: 'aof-off' });
    expect(first?.opened.base).toMatchObject({ seq: 1 });
    expect(first === undefined ? '' : run.bytes(first).toString()).toBe('one;');
    expect(second?.opened.continuity).toBe('proven');
  });

  it('does not count a file that others link to as gone', async () => {
    await using folder = await start();
    linkSync(folder.path('i1'), folder.path('backup'));
    await using run = await folder.open({ pinBytesMax: 0, pinAgeMaxMs: 0 });
    await run.idle();
    folder.put('i2', 'two;');
    folder.manifest('b1 i1 i2');
    folder.manifest('b1 i2');
    await run.until('the second', () => run.stretches.length === 2);
    unlinkSync(folder.path('i1'));
    await sleep(1_200);
    expect(folder.pins()).toEqual(['base1', 'incr1', 'incr2']);
  });
});

const SAMPLE = {
  aofCurrentSize: 8,
  aofBaseSize: 4,
  aofBufferLength: 0,
  rewriteInProgress: false,
  rewrites: 0,
};
