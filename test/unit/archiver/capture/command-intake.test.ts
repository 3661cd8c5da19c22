import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { CommandIntake } from '../../../../services/archiver/src/capture/command-intake.ts';
import { incrFile, layOut } from '../../../support/aof-layout.ts';
import { patternBytes } from '../../../support/pattern.ts';

const MIB = 1024 * 1024;
const FRESH = { offset: 0n, db: 0, inMulti: false, skipBytes: 0 };

function intakeAt(position = 0, start = FRESH): CommandIntake {
  const intake = new CommandIntake(start);
  intake.open(incrFile(), position);
  return intake;
}

const bytesOf = (result: ReturnType<CommandIntake['push']>): Buffer =>
  Buffer.concat(result.batches.flatMap((batch) => [...batch.pieces]));

describe('CommandIntake.push()', () => {
  const { file, stream, boundaries } = layOut([
    ['SET', 'a', '1'],
    ['SET', 'b', '2'],
  ]);
  const [, one] = boundaries;

  it('holds an unfinished command back and hands it out when it is whole', () => {
    const intake = intakeAt();
    const first = intake.push(file.subarray(0, one!.position + 5), 0);
    expect(bytesOf(first)).toEqual(stream.subarray(0, one!.position));
    expect(intake).toMatchObject({ end: one!.offset, taken: one!.offset + 5n, partialBytes: 0 });
    const second = intake.push(file.subarray(one!.position + 5), one!.position + 5);
    expect(bytesOf(second)).toEqual(stream.subarray(one!.position));
    expect(intake).toMatchObject({ end: BigInt(stream.length), partialBytes: 0 });
  });

  it('copies what it holds: the chunk may be used again', () => {
    const intake = intakeAt();
    const chunk = Buffer.from(file.subarray(0, 10));
    expect(bytesOf(intake.push(chunk, 0))).toHaveLength(0);
    chunk.fill(0);
    expect(bytesOf(intake.push(file.subarray(10), 10))).toEqual(stream);
  });

  it('hands an unfinished command out once more than 1 MiB of it is there', () => {
    const { file: large } = layOut([['SET', 'k', patternBytes(2 * MIB)]]);
    const intake = intakeAt();
    expect(bytesOf(intake.push(large.subarray(0, MIB), 0))).toHaveLength(0);
    expect(intake.partialBytes).toBe(0);
    // `equals`: a comparison of a MiB element by element takes seconds.
    const head = bytesOf(intake.push(large.subarray(MIB, MIB + 1), MIB));
    expect(head.equals(large.subarray(0, MIB + 1))).toBe(true);
    expect(intake).toMatchObject({ end: BigInt(MIB + 1), partialBytes: MIB + 1 });
    const rest = bytesOf(intake.push(large.subarray(MIB + 1), MIB + 1));
    expect(rest.equals(large.subarray(MIB + 1))).toBe(true);
    expect(intake.partialBytes).toBe(0);
  });

  it('leaves out what a segment of an earlier run holds already', () => {
    const start = { offset: 100n, db: 3, inMulti: true, skipBytes: 12 };
    const intake = intakeAt(500, start);
    expect(intake).toMatchObject({ end: 112n, taken: 100n, db: 3, inMulti: true });
    expect(bytesOf(intake.push(file.subarray(0, 7), 500))).toHaveLength(0);
    expect(bytesOf(intake.push(file.subarray(7), 507))).toEqual(stream.subarray(12));
    expect(intake.end).toBe(100n + BigInt(stream.length));
  });

  it('tells the seconds of annotations with their offsets', () => {
    const log = layOut(['#TS:1000', ['SET', 'a', '1'], '#TS:1001']);
    expect(intakeAt().push(log.file, 0).marks).toEqual([
      { offset: 0n, second: 1000 },
      { offset: BigInt(log.stream.length), second: 1001 },
    ]);
  });

  it('refuses bytes that are no command log, with their offset', () => {
    const intake = intakeAt();
    const bad = Buffer.concat([file.subarray(0, one!.position), Buffer.from('garbage\r\n')]);
    const context: unknown = expect.objectContaining({ offset: one!.offset });
    expect(() => intake.push(bad, 0)).toThrow(
      expect.objectContaining({ code: 'TM_AOF_PROTOCOL', context }),
    );
  });
});

