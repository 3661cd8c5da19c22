import { digestOf } from '@tidemark/aof';
import { readSegmentFooter, segmentCommands, type Mark } from '@tidemark/archive';
import { bytesOf } from '@tidemark/core';
import { beforeEach, describe, expect, it } from 'vitest';
import {
  TimelineWriter,
  type RolledSegment,
} from '../../../../services/archiver/src/capture/timeline-writer.ts';
import { incrFile, layOut, type Element } from '../../../support/aof-layout.ts';
import { patternBytes } from '../../../support/pattern.ts';
import { collect, rangesOf } from '../../../support/segments.ts';
import { steppingClock, type SteppingClock } from '../../../support/stepping-clock.ts';

const MIB = 1024 * 1024;
const SECOND = 1_795_000_000;
const us = (second: number, ms = 0): number => (second * 1000 + ms) * 1000;

let clock: SteppingClock;
let writer: TimelineWriter;
beforeEach(() => {
  clock = steppingClock(SECOND * 1000);
  writer = open();
});

function open(start = { offset: 0n, db: 0, inMulti: false, skipBytes: 0 }): TimelineWriter {
  const limits = { bytesMax: 128 * MIB };
  const made = new TimelineWriter({ timeline: 'tl', start, latestSecond: null, clock, limits });
  made.openFile(incrFile(), 0);
  return made;
}

const marksOf = async ({ payload }: RolledSegment): Promise<readonly Mark[]> => {
  const whole = Buffer.concat(payload);
  return (await readSegmentFooter(rangesOf(whole), whole.length)).marks();
};
const commandsOf = ({ payload, header }: RolledSegment): Promise<Buffer> =>
  collect(segmentCommands(bytesOf(Buffer.concat(payload)), header));

/** Lays out, pushes in one go, rolls. */
function rolled(...elements: readonly Element[]): RolledSegment {
  writer.push(layOut(elements).file, 0);
  return writer.roll()!;
}

describe('TimelineWriter.roll()', () => {
  it('gives segments that join and hold the stream without its annotations', async () => {
    const log = layOut([
      ...['#TS:1795000000', ['SELECT', '3'], ['SET', 'a', '1'], '#TS:1795000001', ['MULTI']],
      ...[['SET', 'b', '2'], ['EXEC'], ['DEL', 'a']],
    ]);
    const segments: RolledSegment[] = [];
    for (let at = 0; at < log.file.length; at += 70) {
      writer.push(log.file.subarray(at, at + 70), at);
      const segment = writer.roll();
      if (segment !== null) segments.push(segment);
    }
    expect(segments.length).toBeGreaterThan(2);
    expect(Buffer.concat(await Promise.all(segments.map(commandsOf)))).toEqual(log.stream);
    let before: RolledSegment | null = null;
    for (const segment of segments) {
      expect(segment.header.start).toBe(before?.header.end ?? 0n);
      expect(segment.header).toMatchObject({
        timeline: 'tl',
        db: before?.after.db ?? 0,
        inMulti: before?.after.inMulti ?? false,
        partialBytes: before?.after.partialBytes ?? 0,
      });
      before = segment;
    }
    expect(before?.after).toEqual({ db: 3, inMulti: false, partialBytes: 0 });
    expect(before?.cursor?.position).toBe(log.file.length);
  });

  it('is null as long as no whole command is there, and loses none of its bytes', async () => {
    const { file, stream } = layOut([['SET', 'a', '1']]);
    expect(writer.roll()).toBeNull();
    writer.push(file.subarray(0, 9), 0);
    expect(writer.roll()).toBeNull();
    expect([writer.rawBytes, writer.end]).toEqual([0, 0n]);
    writer.push(file.subarray(9), 9);
    expect(await commandsOf(writer.roll()!)).toEqual(stream);
    expect(writer.roll()).toBeNull();
  });

  it('cuts a command of more than 1 MiB, and goes on with it also after a restart', async () => {
    const { file, stream } = layOut([
      ['SET', 'a', '1'],
      ['SET', 'b', patternBytes(3 * MIB)],
    ]);
    writer.push(file.subarray(0, 2 * MIB), 0);
    const first = writer.roll()!;
    const { end } = first.header;
    const { partialBytes } = first.after;
    expect(end).toBe(BigInt(2 * MIB));
    expect(first.cursor).toMatchObject({
      position: 2 * MIB,
      digest: digestOf(file.subarray(2 * MIB - 4096, 2 * MIB)),
    });
    const at = 2 * MIB - partialBytes; // the tail reads the unfinished command once more
    const again = open({
      ...{ offset: end - BigInt(partialBytes), db: 0, inMulti: false, skipBytes: partialBytes },
    });
    again.openFile(incrFile(), at, first.cursor);
    again.push(file.subarray(at), at);
    const second = again.roll()!;
    expect(second.header).toMatchObject({ start: end, partialBytes, commands: 1 });
    const both = Buffer.concat([await commandsOf(first), await commandsOf(second)]);
    expect(both.equals(stream)).toBe(true);
  });

  it('puts the marks of annotations and samples into the segment', async () => {
    const log = layOut([`#TS:${SECOND}`, ['SET', 'a', '1'], `#TS:${SECOND + 1}`, ['DEL', 'a']]);
    const [, , one, , two] = log.boundaries;
    writer.push(log.file, 0);
    writer.addSample({ seq: 1, position: two!.position, timeUs: us(SECOND + 2, 7) });
    const segment = writer.roll()!;
    const end = (SECOND + 1) * 1000;
    expect(await marksOf(segment)).toEqual([
      {
        ...{ offset: 0n, notBeforeMs: SECOND * 1000, notAfterMs: SECOND * 1000 + 999 },
        source: 'annotation',
      },
      { offset: one!.offset, notBeforeMs: end, notAfterMs: end - 1, source: 'annotation' },
      { offset: two!.offset, notBeforeMs: end + 1007, notAfterMs: end + 1007, source: 'sample' },
    ]);
    expect(segment.header).toMatchObject({ firstSecond: SECOND, lastSecond: SECOND + 2 });
  });
});

