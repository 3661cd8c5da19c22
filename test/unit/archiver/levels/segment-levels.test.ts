import { readdir, readFile, stat, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { readSegmentFooter, segmentCommands, type SegmentFooter } from '@tidemark/archive';
import type { KeptSegment, LogEntry } from '@tidemark/catalog';
import { bytesOf } from '@tidemark/core';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { SegmentLevels } from '../../../../services/archiver/src/levels/segment-levels.ts';
import type { Element } from '../../../support/aof-layout.ts';
import { LevelHistory, openCopies, TIMELINE } from '../../../support/level-history.ts';
import { closed, opened } from '../../../support/log-events.ts';
import { readTestLog } from '../../../support/log-harness.ts';
import { failsAfter, failsBefore, storeDown } from '../../../support/memory-store.ts';
import { patternBytes } from '../../../support/pattern.ts';
import { collect } from '../../../support/segments.ts';
import { openShipped } from '../../../support/ship-harness.ts';
import { TempDir } from '../../../support/temp-dir.ts';

const CANARY = 'canary-7d1f';

/** Commands of one second: of several keys and databases, and transactions over its end. */
function second(i: number): readonly Element[] {
  return [
    ['SELECT', String(i % 3)],
    ['SET', `key:${i % 5}`, `${CANARY} ${i}`],
    ...(i % 4 === 1 ? [['MULTI'], ['RENAME', `key:${i % 5}`, `moved:${i}`]] : []),
    ...(i % 4 === 2 ? [['EXEC']] : []),
    ...(i === 40 ? [['SWAPDB', '0', '1']] : []),
    ['INCR', 'counter'],
  ];
}

describe('SegmentLevels', () => {
  let dir: TempDir;
  let history: LevelHistory;
  beforeEach(async () => {
    dir = await TempDir.create();
    history = await LevelHistory.open(dir.path);
  });
  afterEach(() => dir[Symbol.asyncDispose]());

  /** Captures up to the first second of the next minute, and one more. */
  async function captureMinute(): Promise<void> {
    const minute = Math.floor(history.second / 60);
    for (let i = 0; Math.floor((history.second - 1) / 60) === minute || i === 0; i++) {
      await history.roll(second(i));
    }
  }

  const levels = (): (number | undefined)[] =>
    history.log.rows.segments.map(({ header }) => header.level);

  async function openedRow(row: KeptSegment): Promise<{ plain: Buffer; footer: SegmentFooter }> {
    const entry = (await readTestLog(history.store)).find(({ seq }) => seq === row.seq) as LogEntry;
    const place = { timeline: TIMELINE, start: row.header.start };
    const plain = await openShipped(history.store, entry, place, history.keys);
    const read = (start: number, end: number): Promise<Buffer> =>
      Promise.resolve(plain.subarray(start, end));
    return { plain, footer: await readSegmentFooter(read, plain.length) };
  }

  it('writes a segment that holds what those hold that it is merged from', async () => {
    await captureMinute();
    const before = [...history.log.rows.segments];
    await history.look();
    const [merged, ...rest] = history.log.rows.segments;
    const held = before.slice(0, before.length - rest.length);
    if (merged === undefined) throw new Error('nothing is stored');
    expect(held.length).toBeGreaterThan(19);
    const [first, last] = [held[0], held.at(-1)];
    expect(merged).toMatchObject({
      header: { level: 1, start: first?.header.start, end: last?.header.end },
      captured: { first: first?.seq, last: last?.seq },
      provenTo: last?.provenTo,
      atMs: last?.atMs,
    });
    const { plain, footer } = await openedRow(merged);
    expect(footer.header).toEqual(merged.header);
    const commands = await collect(segmentCommands(bytesOf(plain), merged.header));
    const stream = Buffer.concat(history.stream);
    expect(commands.equals(stream.subarray(0, Number(merged.header.end)))).toBe(true);

    const parts = await Promise.all(held.map(openedRow));
    const marks = await Promise.all(parts.map((part) => part.footer.marks()));
    expect(await footer.marks()).toEqual(marks.flat());
    const flows = await Promise.all(parts.map((part) => part.footer.flow()));
    expect(await footer.flow()).toEqual({
      complete: true,
      entries: flows.flatMap(({ entries }) => entries),
    });
    const counts: Record<string, number> = {};
    for (const part of parts) {
      for (const [name, count] of Object.entries(await part.footer.stats())) {
        counts[name] = (counts[name] ?? 0) + count;
      }
    }
    expect(await footer.stats()).toEqual(counts);
    const keysOf = async (one: SegmentFooter): Promise<string[]> => {
      const found: string[] = [];
      (await one.keys()).forEach((db, key) => void found.push(`${db} ${key.toString()}`));
      return found;
    };
    const listed = new Set((await Promise.all(parts.map(({ footer: one }) => keysOf(one)))).flat());
    expect(new Set(await keysOf(footer))).toEqual(listed);
    expect(footer.header.maxDb).toBe(Math.max(...held.map(({ header }) => header.maxDb)));
  });

  it('changes nothing when it cannot put or log a merged segment, and does so later', async () => {
    await captureMinute();
    const before = history.log.rows;
    const faulty = history.store.through(({ op, key }) =>
      op === 'put' && key.includes('/log/') ? failsBefore(key) : undefined,
    );
    const { options } = history;
    const capture = { ...history.levelsCapture, store: faulty };
    const append = async (): Promise<void> => {
      await faulty.putIfAbsent('v1/instance/inst/log/0', bytesOf(Buffer.from('x')));
    };
    const failing = new SegmentLevels({ ...options, capture, copies: history.copies, append });
    await expect(failing.look(history.stop.signal)).rejects.toMatchObject({ code: 'TM_STORE_IO' });
    expect(history.log.rows).toBe(before);
    expect(await readdir(join(dir.path, 'spool.merged'))).toEqual([]);
    await history.look();
    expect(levels()).toContain(1);
  });

  it('goes on after a kill with the copies that are there', async () => {
    await captureMinute();
    // Another process: the spool and its key are all that is left of the first.
    const copies = await openCopies(dir.path);
    const { options, stop } = history;
    const next = new SegmentLevels({ ...options, capture: history.levelsCapture, copies });
    await next.look(stop.signal);
    expect(levels()[0]).toBe(1);
    expect(copies.has(history.log.rows.segments[0]?.header as KeptSegment['header'])).toBe(true);
  });

  it('leaves a segment unmerged whose copy was torn, and merges those around it', async () => {
    await captureMinute();
    const [, , torn] = history.log.rows.segments;
    const folder = join(dir.path, 'copies');
    const start = (torn?.header.start ?? 0n).toString().padStart(20, '0');
    const name = (await readdir(folder)).find((one) => one.startsWith(start)) ?? '';
    await truncate(join(folder, name), 150);
    await history.look();
    expect(levels().slice(0, 4)).toEqual([1, undefined, 1, undefined]);
    expect(history.log.rows.segments[1]).toEqual(torn);
    expect(history.logged).toContain('levels-copy');
  });

  it('leaves a timeline alone that was closed, and another one opened, meanwhile', async () => {
    await captureMinute();
    const { log, options } = history;
    const before = log.rows.segments;
    const append: typeof options.append = async (event, body) => {
      const end = log.state.timeline?.end ?? 0n;
      await log.append(closed(end, { timeline: TIMELINE, reason: 'detached' }));
      await log.append(opened({ timeline: 't2', previous: TIMELINE, reason: 'detached' }));
      await log.append(event, body);
    };
    const { copies, levelsCapture: capture } = history;
    const late = new SegmentLevels({ ...options, capture, copies, append });
    await late.look(history.stop.signal);
    expect(log.rows.segments).toEqual(before);
    expect(await readdir(join(dir.path, 'copies'))).toEqual([]);
  });

  it('keeps nothing on the disk in clear, and nothing that others could read', async () => {
    for (let i = 0; i < 12; i++) await history.roll(second(i));
    const folder = join(dir.path, 'copies');
    const names = await readdir(folder);
    expect(names).toHaveLength(12);
    expect((await stat(folder)).mode & 0o777).toBe(0o700);
    for (const name of names) {
      expect((await stat(join(folder, name))).mode & 0o777).toBe(0o600);
      expect((await readFile(join(folder, name))).includes(CANARY)).toBe(false);
    }
  });

  it('keeps copies within a limit: the oldest go, and stay unmerged', async () => {
    const copies = await openCopies(dir.path, 2_000);
    const [place] = [{ timeline: TIMELINE, start: 0n, end: 10n }];
    await copies.keep(place, [Buffer.alloc(700)]);
    for (let i = 1n; i < 6n; i++) {
      await copies.keep({ ...place, start: i * 10n, end: i * 10n + 10n }, [Buffer.alloc(700)]);
      expect(copies.bytes).toBeLessThan(2_000 + 400);
    }
    expect(copies.has(place)).toBe(false);
    await copies.keep({ ...place, start: 90n, end: 99n }, [Buffer.alloc(9_000)]);
    expect(copies.has({ ...place, start: 90n, end: 99n })).toBe(false);
  });

  it('logs no merged segment of which the store holds half, and puts it elsewhere', async () => {
    for (const seed of [1, 2, 3]) await history.roll([['SET', 'k', patternBytes(120_000, seed)]]);
    await captureMinute();
    const before = history.log.rows;
    const cut: string[] = [];
    history.faults.hook = ({ op, key }) => {
      if (op !== 'put' || !key.includes('/seg/') || cut.length > 0) return undefined;
      const { store } = history;
      const keepHalf = (): never => {
        cut.push(key);
        const bytes = store.objects.get(key) ?? Buffer.alloc(0);
        store.tamper(key, bytes.subarray(0, bytes.length >> 1));
        throw storeDown(key);
      };
      return { after: keepHalf };
    };
    const failed: unknown = await history.look().catch((cause: unknown) => cause);
    expect(failed).toMatchObject({ code: 'TM_STORE_DIFFERS', context: { key: cut[0] } });
    expect(history.log.rows).toBe(before);
    await history.look();
    const merged = history.log.rows.segments[0];
    if (merged === undefined) throw new Error('nothing is stored');
    const { plain, footer } = await openedRow(merged);
    expect([merged.header.level, footer.header]).toEqual([1, merged.header]);
    expect(plain.length).toBeGreaterThan(300_000);
  });

  it('takes an object for stored whose put was answered by silence', async () => {
    await captureMinute();
    let silent = 1;
    history.faults.hook = ({ op, key }) =>
      op === 'put' && key.includes('/log/') && silent-- > 0 ? failsAfter(key) : undefined;
    await history.look();
    const events = (await readTestLog(history.store)).map(({ event }) => event.type);
    expect(events.filter((type) => type === 'SegmentsMerged')).toHaveLength(1);
  });
});