describe('CommandIntake.cursor()', () => {
  const digestOf = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

  it('is null before a file was opened', () => {
    expect(new CommandIntake(FRESH).cursor()).toBeNull();
  });

  it('stands on the last whole command with the digest of up to 4 KiB before it', () => {
    const { file, boundaries } = layOut([
      ['SET', 'a', patternBytes(6000)],
      ['SET', 'b', '2'],
    ]);
    const intake = intakeAt();
    intake.push(file.subarray(0, -3), 0);
    const { position } = boundaries[1]!;
    expect(intake.cursor()).toEqual({
      file: 'appendonly.aof.1.incr.aof',
      seq: 1,
      dev: '66',
      ino: '1001',
      position,
      digest: digestOf(file.subarray(position - 4096, position)),
      digestBytes: 4096,
    });
  });

  it('proves bytes of earlier pushes too, so that a small one does not weaken it', () => {
    const { file } = layOut([
      ['SET', 'a', patternBytes(3000)],
      ['SET', 'b', '2'],
    ]);
    const intake = intakeAt();
    for (let at = 0; at < file.length; at += 100) {
      intake.push(file.subarray(at, at + 100), at);
    }
    expect(intake.cursor()).toMatchObject({
      position: file.length,
      digestBytes: file.length,
      digest: digestOf(file),
    });
  });

  it('never stands within an annotation line that a read cut in two', () => {
    const { file, boundaries } = layOut([['SET', 'a', '1'], '#TS:1795000000', ['SET', 'b', '2']]);
    const [, before, after] = boundaries;
    const intake = intakeAt();
    intake.push(file.subarray(0, before!.position + 6), 0);
    expect(intake.cursor()?.position).toBe(before!.position);
    intake.push(file.subarray(before!.position + 6, before!.position + 8), before!.position + 6);
    expect(intake.cursor()?.position).toBe(before!.position);
    intake.push(file.subarray(before!.position + 8, after!.position), before!.position + 8);
    expect(intake.cursor()?.position).toBe(after!.position);
  });

  it('proves what was handed out of an unfinished command too, also after a restart', () => {
    const { file } = layOut([
      ['SET', 'a', '1'],
      ['SET', 'b', patternBytes(3 * MIB)],
    ]);
    const first = intakeAt();
    first.push(file.subarray(0, 2 * MIB), 0);
    const proof = (end: number): object => ({
      position: end,
      digest: digestOf(file.subarray(end - 4096, end)),
    });
    expect(first.cursor()).toMatchObject(proof(2 * MIB));
    const back = first.partialBytes;
    const at = 2 * MIB - back;
    const second = new CommandIntake({ ...FRESH, offset: BigInt(at), skipBytes: back });
    second.open(incrFile(), at, first.cursor());
    second.push(file.subarray(at, at + MIB), at);
    second.push(file.subarray(at + MIB, 2 * MIB + 500), at + MIB);
    expect(second.end).toBe(BigInt(2 * MIB + 500));
    expect(second.cursor()).toMatchObject(proof(2 * MIB + 500));
    second.push(file.subarray(2 * MIB + 500), 2 * MIB + 500);
    expect(second.cursor()).toMatchObject(proof(file.length));
  });

  it('stays what it was when bytes come that are no commands', () => {
    const { file } = layOut([
      ['SET', 'a', '1'],
      ['SELECT', '3'],
      ['SET', 'b', '2'],
    ]);
    const intake = intakeAt();
    intake.push(file, 0);
    const before = [intake.end, intake.db, intake.inMulti, intake.partialBytes, intake.cursor()];
    const bad = Buffer.from('*2\r\n$6\r\nSELECT\r\n$1\r\n5\r\n*1\r\n$5\r\nMULTI\r\nrubbish\r\n');
    expect(() => intake.push(bad, file.length)).toThrow('a byte that cannot stand here');
    const after = [intake.end, intake.db, intake.inMulti, intake.partialBytes, intake.cursor()];
    expect(after).toEqual(before);
  });

  it('keeps the proof that led to a resumed place until a boundary is passed', () => {
    const { file } = layOut([
      ['SET', 'a', '1'],
      ['SET', 'b', patternBytes(MIB / 2)],
    ]);
    const first = intakeAt();
    first.push(file.subarray(0, 500), 0);
    const cursor = first.cursor()!;
    const second = new CommandIntake({ ...FRESH, offset: BigInt(cursor.position), skipBytes: 0 });
    second.open(incrFile(), cursor.position, cursor);
    expect(second.cursor()).toEqual(cursor);
    const half = cursor.position + MIB / 4;
    second.push(file.subarray(cursor.position, half), cursor.position);
    expect(second.cursor()).toEqual(cursor);
    second.push(file.subarray(half), half);
    expect(second.cursor()).toMatchObject({
      position: file.length,
      digest: digestOf(file.subarray(-4096)),
    });
  });
});
