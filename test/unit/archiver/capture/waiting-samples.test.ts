import { findCut, readSegmentFooter, type Mark } from '@tidemark/archive';
import { describe, expect, it } from 'vitest';
import {
  TimelineWriter,
  type RolledSegment,
} from '../../../../services/archiver/src/capture/timeline-writer.ts';
import {
  WAITING_SAMPLES_MAX,
  WaitingSamples,
  type SamplePlace,
} from '../../../../services/archiver/src/capture/waiting-samples.ts';
import { command } from '../../../support/command-log.ts';
import { rangesOf } from '../../../support/segments.ts';
import { steppingClock } from '../../../support/stepping-clock.ts';

const SECOND = 1_795_000_000;
const [OLD, NEW, NEWER] = ['a'.repeat(40), 'b'.repeat(40), 'c'.repeat(40)];
const COMMAND = command('SET', 'key', 'value');
const L = COMMAND.length;
/** Position at which the stream begins. */
const AT = 1_000;

const history = (replid: string) => ({ name: replid, seq: 0, dev: '0', ino: '7' });
/** A sample behind so many commands. */
const sample = (replid: string, commands: number, second: number): SamplePlace => ({
  ...{ seq: 0, ino: '7', position: AT + commands * L, replid },
  ...{ timeUs: Math.round((SECOND + second) * 1e6), runId: replid },
});

/** The writer of a replication stream that began in the history `OLD`. */
function open(): TimelineWriter {
  const writer = new TimelineWriter({
    timeline: 'tl',
    start: { offset: 0n, db: 0, inMulti: false, skipBytes: 0 },
    latestSecond: null,
    clock: steppingClock(SECOND * 1000),
    limits: { bytesMax: 128 * 1024 * 1024 },
  });
  writer.openFile(history(OLD), AT, null, AT);
  return writer;
}

const marksOf = async ({ payload }: RolledSegment): Promise<readonly Mark[]> => {
  const whole = Buffer.concat(payload);
  return (await readSegmentFooter(rangesOf(whole), whole.length)).marks();
};
const placesOf = (marks: readonly Mark[]): (readonly [number, number])[] =>
  marks.map(({ offset, notBeforeMs }) => [Number(offset) / L, notBeforeMs / 1000 - SECOND]);

describe('samples that wait when another history goes on in the same stream', () => {
  it('say nothing of the bytes of the new primary where they are of the dead one', async () => {
    const writer = open();
    writer.push(COMMAND, AT);
    writer.addSample(sample(OLD, 1, 0));
    writer.addSample(sample(OLD, 4, 1)); // of bytes that never came: the primary is dead
    writer.openFile(history(NEW), AT + L, null, AT + L);
    for (let i = 2; i <= 6; i++) writer.addSample(sample(NEW, i, 9 + i));
    for (let i = 1; i < 6; i++) writer.push(COMMAND, AT + i * L);
    expect([writer.stretch, writer.takeSteps()]).toEqual([0, []]);
    expect(placesOf(await marksOf(writer.roll()!))).toEqual([
      ...[[1, 0] as const, [2, 11] as const, [3, 12] as const],
      ...[[4, 13] as const, [5, 14] as const, [6, 15] as const],
    ]);
  });

  it('stay where they are of the new one, or of one that follows it still', async () => {
    const writer = open();
    writer.addSample(sample(OLD, 1, 0));
    writer.addSample(sample(OLD, 3, 1));
    writer.addSample(sample(NEW, 2, 11));
    writer.addSample(sample(NEWER, 3, 21));
    writer.push(COMMAND, AT);
    writer.openFile(history(NEW), AT + L, null, AT + L);
    writer.push(COMMAND, AT + L);
    writer.openFile(history(NEWER), AT + 2 * L, null, AT + 2 * L);
    writer.push(COMMAND, AT + 2 * L);
    expect(placesOf(await marksOf(writer.roll()!))).toEqual([
      [1, 0],
      [2, 11],
      [3, 21],
    ]);
  });

  it('leave the steps of the clock that they tell of to the next sample', () => {
    const writer = open();
    writer.push(COMMAND, AT);
    writer.addSample(sample(OLD, 1, 60));
    const ms = SECOND * 1000;
    const jumps = [{ direction: 'back' as const, fromMs: ms + 61_000, toMs: ms }];
    writer.addSample({ ...sample(OLD, 4, 1), jumps });
    writer.openFile(history(NEW), AT + L, null, AT + L);
    writer.push(COMMAND, AT + L);
    writer.addSample(sample(NEW, 2, 3));
    expect(writer.takeSteps().map(({ step }) => step)).toMatchObject([
      { direction: 'back', fromMs: ms + 61_000 },
    ]);
  });
});

