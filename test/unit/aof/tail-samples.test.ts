import type { TailPosition, TailSample } from '@tidemark/aof';
import { describe, expect, it } from 'vitest';
import { SampleMapper, type DiskView } from '../../../libs/aof/src/tail/sample-mapper.ts';

const file = (seq: number, size: number): DiskView['incr'][number] => ({
  name: `f${seq}`,
  seq,
  dev: '1',
  ino: String(100 + seq),
  size,
});

/** A folder: base of a seq and size, increments by size from a seq on. */
const view = (baseSeq: number, baseSize: number, first: number, ...sizes: number[]): DiskView => ({
  base: { ...file(baseSeq, baseSize), ino: String(500 + baseSeq) },
  incr: sizes.map((size, i) => file(first + i, size)),
});

const sample = (o: Partial<TailSample>): TailSample => ({
  aofCurrentSize: 0,
  aofBaseSize: 0,
  aofBufferLength: 0,
  rewriteInProgress: false,
  rewrites: 0,
  runId: 'r',
  ...o,
});

const at = (place: TailPosition | null): string | null =>
  place === null ? null : `${place.seq}:${place.position}`;

describe('SampleMapper', () => {
  it('counts what the server has yet to write', () => {
    const mapper = new SampleMapper();
    const disk = view(2, 100, 2, 50);
    const one = sample({ aofCurrentSize: 150, aofBaseSize: 120, aofBufferLength: 7 });
    expect(at(mapper.map(one, disk, disk))).toBe('2:57');
  });

  it('takes the base off only where the server counted it', () => {
    const disk = view(1, 89, 1, 50);
    // A server that made its AOF at this start shows no base size and did not count the base.
    expect(at(new SampleMapper().map(sample({ aofCurrentSize: 50 }), disk, disk))).toBe('1:50');
    const after = view(1, 89, 1, 90);
    const busy = sample({ aofCurrentSize: 70 });
    expect(at(new SampleMapper().map(busy, disk, after))).toBe('1:70');
  });

  it('learns how far the count of a server is off that cut its log while loading', () => {
    const mapper = new SampleMapper();
    // 20 bytes were cut: they stay in the count. Under load the sizes only bound the error.
    const first = sample({ aofCurrentSize: 100 + 20 + 60, aofBaseSize: 100 });
    expect(mapper.map(first, view(3, 100, 3, 50), view(3, 100, 3, 90))).toBeNull();
    const quiet = view(3, 100, 3, 95);
    const second = sample({ aofCurrentSize: 100 + 20 + 95, aofBaseSize: 100 });
    expect(at(mapper.map(second, quiet, quiet))).toBe('3:95');
    const third = sample({ aofCurrentSize: 100 + 20 + 130, aofBaseSize: 100 });
    expect(at(mapper.map(third, quiet, view(3, 100, 3, 200)))).toBe('3:130');
  });

  it('trusts the count of a started server after enough samples that fit', () => {
    const mapper = new SampleMapper();
    const answers = Array.from({ length: 30 }, (_, i) => {
      const size = 1_000 * i;
      const one = sample({ aofCurrentSize: 100 + size + 500, aofBaseSize: 100 });
      return mapper.map(one, view(3, 100, 3, size), view(3, 100, 3, size + 900));
    });
    expect(answers.findIndex((answer) => answer !== null)).toBe(24);
    expect(at(answers[29] ?? null)).toBe('3:29500');
  });

  it('refuses a count that the files contradict', () => {
    const mapper = new SampleMapper();
    const disk = view(2, 100, 2, 50);
    expect(
      mapper.map(sample({ aofCurrentSize: 150, aofBaseSize: 120 }), disk, disk),
    ).not.toBeNull();
    expect(mapper.map(sample({ aofCurrentSize: 260, aofBaseSize: 120 }), disk, disk)).toBeNull();
    expect(mapper.map(sample({}), null, disk)).toBeNull();
    expect(mapper.map(sample({}), disk, null)).toBeNull();
    expect(mapper.map(sample({}), disk, view(2, 100, 2))).toBeNull();
  });

  it('finds the increment while a rewrite runs and after one failed', () => {
    const mapper = new SampleMapper();
    const old = view(2, 100, 2, 50);
    expect(at(mapper.map(sample({ aofCurrentSize: 150, aofBaseSize: 120 }), old, old))).toBe(
      '2:50',
    );
    const both = view(2, 100, 2, 60, 30);
    const during = sample({
      aofCurrentSize: 190,
      aofBaseSize: 120,
      rewriteInProgress: true,
      rewrites: 1,
    });
    expect(at(mapper.map(during, both, both))).toBe('3:30');
    // The rewrite began after this sample was answered.
    const before = sample({ aofCurrentSize: 155, aofBaseSize: 120, rewrites: 1 });
    expect(at(mapper.map(before, old, both))).toBe('2:55');
    const atEnd = sample({ aofCurrentSize: 160, aofBaseSize: 120, rewrites: 1 });
    expect(at(mapper.map(atEnd, old, both))).toBe('2:60');
  });

  it('uses the base size as an epoch when a rewrite ended around the sample', () => {
    const running = view(2, 100, 2, 60, 30);
    const ended = view(3, 110, 3, 40);
    const make = (): SampleMapper => {
      const mapper = new SampleMapper();
      const one = sample({
        aofCurrentSize: 190,
        aofBaseSize: 120,
        rewrites: 1,
        rewriteInProgress: true,
      });
      expect(at(mapper.map(one, running, running))).toBe('3:30');
      return mapper;
    };
    const after = sample({ aofCurrentSize: 145, aofBaseSize: 142, rewrites: 1 });
    expect(at(make().map(after, running, ended))).toBe('3:35');
    const before = sample({
      aofCurrentSize: 195,
      aofBaseSize: 120,
      rewrites: 1,
      rewriteInProgress: true,
    });
    expect(at(make().map(before, running, ended))).toBe('3:35');
    // Nothing known of the epoch before, another process, or two rewrites: no answer.
    expect(new SampleMapper().map(after, running, ended)).toBeNull();
    expect(make().map({ ...after, runId: 's' }, running, ended)).toBeNull();
    expect(make().map(after, running, view(4, 110, 4, 40))).toBeNull();
    // A size that fits both: no answer.
    expect(make().map({ ...before, aofCurrentSize: 140 }, running, ended)).toBeNull();
  });

  it('gives nothing while the log waits for its first rewrite', () => {
    const disk = view(2, 100, 2, 50);
    const waiting = sample({
      aofCurrentSize: 150,
      aofBaseSize: 120,
      rewriteInProgress: true,
      rewrites: 1,
    });
    expect(new SampleMapper().map(waiting, disk, disk)).toBeNull();
    // Two increments may lie there from a failed rewrite: then the count of rewrites tells.
    const mapper = new SampleMapper();
    const two = view(2, 100, 2, 50, 10);
    const normal = sample({ aofCurrentSize: 160, aofBaseSize: 120, rewrites: 1 });
    expect(at(mapper.map(normal, two, two))).toBe('3:10');
    expect(mapper.map({ ...normal, rewrites: 2, rewriteInProgress: true }, two, two)).toBeNull();
    expect(mapper.map({ ...normal, rewrites: 2 }, two, two)).toBeNull();
    const fresh = view(3, 130, 4, 5);
    const again = sample({ aofCurrentSize: 135, aofBaseSize: 133, rewrites: 2 });
    expect(at(mapper.map(again, fresh, fresh))).toBe('4:5');
  });

  it('does not mistake a rewrite that began between sample and look for a waiting log', () => {
    const mapper = new SampleMapper();
    const old = view(2, 100, 2, 50);
    const both = view(2, 100, 2, 50, 0);
    const one = sample({ aofCurrentSize: 150, aofBaseSize: 120 });
    expect(at(mapper.map(one, old, both))).toBe('2:50');
    const two = { ...one, rewrites: 1, rewriteInProgress: true };
    expect(at(mapper.map(two, both, both))).toBe('2:50');
    expect(at(mapper.map({ ...two, aofBufferLength: 3 }, both, both))).toBe('3:3');
  });

  it('learns anew after a reset', () => {
    const mapper = new SampleMapper();
    const disk = view(2, 100, 2, 50);
    const one = sample({ aofCurrentSize: 150, aofBaseSize: 120 });
    expect(mapper.map(one, disk, disk)).not.toBeNull();
    mapper.reset();
    expect(mapper.map({ ...one, rewriteInProgress: true }, disk, disk)).toBeNull();
  });
});
