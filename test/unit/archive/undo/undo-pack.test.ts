import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { openUndo, packUndo, type UndoHead, type UndoItem } from '@tidemark/archive';
import { bytesOf, TidemarkError } from '@tidemark/core';
import { describe, expect, it } from 'vitest';
import { chunked, collect } from '../../../support/segments.ts';
import { GOLDEN_UNDO_HEAD, GOLDEN_UNDO_ITEMS } from '../../../support/undo-golden.ts';

async function read(
  payload: AsyncIterable<Uint8Array>,
): Promise<{ readonly head: UndoHead; readonly items: UndoItem[] }> {
  await using part = await openUndo(payload);
  const items: UndoItem[] = [];
  for await (const item of part.items()) items.push(item);
  return { head: part.head, items };
}

/** An item with the digests of its strings instead of them. */
const printed = (item: UndoItem): string =>
  JSON.stringify(item, (_, value: unknown) => {
    const { type, data } = (value ?? {}) as { readonly type?: unknown; readonly data?: unknown };
    if (type !== 'Buffer' || !Array.isArray(data)) return value;
    return createHash('sha256')
      .update(Uint8Array.from(data as number[]))
      .digest('hex');
  });

const pack = (head: UndoHead, items: readonly UndoItem[]): Promise<Buffer> =>
  collect(packUndo(head, items));

async function fault(work: Promise<unknown>): Promise<TidemarkError> {
  const caught: unknown = await work.then(
    () => null,
    (error: unknown) => error,
  );
  if (caught instanceof TidemarkError) return caught;
  throw new Error('no error with a code came', { cause: caught });
}

describe('undo pack', () => {
  it('of version 1 is read, whatever the pieces it comes in', async () => {
    const golden = readFileSync(new URL('../../../fixtures/archive/undo-v1.bin', import.meta.url));
    const expected = { head: GOLDEN_UNDO_HEAD, items: [...GOLDEN_UNDO_ITEMS] };
    expect(await read(bytesOf(golden))).toEqual(expected);
    expect(await read(chunked(golden, 1))).toEqual(expected);
  });

  it('comes back as it was written, values over many frames too', async () => {
    const large = Buffer.alloc(3_500_000, 'The quick brown fox. ');
    const key = { kind: 'key', db: 1, key: Buffer.from('k'), standing: 'first' } as const;
    const items: UndoItem[] = [
      { ...key, before: { type: 'string', expiryMs: 5, payload: large }, written: null },
      { ...key, before: { type: 'string', expiryMs: null, payload: null }, written: null },
      ...Array.from({ length: 5 }, () => ({
        ...({ kind: 'piece', command: 'APPEND', args: [large.subarray(0, 1_048_576)] } as const),
      })),
    ];
    const head = { ...GOLDEN_UNDO_HEAD, keys: 2 };
    const bytes = await pack(head, items);
    expect(bytes.length).toBeLessThan(large.length / 10);
    const back = await read(bytesOf(bytes));
    expect(back.head).toEqual(head);
    expect(back.items.map(printed)).toEqual(items.map(printed));
  });

  it('that is cut short at any byte is refused', async () => {
    const bytes = await pack(GOLDEN_UNDO_HEAD, GOLDEN_UNDO_ITEMS);
    for (let end = 0; end < bytes.length; end++) {
      const { code } = await fault(read(bytesOf(bytes.subarray(0, end))));
      expect(code).toBe('TM_UNDO_FORMAT');
    }
  });

  it('with another magic, version or bytes after its end is refused with the place', async () => {
    const bytes = await pack(GOLDEN_UNDO_HEAD, GOLDEN_UNDO_ITEMS);
    const changed = (at: number, value: number): Buffer => {
      const copy = Buffer.from(bytes);
      copy[at] = value;
      return copy;
    };
    expect(await fault(read(bytesOf(changed(0, 0))))).toMatchObject({
      code: 'TM_UNDO_FORMAT',
      context: { offset: 0 },
    });
    expect(await fault(read(bytesOf(changed(8, 2))))).toMatchObject({
      code: 'TM_UNDO_FORMAT',
      context: { offset: 8, version: 2 },
    });
    expect(await fault(read(bytesOf(Buffer.concat([bytes, Buffer.of(0)]))))).toMatchObject({
      code: 'TM_UNDO_FORMAT',
      context: { offset: bytes.length },
    });
  });

  it('is not written with another number of keys than its head says, or a piece without its key', async () => {
    const head = { ...GOLDEN_UNDO_HEAD, keys: 4 };
    expect((await fault(pack(head, GOLDEN_UNDO_ITEMS))).code).toBe('TM_USAGE');
    const piece = { kind: 'piece', command: 'SADD', args: [] } as const;
    expect((await fault(pack({ ...head, keys: 0 }, [piece]))).code).toBe('TM_USAGE');
  });

  it('gives its head before its items are read', async () => {
    let asked = 0;
    const key = { kind: 'key', db: 1, key: Buffer.from('k'), standing: 'first' } as const;
    async function* items(): AsyncGenerator<UndoItem> {
      for (; asked < 10; asked++) {
        await Promise.resolve();
        yield {
          ...key,
          ...{ before: { type: 'string', expiryMs: null, payload: Buffer.alloc(1_048_576) } },
          written: null,
        };
      }
    }
    await using part = await openUndo(packUndo({ ...GOLDEN_UNDO_HEAD, keys: 10 }, items()));
    expect(part.head.keys).toBe(10);
    expect(asked).toBeLessThan(3);
  });
});
