import { describe, expect, it } from 'vitest';
import { Chain, isProven } from '../../../libs/aof/src/tail/chain.ts';
import type { SeenFile, SeenVersion } from '../../../libs/aof/src/tail/seen.ts';

const file = (type: 'b' | 'i', seq: number, ino: string, before: SeenFile | null): SeenFile => ({
  type,
  seq,
  dev: '1',
  ino,
  name: `${type}${seq}`,
  size: 1,
  path: `/pins/${type}${ino}`,
  pinned: true,
  fd: null,
  previous: before === null ? null : { seq: before.seq, dev: before.dev, ino: before.ino },
});

/** Increments of one manifest: each proven after the one before it. */
const incr = (...ids: [seq: number, ino: string][]): SeenFile[] => {
  const files: SeenFile[] = [];
  for (const [seq, ino] of ids) files.push(file('i', seq, ino, files.at(-1) ?? null));
  return files;
};

const version = (
  base: SeenFile | null,
  files: (SeenFile | null)[],
  history: SeenFile[] = [],
): SeenVersion => ({ base, incr: files, history });

const base = (seq: number, ino: string): SeenFile => file('b', seq, ino, null);

/** The chain as `seq.ino`, joined by `-` where proven and `|` where not. */
const shape = (chain: Chain): string => {
  let text = '';
  for (const [i, node] of chain.nodes.entries()) {
    const before = chain.nodes[i - 1];
    if (before !== undefined) text += isProven(before, node) ? '-' : '|';
    text += `${node.file.seq}.${node.file.ino}${node.base === null ? '' : `(${node.base.seq})`}`;
  }
  return text;
};