describe('samples that wait while the tail stands still', () => {
  const PER_SECOND = 5;
  /** Command `i` runs at second i + 0.5; the tail reads all of it after so many seconds. */
  const stoodFor = async (seconds: number): Promise<readonly Mark[]> => {
    const writer = open();
    for (let i = 0; i < seconds * PER_SECOND; i++) {
      const at = i / PER_SECOND;
      writer.addSample(sample(OLD, Math.floor(at + 0.5), at));
    }
    expect(writer.waiting.count).toBeLessThanOrEqual(WAITING_SAMPLES_MAX);
    const chunk = Buffer.concat(Array.from({ length: 100 }, () => COMMAND));
    for (let i = 0; i < seconds; i += 100) writer.push(chunk, AT + i * L);
    expect([writer.waiting.count, writer.provenTo(writer.end)]).toEqual([0, SECOND + seconds - 2]);
    return marksOf(writer.roll()!);
  };

  it('tell every second apart for hours', async () => {
    const seconds = 3 * 3_600;
    const marks = await stoodFor(seconds);
    for (let second = 0; second <= seconds - 2; second++) {
      const ms = (SECOND + second + 1) * 1000;
      const offset = BigInt((second + 1) * L);
      if (findCut(marks, SECOND + second)?.offset === offset) continue;
      expect(findCut(marks, SECOND + second)).toMatchObject({ offset, notAfterMs: ms });
    }
  });

  it('are true where they are thinned: a later cut has the bound of what it holds', async () => {
    const seconds = 6 * 3_600;
    const marks = await stoodFor(seconds);
    const late: number[] = [];
    for (let second = 0; second <= seconds - 2; second += 7) {
      const cut = findCut(marks, SECOND + second)!;
      const commands = Number(cut.offset) / L;
      const [last, next] = [commands - 1 + 0.5, commands + 0.5].map((at) => (SECOND + at) * 1000);
      // All of the second, and the bounds that a report prints hold for what is on either side.
      if (commands < second + 1 || cut.notAfterMs! < last! || cut.notBeforeMs > next!)
        expect({ second, cut }).toBe('a cut that says what is true');
      late.push(commands - (second + 1));
    }
    expect(Math.max(...late)).toBeGreaterThan(0);
    expect(Math.max(...late)).toBeLessThanOrEqual(3);
    expect(late.at(-1)).toBe(0);
  });

  it('hand the steps of the clock they told of to the one after them', () => {
    const waiting = new WaitingSamples();
    const jumps = [{ direction: 'forward' as const, fromMs: 1, toMs: 2 }];
    waiting.add(sample(OLD, 1, 0));
    waiting.add({ ...sample(OLD, 2, 0.2), jumps });
    waiting.add(sample(OLD, 3, 0.4));
    const file = { seq: 0, isOpen: () => true };
    expect(waiting.inside(file, AT, 10 * L)).toEqual([
      sample(OLD, 1, 0),
      { ...sample(OLD, 3, 0.4), jumps },
    ]);
    expect(waiting.count).toBe(0);
  });

  it('go over to the timeline that their bytes begin, and no others do', () => {
    const waiting = new WaitingSamples();
    const next = { ...sample(NEW, 1, 5), seq: 1, ino: '8' };
    waiting.add(sample(OLD, 1, 0));
    waiting.add(next);
    waiting.add({ seq: 2, ino: '9', position: 10, timeUs: SECOND * 1e6 }); // a file may be cut off
    expect(waiting.takeAhead(0)).toEqual([next]);
    expect(waiting.count).toBe(2);
  });
});
