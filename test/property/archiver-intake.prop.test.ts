import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  CommandIntake,
  type IntakeStart,
} from '../../services/archiver/src/capture/command-intake.ts';
import { incrFile, layOut, type AofLayout, type Element } from '../support/aof-layout.ts';
import { patternBytes } from '../support/pattern.ts';

const MIB = 1024 * 1024;
const FILE = incrFile();

const argument = fc
  .uint8Array({ maxLength: 30 })
  .map((bytes) => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length));
const ordinary = fc
  .tuple(fc.constantFrom('SET', 'DEL', 'unknown'), fc.array(argument, { maxLength: 4 }))
  .map(([name, args]): Element => [name, ...args]);
const steering = fc.constantFrom<Element>(['MULTI'], ['EXEC'], ['SELECT', '7'], ['SELECT', '0']);
const annotation = fc.oneof(
  fc.nat(2_000_000_000).map((second): Element => `#TS:${second}`),
  fc.constantFrom<Element>('#', '#HDR:v1 something else', '#TS:x'),
);
const small = fc.array(
  fc.oneof(
    { weight: 6, arbitrary: ordinary },
    { weight: 2, arbitrary: steering },
    { weight: 3, arbitrary: annotation },
  ),
  { minLength: 1, maxLength: 30 },
);
const largeLength = fc.constantFrom(MIB - 40, MIB + 1, 3 * MIB);

/** One push: how many bytes, and whether a segment is rolled, and the archiver restarted, after it. */
interface Step {
  readonly bytes: number;
  readonly roll: boolean;
  readonly restart: boolean;
}
const stepsOf = (bytesMax: number): fc.Arbitrary<Step[]> =>
  fc.array(
    fc.record({
      bytes: fc.integer({ min: 1, max: bytesMax }),
      roll: fc.boolean(),
      restart: fc.integer({ min: 0, max: 3 }).map((n) => n === 0),
    }),
    { minLength: 1, maxLength: 40 },
  );

interface Segment extends IntakeStart {
  readonly end: bigint;
  readonly partialBytes: number;
  readonly bytes: Buffer;
}

/** What an archiver does that pushes and rolls, and now and then dies right after a roll. */
function capture(layout: AofLayout, steps: readonly Step[]) {
  const segments: Segment[] = [];
  const marks = new Map<string, number>();
  let start: IntakeStart = { offset: 0n, db: 0, inMulti: false, skipBytes: 0 };
  let intake = new CommandIntake(start);
  intake.open(FILE, 0);
  let pieces: Buffer[] = [];
  let position = 0;
  let turn = 0;
  /** What the log holds: the place that the last segment named. */
  let cursor: ReturnType<CommandIntake['cursor']> = null;
  const roll = (): void => {
    if (pieces.length === 0) return;
    cursor = intake.cursor();
    const { end, partialBytes, db, inMulti } = intake;
    segments.push({ ...start, end, partialBytes, bytes: Buffer.concat(pieces) });
    start = { offset: end - BigInt(partialBytes), db, inMulti, skipBytes: partialBytes };
    pieces = [];
  };
  while (position < layout.file.length) {
    const step = steps[turn++ % steps.length]!;
    // A chunk of its own, as a read gives it: the intake may keep none of it.
    const chunk = Buffer.from(layout.file.subarray(position, position + step.bytes));
    const result = intake.push(chunk, position);
    for (const batch of result.batches) {
      pieces.push(...batch.pieces.map((piece) => Buffer.from(piece)));
    }
    for (const { offset, second } of result.marks) marks.set(`${offset} ${second}`, second);
    chunk.fill(0xee);
    checkMap(intake, layout, position, position + step.bytes);
    position = Math.min(layout.file.length, position + step.bytes);
    if (step.roll) roll();
    if (!step.restart || pieces.length > 0 || segments.length === 0) continue;
    checkCursor(cursor, layout, start.skipBytes);
    // The tail proves the place of the cursor and gives what the decoder needs again.
    position = cursor!.position - start.skipBytes;
    intake = new CommandIntake(start);
    intake.open(FILE, position, cursor);
    // However the pushes fall, a restart at each of them must not go on for ever.
    steps = steps.map((each) => (each === step ? { ...each, restart: false } : each));
  }
  roll();
  return { segments, marks: [...marks.values()], intake };
}

function checkMap(intake: CommandIntake, layout: AofLayout, from: number, to: number): void {
  for (const { position, offset } of layout.boundaries) {
    if (position < from || position > to) continue;
    expect([position, intake.map.offsetOf(FILE.seq, position)]).toEqual([position, offset]);
  }
}

/** @param partial - Bytes of an unfinished command that segments hold. */
function checkCursor(
  cursor: ReturnType<CommandIntake['cursor']>,
  layout: AofLayout,
  partial: number,
): void {
  const { position, digest, digestBytes } = cursor!;
  expect(layout.boundaries.map((boundary) => boundary.position)).toContain(position - partial);
  expect(digestBytes === 0).toBe(position === 0);
  const block = layout.file.subarray(position - digestBytes, position);
  expect(digest).toBe(createHash('sha256').update(block).digest('hex'));
}

function check(layout: AofLayout, steps: readonly Step[]): Segment[] {
  const { segments, marks, intake } = capture(layout, steps);
  const bytes = Buffer.concat(segments.map((segment) => segment.bytes));
  expect(bytes.equals(layout.stream)).toBe(true);
  expect(intake.taken).toBe(BigInt(layout.stream.length));
  const seconds = layout.file.toString('latin1').matchAll(/#TS:(\d+)\r\n/g);
  expect(marks).toEqual([...seconds].map(([, second]) => Number(second)));
  let end = 0n;
  for (const segment of segments) {
    expect(segment.offset + BigInt(segment.skipBytes)).toBe(end);
    end += BigInt(segment.bytes.length);
    expect(segment.end).toBe(end);
    if (segment.partialBytes === 0) expect(layout.commandEnds).toContain(segment.end);
    else expect(segment.partialBytes).toBeGreaterThan(MIB);
  }
  return segments;
}

describe('CommandIntake', () => {
  it('gives segments of whole commands that make up the stream, also over restarts', () => {
    fc.assert(
      fc.property(small, stepsOf(70), (elements, steps) => void check(layOut(elements), steps)),
      { numRuns: 400 },
    );
  });

  it('ends a segment within a command only when more than 1 MiB of it is there', () => {
    let within = 0;
    fc.assert(
      fc.property(small, largeLength, small, stepsOf(MIB), (before, length, after, steps) => {
        const one: Element = ['SET', 'large', patternBytes(length)];
        const slow = steps.map((step) => ({ ...step, bytes: step.bytes + 64 * 1024 }));
        const segments = check(layOut([...before, one, ...after]), slow);
        within += segments.filter(({ partialBytes }) => partialBytes > 0).length;
      }),
      { numRuns: 40 },
    );
    expect(within).toBeGreaterThan(0);
  });
});
