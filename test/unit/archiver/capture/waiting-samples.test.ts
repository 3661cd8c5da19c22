import { readSegmentFooter, type Mark } from '@tidemark/archive';
import { describe, expect, it } from 'vitest';
import {
  TimelineWriter,
  type RolledSegment,
} from '../../../../services/archiver/src/capture/timeline-writer.ts';
import type { SamplePlace } from '../../../../services/archiver/src/capture/waiting-samples.ts';
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
