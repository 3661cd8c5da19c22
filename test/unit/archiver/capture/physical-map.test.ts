import { describe, expect, it } from 'vitest';
import { PhysicalMap } from '../../../../services/archiver/src/capture/physical-map.ts';

/** A stretch of `length` bytes whose command bytes are the given `[from, to)`. */
function stretch(
  place: { readonly seq?: number; readonly position: number; readonly offset: bigint },
  length: number,
  ...runs: readonly (readonly [number, number])[]
) {
  const data = Buffer.alloc(length);
  const pieces = runs.map(([from, to]) => data.subarray(from, to));
  return { seq: 1, ...place, length, data, pieces };
}

describe('PhysicalMap.offsetOf()', () => {
  it('counts command bytes alone, and gives every byte of an annotation the offset it stands at', () => {
    const map = new PhysicalMap();
    map.add(stretch({ position: 1000, offset: 50n }, 60, [0, 20], [37, 60]));
    expect(map.offsetOf(1, 1000)).toBe(50n);
    expect(map.offsetOf(1, 1020)).toBe(70n);
    expect(map.offsetOf(1, 1021)).toBe(70n);
    expect(map.offsetOf(1, 1037)).toBe(70n);
    expect(map.offsetOf(1, 1040)).toBe(73n);
    expect(map.offsetOf(1, 1060)).toBe(93n);
  });

  it('is the offset of the stretch before its first command byte, also when it has none', () => {
    const map = new PhysicalMap();
    map.add(stretch({ position: 0, offset: 7n }, 17));
    map.add(stretch({ position: 17, offset: 7n }, 10, [4, 10]));
    expect([0, 9, 17, 20, 21, 22].map((position) => map.offsetOf(1, position))).toEqual([
      ...[7n, 7n, 7n, 7n, 7n, 8n],
    ]);
  });

  it('is null for another file, before the first stretch and after the last', () => {
    const map = new PhysicalMap();
    map.add(stretch({ position: 100, offset: 0n }, 10, [0, 10]));
    expect(map.offsetOf(2, 105)).toBeNull();
    expect(map.offsetOf(1, 99)).toBeNull();
    expect(map.offsetOf(1, 111)).toBeNull();
  });

  it('keeps files apart whose positions are the same', () => {
    const map = new PhysicalMap();
    map.add(stretch({ seq: 1, position: 0, offset: 0n }, 10, [0, 10]));
    map.add(stretch({ seq: 2, position: 0, offset: 10n }, 10, [0, 10]));
    expect([map.offsetOf(1, 4), map.offsetOf(2, 4)]).toEqual([4n, 14n]);
  });

  it('forgets all but the last 512 stretches', () => {
    const map = new PhysicalMap();
    for (let i = 0; i < 513; i++) {
      map.add(stretch({ position: i * 10, offset: BigInt(i * 10) }, 10, [0, 10]));
    }
    expect(map.offsetOf(1, 9)).toBeNull();
    expect(map.offsetOf(1, 11)).toBe(11n);
    expect(map.offsetOf(1, 5130)).toBe(5130n);
  });

  it('does not guess within a stretch with more annotations than it keeps', () => {
    const map = new PhysicalMap();
    const runs = Array.from({ length: 1025 }, (_, i) => [i * 3, i * 3 + 2] as const);
    map.add(stretch({ position: 0, offset: 0n }, 3075, ...runs));
    expect(map.offsetOf(1, 3)).toBeNull();
  });
});
