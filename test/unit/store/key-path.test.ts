import { describe, expect, it } from 'vitest';
import { entryOf, fanOut, pathOfKey } from '../../../libs/store/src/file/key-path.ts';

const sequence = (value: number): string => String(value).padStart(20, '0');

function largestFolder(names: readonly string[]): number {
  const children = new Map<string, Set<string>>();
  for (const name of names) {
    const { folders, file } = pathOfKey(`x/${name}`);
    const parts = [...folders, file];
    for (let depth = 1; depth < parts.length; depth++) {
      const folder = parts.slice(0, depth).join('/');
      const set = children.get(folder) ?? new Set();
      children.set(folder, set.add(parts[depth] ?? ''));
    }
  }
  return Math.max(...[...children.values()].map((set) => set.size));
}

describe('fanOut()', () => {
  it('keeps folders of counted names at 1,000 entries, over two million of them', () => {
    const names: string[] = [];
    for (let i = 0; i < 2_000_000; i += 7) names.push(sequence(i));
    for (let i = 5_000; i < 7_000; i++) names.push(sequence(i));
    expect(largestFolder(names)).toBeLessThanOrEqual(1000);
  });

  it('keeps folders of segments of 1 MiB and more at 1,024 entries', () => {
    const names: string[] = [];
    for (let i = 0; i < 20_000; i++) names.push(`tl01-${sequence(i * 1_048_576)}-5a17`);
    expect(largestFolder(names)).toBeLessThanOrEqual(1024);
  });

  it('lays one beginning of a name into the other, and leaves other names alone', () => {
    expect(fanOut('00000000000000012345')).toEqual(['00000000000000', '00000000000000012']);
    expect(fanOut('tl-00000000012345678901-a')).toEqual(['tl-00000000', 'tl-00000000012']);
    for (const name of ['record', 'bk_01', '0'.repeat(19), '0'.repeat(21), `a${'0'.repeat(20)}`]) {
      expect(fanOut(name)).toEqual([]);
    }
  });
});

describe('entryOf()', () => {
  it('reads back what pathOfKey() wrote', () => {
    const key = 'v1/w/log/00000000000000012345';
    const { folders, file } = pathOfKey(key);
    expect([...folders, file]).toEqual([
      'v1',
      'w',
      'log',
      '+00000000000000',
      '+00000000000000012',
      '00000000000000012345+obj',
    ]);
    expect(entryOf(file, { base: 'v1/w/log/', path: '/r' })).toEqual({
      kind: 'object',
      key,
      path: `/r/${file}`,
    });
  });

  it.each(['.tmp', 'lost+found', 'README', '+', '+A', '+a+obj', 'x+objx', '..', 'a..b+obj'])(
    'takes %j for foreign',
    (name) => {
      expect(entryOf(name, { base: '', path: '/r' })).toBeNull();
    },
  );
});
