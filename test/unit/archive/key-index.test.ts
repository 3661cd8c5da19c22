import { CommandDecoder } from '@tidemark/aof';
import { readSegmentFooter, type KeyIndex } from '@tidemark/archive';
import { describe, expect, it } from 'vitest';
import { KeyCollector } from '../../../libs/archive/src/segment/key-collector.ts';
import { encodeKeyFilter, KeyFilterReader } from '../../../libs/archive/src/segment/key-filter.ts';
import { encodeKeyIndex, KeyListReader } from '../../../libs/archive/src/segment/key-index.ts';
import { sortedRows } from '../../../libs/archive/src/segment/key-sort.ts';
import { KeyTable } from '../../../libs/archive/src/segment/key-table.ts';
import { command, log } from '../../support/command-log.ts';
import { buildSegment, footerOf, rangesOf, type BuildOptions } from '../../support/segments.ts';

const LIMITS = { keysMax: 1e6, bytesMax: 1e8, postingsMax: 1e6 };
const frame0 = { first: 0, last: 0 };

async function indexOf(bytes: Buffer, options: BuildOptions = {}): Promise<KeyIndex> {
  return (await footerOf(buildSegment(bytes, options).payload)).keys();
}

function listed(index: KeyIndex): [number, string, number[]][] {
  const rows: [number, string, number[]][] = [];
  index.forEach((db, key, frames) => rows.push([db, key.toString('latin1'), [...frames]]));
  return rows;
}

/** Keys with long shared beginnings, zero bytes, beginnings of each other, and the empty key. */
function uglyKeys(): Buffer[] {
  const keys = ['', '\0', '\0\0', 'a', 'a\0', 'a\0\0', 'a\0b', 'ab', '\xff', '\xff\xff', 'user:1'];
  const many = Array.from({ length: 200 }, (_, i) => `${'p'.repeat(300)}${i}`);
  const zeros = Array.from({ length: 40 }, (_, i) => `z${'\0'.repeat(i)}`);
  return [...keys, ...many, ...zeros].map((key) => Buffer.from(key, 'latin1'));
}

describe('key table and sort', () => {
  it('hold each (db, key) once and sort them by bytes', () => {
    const table = new KeyTable(1, LIMITS);
    const model = new Map<string, Buffer>();
    for (const db of [1, 0, 256, 15]) {
      for (const key of [...uglyKeys(), ...uglyKeys().reverse()]) {
        expect(table.add(db, key, 0, key.length, 0)).toBe(true);
        const row = Buffer.alloc(4 + key.length);
        row.writeInt32BE(db, 0);
        row.set(key, 4);
        model.set(row.toString('latin1'), row);
      }
    }
    const sorted = [...sortedRows(table)].map((row) =>
      Buffer.from(
        table.arena.subarray(table.startOf(row), table.startOf(row) + table.lengthOf(row)),
      ),
    );
    expect(table.count).toBe(model.size);
    expect(sorted).toEqual([...model.values()].sort((a, b) => a.compare(b)));
  });

  it('stay as they are when a limit is reached', () => {
    const table = new KeyTable(1, { keysMax: 2, bytesMax: 100, postingsMax: 3 });
    const key = Buffer.from('abc');
    expect(table.add(0, key, 0, 1, 0)).toBe(true);
    expect(table.add(0, key, 1, 2, 0)).toBe(true);
    expect(table.add(0, key, 2, 3, 0)).toBe(false);
    expect(table.add(0, key, 0, 1, 1)).toBe(true);
    expect(table.add(0, key, 0, 1, 1)).toBe(true);
    expect(table.add(0, key, 0, 1, 2)).toBe(false);
    expect(table.count).toBe(2);
    const frames = new Int32Array(3);
    expect(table.framesOf(0, frames)).toBe(2);
    expect([...frames]).toEqual([1, 0, 0]);
    expect(new KeyTable(1, { ...LIMITS, bytesMax: 6 }).add(0, key, 0, 3, 0)).toBe(false);
  });
});