describe('TimelineWriter.addSample()', () => {
  const log = layOut([['SET', 'a', '1'], '#TS:1795000000', ['SET', 'b', '2'], ['SET', 'c', '3']]);
  const [, one, line, two] = log.boundaries;
  const at = (position: number): { seq: number; position: number; timeUs: number } => ({
    ...{ seq: 1, position, timeUs: us(SECOND) },
  });
  const sampled = async (): Promise<bigint[]> =>
    (await marksOf(writer.roll()!))
      .filter(({ source }) => source === 'sample')
      .map(({ offset }) => offset);

  it('waits for the tail and then stands exactly at its place in the stream', async () => {
    writer.addSample(at(two!.position));
    expect(writer.firstMark).toBeNull();
    writer.push(log.file, 0);
    expect(await sampled()).toEqual([two!.offset]);
  });

  it.each([one, line])('has the same place at both ends of an annotation', async (end) => {
    writer.addSample(at(end!.position));
    writer.push(log.file, 0);
    expect(await sampled()).toEqual([one!.offset]);
  });

  it('counts at once when the tail is there or has passed it', async () => {
    writer.push(log.file, 0);
    writer.addSample(at(one!.position));
    writer.addSample({ ...at(log.file.length), timeUs: us(SECOND + 1) });
    expect(await sampled()).toEqual([one!.offset, BigInt(log.stream.length)]);
  });

  it('counts at the start of a file of which nothing was read yet', () => {
    writer.addSample(at(0));
    expect(writer.firstMark).toMatchObject({ offset: 0n, notBeforeMs: SECOND * 1000 });
  });

  it('is dropped when its place is not known any more', () => {
    writer.openFile(incrFile(2), 0);
    writer.addSample(at(one!.position));
    expect(writer.firstMark).toBeNull();
    writer.push(log.file, 0);
    expect(writer.firstMark).toMatchObject({ source: 'annotation' });
  });

  it('waits for a file that is not open yet', async () => {
    writer.push(log.file, 0);
    writer.addSample({ ...at(one!.position), seq: 2 });
    writer.openFile(incrFile(2), 0);
    writer.push(log.file, 0);
    expect(await sampled()).toEqual([BigInt(log.stream.length) + one!.offset]);
  });

  it('is dropped when another file has the sequence number now', async () => {
    const other = { ino: '1002' };
    writer.addSample({ ...at(two!.position), ...other }); // ahead of the tail
    writer.push(log.file, 0);
    writer.addSample({ ...at(one!.position), ...other });
    expect(await sampled()).toEqual([]);
    writer.push(log.file, log.file.length);
    writer.addSample({ ...at(one!.position), ino: incrFile().ino });
    expect(await sampled()).toEqual([one!.offset]);
  });

  it('keeps every second that waits for a tail that stands still', async () => {
    const many = layOut(Array.from({ length: 70 }, (_, i): Element => ['SET', 'k', String(i)]));
    for (const [i, { position }] of many.boundaries.slice(1).entries()) {
      writer.addSample({ seq: 1, position, timeUs: us(SECOND + 2 * i) });
    }
    writer.push(many.file, 0);
    expect(await sampled()).toEqual(many.boundaries.slice(1).map(({ offset }) => offset));
  });
});

