import { digestOf } from '@tidemark/aof';
import { readSegmentFooter, segmentCommands, type Mark } from '@tidemark/archive';
import { bytesOf } from '@tidemark/core';
import { beforeEach, describe, expect, it } from 'vitest';
import type { ClockJump } from '../../../../services/archiver/src/capture/clock-watch.ts';
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

  it('lets the oldest go when more than 64 wait', async () => {
    const many = layOut(Array.from({ length: 70 }, (_, i): Element => ['SET', 'k', String(i)]));
    for (const [i, { position }] of many.boundaries.slice(1).entries()) {
      writer.addSample({ seq: 1, position, timeUs: us(SECOND + 2 * i) });
    }
    writer.push(many.file, 0);
    expect(await sampled()).toEqual(many.boundaries.slice(7).map(({ offset }) => offset));
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

describe('TimelineWriter, when the clock of the server steps', () => {
  const HOUR = 3600;
  const jump = (direction: 'back' | 'forward', from: number, to: number): ClockJump => ({
    ...{ direction, fromMs: from * 1000, toMs: to * 1000 },
  });
  /** Writes commands and takes a sample behind them. */
  let position = 0;
  beforeEach(() => {
    position = 0;
  });
  function write(timeUs: number | null, jumps: ClockJump[], ...elements: Element[]): bigint {
    const { file } = layOut(elements);
    writer.push(file, position);
    position += file.length;
    const end = writer.end;
    if (timeUs !== null) writer.addSample({ seq: 1, position, timeUs, jumps });
    return end;
  }

  it('ends the segment at a step back, and counts marks anew', async () => {
    const before = write(us(SECOND + HOUR, 100), [], ['SET', 'a', '1']);
    const offset = write(
      us(SECOND + 1),
      [jump('back', SECOND + HOUR + 1, SECOND + 1)],
      ['DEL', 'a'],
    );
    const late = write(us(SECOND + 2, 5), [], ['SET', 'a', '2']);
    expect(writer.stepDue).toBe(true);
    const [over, ...more] = writer.takeSteps();
    expect(more).toEqual([]);
    expect(over?.step).toEqual({
      ...{ direction: 'back', before, offset, provenTo: SECOND + HOUR - 1 },
      ...{
        untilMs: (SECOND + HOUR) * 1000 + 100,
        fromMs: (SECOND + HOUR + 1) * 1000,
        toMs: (SECOND + 1) * 1000,
      },
      sinceMs: (SECOND + 1) * 1000,
    });
    expect(over?.provenTo).toBe(SECOND + HOUR - 1);
    expect(over?.segment?.header).toMatchObject({ end: offset, lastSecond: SECOND + HOUR });
    expect((await marksOf(over!.segment!)).map((mark) => mark.offset)).toEqual([before]);
    expect([writer.stepDue, writer.stretch]).toEqual([false, 1]);
    const next = writer.roll()!;
    expect(next.header).toMatchObject({ start: offset, firstSecond: SECOND + 1 });
    expect((await marksOf(next)).map((mark) => mark.offset)).toEqual([offset, late]);
    expect(writer.provenTo(late)).toBe(SECOND + 1);
  });

  it('knows a step back by marks alone, and none of less than a second', () => {
    const before = write(us(SECOND + 9, 900), [], ['SET', 'a', '1']);
    write(us(SECOND + 8, 901), [], ['SET', 'b', '1']);
    expect(writer.takeSteps()).toEqual([]);
    const offset = write(us(SECOND + 8, 900), [], ['SET', 'c', '1']);
    expect(writer.takeSteps()[0]?.step).toMatchObject({ direction: 'back', offset });
    expect(offset).toBeGreaterThan(before);
  });

  it('ends the segment right before an annotation of an older second', async () => {
    const cut = write(null, [], `#TS:${SECOND + 9}`, ['SET', 'a', `\n#TS:${SECOND}\n`]);
    write(null, [], `#TS:${SECOND + 5}`, ['SET', 'b', '2'], `#TS:${SECOND + 6}`, ['DEL', 'a']);
    expect(writer.stepDue).toBe(false); // the next sample tells more
    write(us(SECOND + 6, 500), [jump('back', SECOND + 11, SECOND + 4)], ['SET', 'c', '3']);
    expect(writer.stepDue).toBe(true);
    const steps = writer.takeSteps();
    expect(steps.map(({ step }) => step)).toEqual([
      {
        ...{ direction: 'back', before: cut, offset: cut, provenTo: SECOND + 8 },
        ...{
          untilMs: (SECOND + 9) * 1000,
          fromMs: (SECOND + 11) * 1000,
          toMs: (SECOND + 4) * 1000,
        },
        sinceMs: (SECOND + 5) * 1000,
      },
    ]);
    expect(steps[0]?.segment?.header).toMatchObject({ end: cut, lastSecond: SECOND + 9 });
    const [first, second] = await marksOf(writer.roll()!);
    expect(first).toMatchObject({ offset: cut, notBeforeMs: (SECOND + 5) * 1000 });
    expect(second).toMatchObject({ notAfterMs: (SECOND + 6) * 1000 - 1 });
  });

  it('finds the same step when the annotation comes in pieces', () => {
    const log = layOut([
      ...[`#TS:${SECOND + 9}`, ['SET', 'a', '1'], `#TS:${SECOND}`, ['DEL', 'a']],
    ] as Element[]);
    for (let at = 0; at < log.file.length; at++) writer.push(log.file.subarray(at, at + 1), at);
    const [, , cut] = log.boundaries;
    expect(writer.takeSteps().map(({ step }) => step)).toMatchObject([
      { direction: 'back', offset: cut!.offset, fromMs: (SECOND + 9) * 1000 + 999 },
    ]);
  });

  it('does not wait for ever for the sample behind an annotation', () => {
    write(null, [], `#TS:${SECOND + 9}`, ['SET', 'a', '1'], `#TS:${SECOND}`, ['DEL', 'a']);
    clock.now += 999;
    expect(writer.stepDue).toBe(false);
    clock.now += 1;
    expect(writer.stepDue).toBe(true);
    expect(writer.takeSteps()).toHaveLength(1);
    // The clock watch saw it too: it is the same.
    write(us(SECOND, 300), [jump('back', SECOND + 10, SECOND)], ['SET', 'b', '1']);
    expect([writer.takeSteps(), writer.stretch]).toEqual([[], 1]);
  });

  it('goes on in the same stretch after a step forward', () => {
    write(us(SECOND, 100), [], ['SET', 'a', '1']);
    const on = [jump('forward', SECOND + 1, SECOND + HOUR)];
    const offset = write(us(SECOND + HOUR), on, ['SET', 'b', '1']);
    const [over] = writer.takeSteps();
    expect(over?.step).toMatchObject({ direction: 'forward', offset, provenTo: null });
    expect([over?.segment?.header.end, writer.stretch]).toEqual([offset, 0]);
    expect(writer.provenTo(offset)).toBe(SECOND + HOUR - 1);
  });

  it('keeps the step of a sample that has no place for the next one', () => {
    write(us(SECOND + 60), [], ['SET', 'a', '1']);
    const back = [jump('back', SECOND + 61, SECOND)];
    const other = { seq: 1, ino: '1002', position, timeUs: us(SECOND), jumps: back };
    writer.addSample(other);
    const offset = write(us(SECOND + 1), [], ['SET', 'b', '1']);
    expect(writer.takeSteps().map(({ step }) => step)).toMatchObject([
      { offset, fromMs: (SECOND + 61) * 1000, toMs: SECOND * 1000, sinceMs: (SECOND + 1) * 1000 },
    ]);
  });

  it('needs no segment when nothing was written since the last one', () => {
    const end = write(us(SECOND + 60), [], ['SET', 'a', '1']);
    writer.roll();
    const timeUs = us(SECOND + 1);
    writer.addSample({ seq: 1, position, timeUs, jumps: [jump('back', SECOND + 60, SECOND)] });
    expect(writer.takeSteps()).toMatchObject([
      { segment: null, step: { before: end, offset: end, provenTo: SECOND + 59 } },
    ]);
    expect(writer.provenTo(end)).toBe(SECOND);
  });

  it('does not know the cut before a step when a mark came too late for its segment', () => {
    const place = position;
    const [middle] = [write(null, [], ['SET', 'a', '1']), position];
    const between = position;
    write(null, [], ['SET', 'b', '1']);
    writer.addSample({ seq: 1, position: place, timeUs: us(SECOND, 500) });
    writer.roll();
    writer.addSample({ seq: 1, position: between, timeUs: us(SECOND + 1) });
    writer.addSample({ seq: 1, position, timeUs: us(SECOND + 4) });
    const jumps = [jump('back', SECOND + 5, SECOND - 60)];
    writer.addSample({ seq: 1, position, timeUs: us(SECOND - 60), jumps });
    expect(writer.takeSteps()).toMatchObject([
      { segment: null, step: { before: middle, offset: writer.end, provenTo: SECOND - 1 } },
    ]);
  });

  it('finds a step back across a restart of the archiver', () => {
    writer = new TimelineWriter({
      ...{ timeline: 'tl', start: { offset: 40n, db: 0, inMulti: false, skipBytes: 0 }, clock },
      ...{ latestSecond: SECOND + 60, stretch: 2, limits: { bytesMax: 128 * MIB } },
    });
    writer.openFile(incrFile(), 0);
    const offset = write(us(SECOND), [], ['SET', 'a', '1']);
    expect(writer.takeSteps().map(({ step }) => step)).toMatchObject([
      { before: 40n, offset, fromMs: (SECOND + 60) * 1000, toMs: SECOND * 1000 },
    ]);
    expect(writer.stretch).toBe(3);
  });

  it('keeps what is written while nobody takes samples out of the second that was proven', async () => {
    writer = new TimelineWriter({
      ...{ timeline: 'tl', start: { offset: 40n, db: 0, inMulti: false, skipBytes: 0 }, clock },
      ...{ latestSecond: SECOND, limits: { bytesMax: 128 * MIB } },
    });
    writer.openFile(incrFile(), 0);
    const offset = write(us(SECOND + 9), [], ['SET', 'a', '1']);
    const marks = await marksOf(writer.roll()!);
    expect(marks.map((mark) => [mark.offset, mark.notBeforeMs / 1000])).toEqual([
      [40n, SECOND],
      [offset, SECOND + 9],
    ]);
  });

  it('gives the wide bound to the first annotation of another server process', async () => {
    const log = layOut([`#TS:${SECOND}`, ['SET', 'a', '1'], `#TS:${SECOND + 2}`, ['DEL', 'a']]);
    const [, line] = log.boundaries;
    writer.push(log.file.subarray(0, line!.position), 0);
    const at = { seq: 1, position: line!.position };
    writer.addSample({ ...at, timeUs: us(SECOND), runId: 'a' });
    writer.addSample({ ...at, timeUs: us(SECOND + 1), runId: 'b' });
    writer.push(log.file.subarray(line!.position), line!.position);
    const last = (await marksOf(writer.roll()!)).at(-1);
    expect(last).toMatchObject({ notAfterMs: (SECOND + 2) * 1000 + 999 });
  });
});
