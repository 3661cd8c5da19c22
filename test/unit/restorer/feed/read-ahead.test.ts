import type { ByteSource } from '@tidemark/core';
import { describe, expect, it } from 'vitest';
import { readAhead, type AheadItem } from '../../../../services/restorer/src/feed/read-ahead.ts';

const LIMITS = { items: 3, bytes: 1_000 };
const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Items whose reading is noted: begun, pulled to its end. */
class Items {
  readonly begun: number[] = [];
  readonly ended: number[] = [];

  of(...sizes: readonly number[]): AheadItem[] {
    return sizes.map((bytes, index) => ({ bytes, read: () => this.#read(index, bytes) }));
  }

  async *#read(index: number, bytes: number): ByteSource {
    this.begun.push(index);
    for (let at = 0; at < bytes; at += 100) {
      yield await Promise.resolve(Buffer.alloc(Math.min(100, bytes - at), index));
    }
    this.ended.push(index);
  }
}

async function bytesOf(source: ByteSource): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const part of source) parts.push(part);
  return Buffer.concat(parts);
}

describe('readAhead()', () => {
  it('gives every item whole and in order', async () => {
    const sizes = [250, 0, 100, 999, 1];
    const got: Buffer[] = [];
    for await (const source of readAhead(new Items().of(...sizes), LIMITS)) {
      got.push(await bytesOf(source));
    }
    expect(got).toEqual(sizes.map((bytes, index) => Buffer.alloc(bytes, index)));
  });

  it('reads a few items while the consumer is busy with one, and no more', async () => {
    const items = new Items();
    const ahead = readAhead(items.of(...Array.from({ length: 10 }, () => 10)), LIMITS);
    await ahead.next();
    await settle();
    expect(items.ended).toEqual([0, 1, 2]);
    await ahead.next();
    await settle();
    expect(items.ended).toEqual([0, 1, 2, 3]);
    await ahead.return();
  });

  it('holds no more bytes than it may, one item over them at the most', async () => {
    const items = new Items();
    const ahead = readAhead(items.of(600, 600, 600, 600), { items: 10, bytes: 1_000 });
    await ahead.next();
    await settle();
    expect(items.ended).toEqual([0, 1]);
    await ahead.return();
  });

  it('streams an item that is over the limit, and begins it only at its turn', async () => {
    const items = new Items();
    const ahead = readAhead(items.of(10, 5_000, 10), LIMITS);
    await ahead.next();
    await settle();
    expect(items.begun).toEqual([0]);
    const { value } = await ahead.next();
    const parts = value![Symbol.asyncIterator]();
    await parts.next();
    expect([items.begun, items.ended]).toEqual([[0, 1], [0]]);
    await parts.return!();
    await ahead.return();
  });

  it('fails at the turn of the item that failed, and not before', async () => {
    const fault = new Error('damaged');
    const bad: AheadItem = {
      bytes: 10,
      read: async function* () {
        yield await Promise.resolve(Buffer.alloc(5));
        throw fault;
      },
    };
    const [good, last] = new Items().of(10, 10);
    const ahead = readAhead([good!, bad, last!], LIMITS);
    expect(await bytesOf((await ahead.next()).value!)).toHaveLength(10);
    await settle();
    await expect(ahead.next()).rejects.toBe(fault);
    expect((await ahead.next()).done).toBe(true);
  });

  it('gives nothing for nothing', async () => {
    expect((await readAhead([], LIMITS).next()).done).toBe(true);
  });
});