describe('key list', () => {
  it('finds every key it holds, with its frames, and no other', () => {
    const table = new KeyTable(3, LIMITS);
    const keys = uglyKeys();
    for (const [i, key] of keys.entries()) {
      for (const frame of [i % 5, 5 + (i % 3), 9]) {
        if (i % 2 === 0 || frame < 5) table.add(2, key, 0, key.length, frame);
      }
    }
    const bytes = encodeKeyIndex(table, 10)!;
    const list = new KeyListReader(bytes, 10);
    expect(list.count).toBe(keys.length);
    for (const [i, key] of keys.entries()) {
      const frames = i % 2 === 0 ? [i % 5, 5 + (i % 3), 9] : [i % 5];
      expect(list.find(2, key)).toEqual(frames);
      expect(list.find(1, key)).toBeNull();
      expect(list.find(3, key)).toBeNull();
    }
    for (const absent of [
      '\0\0\0',
      'b',
      'a\0\0\0',
      'p',
      `${'p'.repeat(300)}x`,
      'user:',
      'user:10',
    ]) {
      expect(list.find(2, Buffer.from(absent, 'latin1'))).toBeNull();
    }
  });

  it('is refused where it is damaged, never read past its end', () => {
    const table = new KeyTable(3, LIMITS);
    for (const key of uglyKeys()) table.add(0, key, 0, key.length, 1);
    const bytes = encodeKeyIndex(table, 4)!;
    const all = (damaged: Buffer): void => {
      new KeyListReader(damaged, 4).forEach(() => undefined);
    };
    for (let length = 0; length < bytes.length; length++) {
      expect(() => all(bytes.subarray(0, length))).toThrow(
        expect.objectContaining({ code: 'TM_SEGMENT_FORMAT' }),
      );
    }
    expect(() => all(Buffer.concat([bytes, Buffer.of(0)]))).toThrow(
      expect.objectContaining({ code: 'TM_SEGMENT_FORMAT' }),
    );
    expect(() => all(Buffer.of(2, 0))).toThrow(
      expect.objectContaining({ code: 'TM_SEGMENT_FORMAT' }),
    );
    // One key that says it shares bytes with nothing, one whose frame does not exist.
    expect(() => all(Buffer.of(0, 1, 1, 4, 0, 0, 0, 0))).toThrow(/shared bytes 1/);
    expect(() => all(Buffer.of(1, 1, 0, 4, 0, 0, 0, 0, 8))).toThrow(/frame 4/);
    expect(() => all(Buffer.of(1, 1, 0, 4, 0, 0, 0, 0, 255, 255, 3))).toThrow(/frames/);
    expect(() => all(Buffer.of(0, 1, 0, 3, 0, 0, 0))).toThrow(/database/);
  });
});

describe('key filter', () => {
  it('never denies a key it holds and seldom claims one it does not', () => {
    const collector = new KeyCollector('tl-1', 99n);
    const keyOf = (i: number): Buffer => Buffer.from(`user:${i}:session`);
    for (let i = 0; i < 20_000; i++) collector.add(i % 3, keyOf(i), 0, keyOf(i).length, frame0);
    const filter = new KeyFilterReader(encodeKeyFilter(collector.hashes()!, collector.seeds));
    expect(filter.count).toBe(20_000);
    let wrong = 0;
    for (let i = 0; i < 20_000; i++) {
      expect(filter.mayContain(i % 3, keyOf(i))).toBe(true);
      if (filter.mayContain((i + 1) % 3, keyOf(i))) wrong++;
    }
    expect(wrong / 20_000).toBeLessThan(0.015);
  });

  it('differs between segments, so that one cannot be prepared for another', () => {
    const seeds = [
      new KeyCollector('tl-1', 1n),
      new KeyCollector('tl-1', 2n),
      new KeyCollector('tl-2', 1n),
    ];
    expect(new Set(seeds.flatMap((one) => [...one.seeds])).size).toBe(6);
  });

  it('is refused where it is damaged', () => {
    const collector = new KeyCollector('tl-1', 99n);
    collector.add(0, Buffer.from('a'), 0, 1, frame0);
    const bytes = encodeKeyFilter(collector.hashes()!, collector.seeds);
    const format = expect.objectContaining({ code: 'TM_SEGMENT_FORMAT' }) as Error;
    for (let length = 0; length < bytes.length; length++) {
      expect(() => new KeyFilterReader(bytes.subarray(0, length))).toThrow(format);
    }
    for (const [at, value] of [
      [8, 0],
      [8, 33],
      [10, 0],
    ] as const) {
      const damaged = Buffer.from(bytes);
      damaged[at] = value;
      expect(() => new KeyFilterReader(damaged)).toThrow(format);
    }
  });
});

describe('key collector', () => {
  const limits = { ...LIMITS, keysMax: 10, filterKeysMax: 20 };
  const add = (collector: KeyCollector, from: number, to: number): void => {
    for (let i = from; i < to; i++) {
      const key = Buffer.from(`k${i}`);
      collector.add(0, key, 0, key.length, frame0);
    }
  };

  it('goes from a list to hashes to nothing as keys become too many', () => {
    const collector = new KeyCollector('tl-1', 0n, limits);
    add(collector, 0, 10);
    expect(collector.collected().kind).toBe('keys');
    add(collector, 0, 11);
    expect(collector.collected().kind).toBe('hashes');
    expect(collector.hashes()!.count).toBe(11);
    add(collector, 0, 20);
    expect(collector.hashes()!.count).toBe(20);
    add(collector, 20, 21);
    expect(collector.collected().kind).toBe('none');
    expect(collector.hashes()).toBeNull();
  });

  it('keeps in the filter what was listed before', () => {
    const collector = new KeyCollector('tl-1', 0n, limits);
    add(collector, 0, 15);
    const filter = new KeyFilterReader(encodeKeyFilter(collector.hashes()!, collector.seeds));
    for (let i = 0; i < 15; i++) expect(filter.mayContain(0, Buffer.from(`k${i}`))).toBe(true);
  });
});

