import type { SecondHole, SecondRange, ShardWindows } from './windows.ts';

/** Seconds that every shard can be restored to, and why others between them cannot. */
export interface CommonWindows {
  readonly ranges: readonly SecondRange[];
  readonly gaps: readonly SecondHole[];
}

/** Puts the windows of the shards of an instance together: a restore takes all of them. */
export function commonWindows(shards: readonly ShardWindows[]): CommonWindows {
  const [first, ...rest] = shards;
  if (first === undefined) return { ranges: [], gaps: [] };
  const ranges = rest.reduce<readonly SecondRange[]>(
    (both, { ranges: own }) => intersect(both, own),
    first.ranges,
  );
  const [from, to] = [ranges[0]?.from, ranges.at(-1)?.to];
  if (from === undefined || to === undefined) return { ranges, gaps: [] };
  const gaps = shards
    .flatMap(({ holes }) => holes)
    .map((hole) => ({ ...hole, from: Math.max(hole.from, from), to: Math.min(hole.to, to) }))
    .filter((hole) => hole.from <= hole.to)
    .sort((a, b) => a.from - b.from || a.to - b.to);
  return { ranges, gaps };
}

/** Seconds that both have. Each is sorted and without overlap. */
function intersect(a: readonly SecondRange[], b: readonly SecondRange[]): readonly SecondRange[] {
  const both: SecondRange[] = [];
  for (let [i, j] = [0, 0]; i < a.length && j < b.length;) {
    const [left, right] = [a[i] as SecondRange, b[j] as SecondRange];
    const from = Math.max(left.from, right.from);
    const to = Math.min(left.to, right.to);
    if (from <= to) both.push({ from, to });
    if (left.to < right.to) i += 1;
    else j += 1;
  }
  return both;
}
