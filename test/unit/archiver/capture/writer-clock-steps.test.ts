import { readSegmentFooter, type Mark } from '@tidemark/archive';
import { beforeEach, describe, expect, it } from 'vitest';
import type { ClockJump } from '../../../../services/archiver/src/capture/clock-watch.ts';
import {
  TimelineWriter,
  type RolledSegment,
} from '../../../../services/archiver/src/capture/timeline-writer.ts';
import { incrFile, layOut, type Element } from '../../../support/aof-layout.ts';
import { rangesOf } from '../../../support/segments.ts';
import { steppingClock, type SteppingClock } from '../../../support/stepping-clock.ts';

const MIB = 1024 * 1024;
const SECOND = 1_795_000_000;
const us = (second: number, ms = 0): number => (second * 1000 + ms) * 1000;

let clock: SteppingClock;
let writer: TimelineWriter;
beforeEach(() => {
  clock = steppingClock(SECOND * 1000);
  const start = { offset: 0n, db: 0, inMulti: false, skipBytes: 0 };
  const limits = { bytesMax: 128 * MIB };
  writer = new TimelineWriter({ timeline: 'tl', start, latestSecond: null, clock, limits });
  writer.openFile(incrFile(), 0);
});

const marksOf = async ({ payload }: RolledSegment): Promise<readonly Mark[]> => {
  const whole = Buffer.concat(payload);
  return (await readSegmentFooter(rangesOf(whole), whole.length)).marks();
};

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

  it.each([
    ['transaction', { inMulti: true, skipBytes: 0 }],
    ['command', { inMulti: false, skipBytes: 9 }],
  ])('puts no mark into a %s, where no restore may stop', async (_, where) => {
    writer = new TimelineWriter({
      ...{ timeline: 'tl', start: { offset: 40n, db: 0, ...where }, clock },
      ...{ latestSecond: SECOND, limits: { bytesMax: 128 * MIB } },
    });
    writer.openFile(incrFile(), 0);
    const offset = write(us(SECOND + 9), [], ['EXEC'], ['SET', 'a', '1']);
    expect((await marksOf(writer.roll()!)).map((mark) => mark.offset)).toEqual([offset]);
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