describe('Chain', () => {
  it('proves the steps of a rewrite, which show old and new together', () => {
    const chain = new Chain();
    const both = incr([1, 'a'], [2, 'b']);
    chain.apply(version(base(1, 'x'), both.slice(0, 1)));
    chain.apply(version(base(1, 'x'), both));
    chain.apply(version(base(2, 'y'), both.slice(1), both.slice(0, 1)));
    expect(shape(chain)).toBe('1.a(1)-2.b(2)');
    expect(chain.newest?.file.seq).toBe(2);
    expect(chain.listed({ seq: 1, dev: '1', ino: 'a' })?.ino).toBe('a');
  });

  it('does not prove what one manifest never showed together: off and on, or a missed one', () => {
    const chain = new Chain();
    chain.apply(version(base(1, 'x'), incr([1, 'a'])));
    chain.apply(version(base(2, 'y'), incr([2, 'b'])));
    expect(shape(chain)).toBe('1.a(1)|2.b(2)');
  });

  it('does not take a name and seq that came back for the file it knew', () => {
    const chain = new Chain();
    chain.apply(version(base(5, 'x'), incr([1, 'a'])));
    chain.apply(version(base(6, 'y'), incr([1, 'b'])));
    expect(shape(chain)).toBe('1.a(5)|1.b(6)');
    // The inode of a file that is gone, under another seq:
    chain.apply(version(base(7, 'z'), incr([2, 'a'])));
    expect(shape(chain)).toBe('1.a(5)|1.b(6)|2.a(7)');
  });

  it('proves all increments of one manifest, and does not queue again what was read', () => {
    const chain = new Chain();
    const files = incr([1, 'a'], [2, 'b'], [3, 'c']);
    chain.apply(version(base(1, 'x'), files));
    expect(shape(chain)).toBe('1.a(1)-2.b-3.c');
    const second = chain.nodes[1];
    if (second === undefined) throw new Error('no second node');
    expect(chain.cutBefore(second)).toHaveLength(1);
    chain.apply(version(base(1, 'x'), files));
    chain.apply(version(base(1, 'x'), incr([1, 'a'], [2, 'b'], [3, 'c'], [4, 'd'])));
    expect(shape(chain)).toBe('2.b-3.c-4.d');
    expect(chain.after(second)?.file.seq).toBe(3);
  });

  it('does not prove over a file that could not be found', () => {
    const chain = new Chain();
    const [first] = incr([1, 'a']);
    chain.apply(version(base(1, 'x'), [first ?? null, null, file('i', 3, 'c', null)]));
    expect(shape(chain)).toBe('1.a(1)|3.c');
    const other = new Chain();
    other.apply(version(base(1, 'x'), [null, file('i', 2, 'b', null)]));
    expect(shape(other)).toBe('2.b'); // the base does not stand at its start
  });

  it('tells a base only once, and again when another one takes its place', () => {
    const chain = new Chain();
    const files = incr([2, 'b']);
    chain.apply(version(base(2, 'y'), files));
    const [node] = chain.nodes;
    if (node === undefined) throw new Error('no node');
    node.baseTold = true;
    chain.apply(version(base(2, 'y'), files));
    expect(node.baseTold).toBe(true);
    chain.apply(version(base(2, 'z'), files));
    expect(node.baseTold).toBe(false);
  });

  it('goes on after a break where a base is at hand, else where the manifest starts', () => {
    const make = (): Chain => {
      const chain = new Chain();
      chain.apply(version(base(1, 'x'), incr([1, 'a'])));
      chain.apply(version(base(2, 'y'), incr([2, 'b'])));
      chain.apply(version(base(3, 'z'), incr([3, 'c'], [4, 'd'])));
      return chain;
    };
    const first = { seq: 1, dev: '1', ino: 'a' };
    const chain = make();
    expect(chain.skipPast({ seq: 9, dev: '1', ino: 'q' })).toEqual([]);
    chain.skipPast(first);
    expect(shape(chain)).toBe('2.b(2)|3.c(3)-4.d');
    const dropped = make();
    dropped.drop(file('i', 2, 'b', null));
    dropped.skipPast(first);
    expect(shape(dropped)).toBe('3.c(3)-4.d');
    const baseless = make();
    baseless.drop(base(2, 'y'));
    baseless.drop(base(3, 'z'));
    baseless.skipPast(first);
    expect(shape(baseless)).toBe('3.c-4.d');
    expect(baseless.skipPast({ seq: 4, dev: '1', ino: 'd' })).toHaveLength(2);
    expect(shape(baseless)).toBe('');
  });

  it('starts over with everything the manifest lists, read or not', () => {
    const chain = new Chain();
    const files = incr([1, 'a'], [2, 'b']);
    chain.apply(version(base(1, 'x'), files));
    const second = chain.nodes[1];
    if (second === undefined) throw new Error('no second node');
    chain.cutBefore(second);
    chain.apply(version(base(1, 'x'), files));
    expect(chain.restart()).toEqual([]);
    expect(shape(chain)).toBe('1.a(1)-2.b');
    expect(chain.nodes[0]?.baseTold).toBe(false);
  });

  it('says when the manifest lists no increment any more', () => {
    const chain = new Chain();
    chain.apply(version(base(1, 'x'), incr([1, 'a'])));
    expect(chain.headless).toBe(false);
    chain.apply(version(base(2, 'y'), []));
    expect(chain.headless).toBe(true);
    expect(chain.newest).toBeNull();
    chain.apply(version(base(2, 'y'), incr([1, 'b'])));
    expect(shape(chain)).toBe('1.a(1)|1.b(2)');
  });

  it('puts the pins of an earlier process before what the manifest lists', () => {
    const chain = new Chain();
    const [a, b, c] = incr([1, 'a'], [2, 'b'], [3, 'c']);
    if (a === undefined || b === undefined || c === undefined) throw new Error('no files');
    chain.apply(version(base(3, 'z'), [c]));
    chain.seed([a, b, c]);
    expect(shape(chain)).toBe('1.a-2.b-3.c(3)');
    const apart = new Chain();
    apart.apply(version(base(5, 'z'), incr([5, 'e'])));
    apart.seed([a, b]);
    expect(shape(apart)).toBe('1.a-2.b|5.e(5)');
    expect(apart.hasNamed('i5', 5)).toBe(true);
    expect(apart.hasNamed('i5', 4)).toBe(false);
  });
});
