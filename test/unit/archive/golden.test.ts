import { readSnapshotFooter, segmentCommands, unpackSnapshot } from '@tidemark/archive';
import { bytesOf } from '@tidemark/core';
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import {
  GOLDEN_FROM,
  GOLDEN_KEYS,
  GOLDEN_LINES,
  GOLDEN_LOG,
  GOLDEN_RDB,
  GOLDEN_START,
  GOLDEN_SUMMARY,
  GOLDEN_TO,
  makeGolden,
} from '../../support/archive-golden.ts';
import { log } from '../../support/command-log.ts';
import { collect, footerOf, rangesOf } from '../../support/segments.ts';

const fixture = (name: string): Buffer =>
  readFileSync(new URL(`../../fixtures/archive/${name}`, import.meta.url));
const offsetOf = (line: number): bigint =>
  GOLDEN_START + BigInt(log(...GOLDEN_LINES.slice(0, line)).length);

describe('golden objects of format version 1 stay readable', () => {
  it('segment with a list of keys', async () => {
    const payload = fixture('segment-v1-keys.bin');
    const footer = await footerOf(payload);
    const start = GOLDEN_START + BigInt(GOLDEN_FROM);
    expect(footer.header).toEqual({
      timeline: 'tl_golden',
      start,
      end: GOLDEN_START + BigInt(GOLDEN_TO),
      db: 3,
      maxDb: 300,
      inMulti: false,
      partialBytes: 10,
      commands: 11,
      rawBytes: GOLDEN_TO - GOLDEN_FROM,
      firstSecond: 1_750_000_000,
      lastSecond: 1_750_000_000,
      frames: 4,
      indexKind: 'keys',
    });
    const commands = await collect(segmentCommands(bytesOf(payload), footer.header));
    expect(commands).toEqual(GOLDEN_LOG.subarray(GOLDEN_FROM, GOLDEN_TO));
    const frames = await footer.frames();
    expect(frames.map(({ db, inMulti }) => [db, inMulti])).toEqual([
      [3, false],
      [3, true],
      [300, false],
      [300, false],
    ]);
    for (const [i, frame] of frames.entries()) {
      expect(frame.start).toBe(start + BigInt(i * 100));
      const before = GOLDEN_LINES.findLastIndex((_, line) => offsetOf(line) <= frame.start);
      expect(BigInt(frame.partialBytes)).toBe(frame.start - offsetOf(before));
    }
    expect(await footer.marks()).toEqual([
      {
        offset: GOLDEN_START + 60n,
        notBeforeMs: 1_750_000_000_000,
        notAfterMs: 1_749_999_999_999,
        source: 'annotation',
      },
      {
        offset: GOLDEN_START + 90n,
        notBeforeMs: 1_750_000_000_437,
        notAfterMs: null,
        source: 'sample',
      },
    ]);
    expect(await footer.stats()).toEqual({
      copy: 1,
      del: 1,
      exec: 1,
      multi: 1,
      newcommand: 1,
      rename: 1,
      select: 1,
      set: 3,
      swapdb: 1,
    });
    const keys: string[] = [];
    (await footer.keys()).forEach((db, key, inFrames) =>
      keys.push(`${db} ${key.toString()} ${inFrames.join(',')}`),
    );
    expect(keys).toEqual([
      '3 before 0',
      '3 user:1 0,1',
      '3 user:2 0,1',
      '3 user:3 1',
      '5 user:4 1,2',
      '300 user:2 1,2',
      '300 user:3 3',
    ]);
    expect((await footer.flow()).entries).toMatchObject([
      { offset: offsetOf(6), command: 'rename', effect: 'keys', db: 3 },
      { offset: offsetOf(8), command: 'copy', effect: 'keys', db: 300 },
      {
        offset: offsetOf(9),
        command: 'swapdb',
        effect: 'swap-db',
        swapped: { first: 3, second: 300 },
      },
      { offset: offsetOf(10), command: 'newcommand', effect: 'unknown', keys: [] },
    ]);
  });

  it('segment with a filter of keys', async () => {
    const index = await (await footerOf(fixture('segment-v1-filter.bin'))).keys();
    expect(index.kind).toBe('filter');
    expect(index.count).toBe(GOLDEN_KEYS.length);
    for (const key of GOLDEN_KEYS) expect(index.mayContain(0, Buffer.from(key))).toBe(true);
    const absent = GOLDEN_KEYS.filter((key) => !index.mayContain(1, Buffer.from(key)));
    expect(absent.length).toBeGreaterThan(60);
  });

  it('snapshot', async () => {
    const payload = fixture('snapshot-v1.bin');
    const expectIt = { timeline: 'tl_golden', offset: GOLDEN_START };
    const rdb = await collect(unpackSnapshot(bytesOf(payload), { expect: expectIt }));
    expect(rdb).toEqual(GOLDEN_RDB);
    const footer = await readSnapshotFooter(rangesOf(payload), payload.length);
    expect(footer.head).toEqual({ ...expectIt, rdbBytes: 2_500, frames: 3 });
    expect(await footer.summary()).toEqual(GOLDEN_SUMMARY);
  });

  it('are what the writer still makes, apart from the packing of zstd', async () => {
    const made = await makeGolden();
    expect(Object.keys(made)).toHaveLength(3);
    const segment = await footerOf(made['segment-v1-keys.bin']!);
    const stored = await footerOf(fixture('segment-v1-keys.bin'));
    expect(segment.header).toEqual(stored.header);
    expect(await segment.flow()).toEqual(await stored.flow());
    const filter = await footerOf(made['segment-v1-filter.bin']!);
    expect(filter.header).toEqual((await footerOf(fixture('segment-v1-filter.bin'))).header);
  });
});