describe('key index of a segment', () => {
  it('lists keys with the frames in which they occur, over databases', async () => {
    const bytes = Buffer.concat([
      log('SET b 1', 'SET a 1', 'SELECT 5', 'SET a 2'),
      command('SET', 'wide', 'x'.repeat(100)),
      log('DEL b', 'SET b 3'),
    ]);
    const index = await indexOf(bytes, { frameBytes: 64, exact: true });
    const frameOf = (text: string, from = 0): number => Math.floor(bytes.indexOf(text, from) / 64);
    const wide = bytes.indexOf('*3\r\n$3\r\nSET\r\n$4');
    const wideEnd = wide + command('SET', 'wide', 'x'.repeat(100)).length;
    const range = (from: number, to: number): number[] =>
      Array.from({ length: to - from + 1 }, (_, i) => from + i);
    const del = wideEnd;
    const delEnd = del + log('DEL b').length;
    const spans = (from: number, to: number): number[] =>
      range(Math.floor(from / 64), Math.floor((to - 1) / 64));
    expect(listed(index)).toEqual([
      [0, 'a', spans(log('SET b 1').length, log('SET b 1', 'SET a 1').length)],
      [0, 'b', [0]],
      [5, 'a', spans(log('SET b 1', 'SET a 1', 'SELECT 5').length, wide)],
      [5, 'b', [...new Set([...spans(del, delEnd), ...spans(delEnd, bytes.length)])]],
      [5, 'wide', spans(wide, wideEnd)],
    ]);
    expect(index.framesOf(0, Buffer.from('b'))).toEqual([frameOf('SET')]);
    expect(index.framesOf(0, Buffer.from('c'))).toEqual([]);
    expect(index.count).toBe(5);
  });

  it('becomes a filter when the list would be large beside the data', async () => {
    const random = (i: number): string =>
      Buffer.from(`${Math.sin(i) * 1e15}`).toString('base64url');
    const bytes = log(...Array.from({ length: 4_000 }, (_, i) => `SET ${random(i)} 1`));
    const filter = await indexOf(bytes);
    expect(filter.kind).toBe('filter');
    expect(filter.count).toBe(4_000);
    expect(listed(filter)).toEqual([]);
    expect(filter.forEach(() => undefined)).toBe(false);
    for (let i = 0; i < 4_000; i++) {
      expect(filter.mayContain(0, Buffer.from(random(i)))).toBe(true);
      expect(filter.framesOf(0, Buffer.from(random(i)))).toBeNull();
    }
    const absent = Array.from({ length: 2_000 }, (_, i) => Buffer.from(`absent-${i}`));
    const denied = absent.filter((key) => !filter.mayContain(0, key));
    expect(denied.length).toBeGreaterThan(1_950);
    expect(filter.framesOf(0, denied[0]!)).toEqual([]);
    const exact = await indexOf(bytes, { exact: true });
    expect(exact.kind).toBe('keys');
    expect(listed(exact)).toHaveLength(4_000);
  });

  it('stays a list for keys that come again', async () => {
    const lines = Array.from({ length: 4_000 }, (_, i) => `SET key:${i % 50} ${Math.sin(i)}`);
    expect((await indexOf(log(...lines))).kind).toBe('keys');
  });

  it('may hold a key over 4,096 bytes in any case', async () => {
    const long = 'k'.repeat(4_097);
    const index = await indexOf(log(`SET ${long} 1`, `SET ${'k'.repeat(4_096)} 1`), {
      exact: true,
    });
    expect(index.count).toBe(1);
    expect(index.mayContain(0, Buffer.from(long))).toBe(true);
    expect(index.framesOf(0, Buffer.from(long))).toBeNull();
    expect(index.mayContain(0, Buffer.alloc(5_000))).toBe(true);
    expect(index.mayContain(0, Buffer.from('k'.repeat(4_095)))).toBe(false);
  });

  it('does without an index when there are no commands to index', async () => {
    const decoder = new CommandDecoder();
    expect(decoder.push(log('PING'))[0]!.count).toBe(1);
    expect((await indexOf(log('PING', 'SELECT 1'))).count).toBe(0);
  });

  it('is found by ranged reads from the end, one for a small footer', async () => {
    const { payload } = buildSegment(
      log(...Array.from({ length: 5_000 }, (_, i) => `INCR n:${i % 9}`)),
    );
    const ranges: [number, number][] = [];
    const footer = await readSegmentFooter(rangesOf(payload, ranges), payload.length);
    await footer.keys();
    await footer.flow();
    await footer.marks();
    await footer.frames();
    expect(ranges).toHaveLength(1);
  });
});