describe('TimelineWriter', () => {
  const { file, stream, boundaries } = layOut([
    ['SET', 'a', '1'],
    ['DEL', 'a'],
  ]);

  it('proves a second once a later mark is durable, and remembers it when marks are forgotten', () => {
    const end = BigInt(stream.length);
    writer.push(file, 0);
    writer.addSample({ seq: 1, position: boundaries[1]!.position, timeUs: us(SECOND, 900) });
    writer.addSample({ seq: 1, position: file.length, timeUs: us(SECOND + 1, 1) });
    expect(writer.provenTo(0n)).toBeNull();
    expect(writer.provenTo(boundaries[1]!.offset)).toBe(SECOND - 1);
    expect(writer.provenTo(end)).toBe(SECOND);
    writer.roll();
    writer.settle(end + 1n);
    expect(writer.provenTo(end)).toBe(SECOND);
  });

  it('proves no second by the end while a mark of it lies within a segment that lacks it', () => {
    const end = BigInt(stream.length);
    writer.addSample({ seq: 1, position: 0, timeUs: us(SECOND, 500) });
    writer.push(file, 0);
    writer.roll();
    writer.addSample({ seq: 1, position: boundaries[1]!.position, timeUs: us(SECOND + 1, 1) });
    writer.addSample({ seq: 1, position: file.length, timeUs: us(SECOND + 4) });
    // A restore to SECOND would find no later mark, and take the end for the cut.
    expect(writer.provenTo(end)).toBe(SECOND - 1);
    writer.push(file, file.length);
    expect(writer.roll()?.header.lastSecond).toBe(SECOND + 4);
    expect(writer.provenTo(end)).toBe(SECOND + 3);
  });

  it('is as old as the first byte of the segment being built', () => {
    expect(writer.ageMs).toBe(0);
    clock.now += 500;
    writer.push(file.subarray(0, 5), 0);
    clock.now += 500;
    expect(writer.ageMs).toBe(0); // held back: no byte of a segment yet
    writer.push(file.subarray(5), 5);
    clock.now += 300;
    expect([writer.ageMs, writer.rawBytes]).toEqual([300, stream.length]);
    writer.roll();
    expect([writer.ageMs, writer.rawBytes]).toEqual([0, 0]);
  });

  it('knows where each file begins that it read from its start, until told to forget', () => {
    const first = rolled([`SET`, 'a', '1']);
    expect(writer.place).toEqual({ seq: 1, position: Number(first.header.end) });
    writer.addSample({ seq: 1, position: Number(first.header.end), timeUs: us(SECOND) });
    writer.openFile(incrFile(2), 0);
    writer.push(file, 0);
    writer.openFile(incrFile(7), 4000);
    expect(writer.fileStart(1)).toEqual({ offset: 0n, secondBefore: null });
    expect(writer.fileStart(2)).toEqual({ offset: first.header.end, secondBefore: SECOND });
    expect(writer.fileStart(7)).toBeNull();
    writer.forgetFilesBefore(2);
    expect([writer.fileStart(1), writer.fileStart(2)]).toEqual([null, expect.anything()]);
  });
});
