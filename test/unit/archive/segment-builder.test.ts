import { CommandDecoder } from '@tidemark/aof';
import { SegmentBuilder, type Mark } from '@tidemark/archive';
import { describe, expect, it } from 'vitest';
import { command, log, split } from '../../support/command-log.ts';
import { buildSegment, buildSegments, commandsOf, footerOf } from '../../support/segments.ts';

const sets = (count: number, prefix = 'key:'): string[] =>
  Array.from({ length: count }, (_, i) => `SET ${prefix}${i} value-${i}`);

const options = {
  timeline: 'tl-1',
  start: 0n,
  db: 0,
  inMulti: false,
  partialBytes: 0,
  bytesMax: 1_000_000,
};

describe('SegmentBuilder', () => {
  it('gives a header that says what the segment holds', async () => {
    const bytes = log('#TS:100', 'SELECT 2', 'SET a 1', '#TS:102', 'SET b 2');
    const marks: Mark[] = [
      { offset: 0n, notBeforeMs: 100_000, notAfterMs: 100_999, source: 'annotation' },
      { offset: 50n, notBeforeMs: 102_000, notAfterMs: null, source: 'annotation' },
    ];
    const segment = buildSegment(bytes, { marks, offset: 0n });
    const raw = log('SELECT 2', 'SET a 1', 'SET b 2');
    expect(segment.header).toEqual({
      timeline: 'tl-1',
      start: 0n,
      end: BigInt(raw.length),
      db: 0,
      maxDb: 2,
      inMulti: false,
      partialBytes: 0,
      commands: 3,
      rawBytes: raw.length,
      firstSecond: 100,
      lastSecond: 102,
      frames: 1,
      indexKind: 'keys',
    });
    expect(await commandsOf(segment)).toEqual(raw);
    const footer = await footerOf(segment.payload);
    expect(footer.header).toEqual(segment.header);
    expect(await footer.marks()).toEqual(marks);
    expect(await footer.stats()).toEqual({ select: 1, set: 2 });
  });

  it('may be empty', async () => {
    const segment = buildSegment(Buffer.alloc(0), { offset: 77n });
    expect(segment.header).toMatchObject({ start: 77n, end: 77n, frames: 0, commands: 0 });
    const footer = await footerOf(segment.payload);
    expect(await footer.frames()).toEqual([]);
    expect(await footer.flow()).toEqual({ complete: true, entries: [] });
    expect((await footer.keys()).mayContain(0, Buffer.from('a'))).toBe(false);
    expect(await commandsOf(segment)).toEqual(Buffer.alloc(0));
  });

  it('may end and start within a command, inside MULTI, in any database', async () => {
    const bytes = log('SELECT 3', 'MULTI', 'SET alpha 1', 'SET beta 2', 'EXEC', 'SET gamma 3');
    const at = bytes.indexOf('beta') + 2;
    const [first, second] = buildSegments([[bytes.subarray(0, at)], [bytes.subarray(at)]]);
    expect(first!.header).toMatchObject({ db: 0, inMulti: false, partialBytes: 0, commands: 3 });
    const betaStart = bytes.length - log('SET beta 2', 'EXEC', 'SET gamma 3').length;
    expect(second!.header).toMatchObject({
      start: BigInt(at),
      db: 3,
      inMulti: true,
      partialBytes: at - betaStart,
      commands: 3,
    });
    expect(Buffer.concat([await commandsOf(first!), await commandsOf(second!)])).toEqual(bytes);
    // A command belongs to the segment in which it ends.
    const keys = [
      await (await footerOf(first!.payload)).keys(),
      await (await footerOf(second!.payload)).keys(),
    ];
    const holds = (name: string): boolean[] =>
      keys.map((one) => one.mayContain(3, Buffer.from(name)));
    expect(holds('alpha')).toEqual([true, false]);
    expect(holds('beta')).toEqual([false, true]);
    expect(holds('gamma')).toEqual([false, true]);
    expect(keys[0]!.mayContain(0, Buffer.from('alpha'))).toBe(false);
  });

  it('notes the state of the stream at each frame', async () => {
    const bytes = log(
      'SELECT 1',
      'MULTI',
      'SET a 0123456789',
      'SELECT 2',
      'SET b 1',
      'EXEC',
      'DEL b',
    );
    const segment = buildSegment(bytes, { frameBytes: 16 });
    const frames = await (await footerOf(segment.payload)).frames();
    const ends = [
      'SELECT 1',
      'MULTI',
      'SET a 0123456789',
      'SELECT 2',
      'SET b 1',
      'EXEC',
      'DEL b',
    ].map((_, i, lines) => log(...lines.slice(0, i + 1)).length);
    const expected = Array.from({ length: Math.ceil(bytes.length / 16) }, (_, i) => {
      const start = i * 16;
      const ended = ends.filter((end) => end <= start).length;
      return {
        start: BigInt(start),
        rawLength: Math.min(16, bytes.length - start),
        db: ended === 0 ? 0 : ended < 4 ? 1 : 2,
        inMulti: ended >= 2 && ended < 6,
        partialBytes: start - (ends[ended - 1] ?? 0),
      };
    });
    expect(frames).toMatchObject(expected);
    expect(frames[0]!.position).toBe(0);
    for (const [i, frame] of frames.entries()) {
      const next = frames[i + 1];
      if (next !== undefined) expect(next.position).toBe(frame.position + frame.length);
    }
  });

  it('counts unknown commands by their name, within limits', async () => {
    const lines = Array.from({ length: 300 }, (_, i) => `NEWCMD${i % 200} x`);
    const bytes = Buffer.concat([
      log(...lines, 'newcmd0 y'),
      command(Buffer.from([1, 2, 3]), 'x'),
      command('L'.repeat(65), 'x'),
    ]);
    const stats = await (await footerOf(buildSegment(bytes).payload)).stats();
    expect(stats['newcmd0']).toBe(3);
    expect(Object.keys(stats).length).toBeLessThanOrEqual(129);
    expect(Object.values(stats).reduce((a, b) => a + b, 0)).toBe(303);
    expect(stats['(other)']).toBeGreaterThanOrEqual(2);
  });

  it('gives back marks that lie after its end and takes late ones of earlier offsets', async () => {
    const decoder = new CommandDecoder({ offset: 100n });
    const builder = new SegmentBuilder({ ...options, start: 100n });
    for (const batch of decoder.push(log('SET a 1'))) builder.addBatch(batch);
    const mark = (offset: bigint): Mark => ({
      offset,
      notBeforeMs: Number(offset) * 1000,
      notAfterMs: null,
      source: 'sample',
    });
    for (const offset of [builder.end + 1n, builder.end, 7n]) builder.addMark(mark(offset));
    const end = builder.end;
    const { payload, lateMarks, header } = builder.finish();
    expect(lateMarks).toEqual([mark(end + 1n)]);
    expect(header).toMatchObject({ firstSecond: 7, lastSecond: Number(end) });
    const footer = await footerOf(Buffer.concat(payload));
    expect(await footer.marks()).toEqual([mark(7n), mark(end)]);
  });

  it('says when it is full and refuses far more than its maximum', () => {
    const decoder = new CommandDecoder();
    const builder = new SegmentBuilder({ ...options, bytesMax: 60 });
    for (const batch of decoder.push(log('SET a 1'))) builder.addBatch(batch);
    expect(builder.full).toBe(false);
    for (const batch of decoder.push(log('SET a 1', 'SET a 2'))) builder.addBatch(batch);
    expect(builder.full).toBe(true);
    const piece = Buffer.alloc(1_048_576);
    const batch = { ...decoder.push(Buffer.alloc(0))[0]!, count: 0, pieces: [piece] };
    const fill = (): void => {
      for (let i = 0; i < 65; i++) builder.addBatch(batch);
    };
    expect(fill).toThrow(expect.objectContaining({ code: 'TM_LIMIT' }));
  });

  it('cannot be ended between the batches of one push, nor used after its end', () => {
    const decoder = new CommandDecoder();
    const builder = new SegmentBuilder(options);
    const bytes = log('SET a 1', 'SET b 2');
    decoder.push(bytes.subarray(0, 5)).forEach((batch) => builder.addBatch(batch));
    const [spanning] = decoder.push(bytes.subarray(5));
    builder.addBatch(spanning!);
    const internal = expect.objectContaining({ code: 'TM_INTERNAL' }) as Error;
    expect(() => builder.finish()).toThrow(internal);

    const done = new SegmentBuilder(options);
    done.finish();
    expect(() => done.finish()).toThrow(internal);
    expect(() => done.addBatch(spanning!)).toThrow(internal);
  });

  it('refuses options out of range', () => {
    const usage = expect.objectContaining({ code: 'TM_USAGE' }) as Error;
    for (const frameBytes of [0, 1.5, 1_048_577]) {
      expect(() => new SegmentBuilder({ ...options, frameBytes })).toThrow(usage);
    }
    for (const level of [0, 20, 1.5]) {
      expect(() => new SegmentBuilder({ ...options, level })).toThrow(usage);
    }
  });

  it('makes the same bytes from the same log, however it was cut into chunks', () => {
    const bytes = log(...sets(300), 'RENAME key:1 key:2', 'MSET a 1 b 2');
    const whole = buildSegment(bytes, { frameBytes: 512 });
    for (const size of [1, 7, 100]) {
      const [cut] = buildSegments([split(bytes, size)], { frameBytes: 512 });
      expect(cut!.payload.equals(whole.payload)).toBe(true);
    }
  });

  it('packs with the level that it is given', async () => {
    const words = ['alpha', 'beta', 'gamma', 'delta', 'epsilon', 'zeta', 'eta', 'theta'];
    const text = (i: number): string =>
      Array.from(
        { length: 12 },
        (_, k) => words[Math.floor(Math.abs(Math.sin(i * 13 + k)) * 8)],
      ).join('-');
    const bytes = log(...Array.from({ length: 3_000 }, (_, i) => `SET key:${i % 100} ${text(i)}`));
    const packed = await Promise.all(
      [1, 15].map(async (level) => {
        const frames = await (await footerOf(buildSegment(bytes, { level }).payload)).frames();
        return frames.reduce((sum, frame) => sum + frame.length, 0);
      }),
    );
    expect(packed[1]).toBeLessThan(packed[0]!);
  });
});
