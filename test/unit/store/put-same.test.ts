import { bytesOf, type ByteSource } from '@tidemark/core';
import { putSame } from '@tidemark/store';
import { beforeEach, describe, expect, it } from 'vitest';
import { MemoryStore } from '../../support/memory-store.ts';
import { patternBytes } from '../../support/pattern.ts';

const KEY = 'v1/instance/i/0/w/seg/one';
const BYTES = patternBytes(200_000);
const body = (): ByteSource => bytesOf(BYTES);

let store: MemoryStore;
beforeEach(() => {
  store = new MemoryStore();
});
const holds = (bytes: Buffer): boolean => store.objects.get(KEY)?.equals(bytes) === true;
const asked = (): string[] => store.calls.map(({ op }) => op);

describe('putSame()', () => {
  it('stores an object, and reads nothing', async () => {
    await putSame(store, KEY, body);
    expect(holds(BYTES)).toBe(true);
    expect(asked()).toEqual(['put']);
  });

  it('is content with the same bytes that are there', async () => {
    await putSame(store, KEY, body);
    await putSame(store, KEY, body);
    expect(asked()).toEqual(['put', 'put', 'head', 'get']);
  });

  it.each<[string, Buffer]>([
    ['nothing', Buffer.alloc(0)],
    ['half of them', BYTES.subarray(0, 100_000)],
    ['one more', Buffer.concat([BYTES, Buffer.from('x')])],
    ['one in the middle that is another', changed(BYTES, 100_000)],
  ])('refuses other bytes that are there, and leaves them: %s', async (_, there) => {
    store.tamper(KEY, there);
    await expect(putSame(store, KEY, body)).rejects.toMatchObject({
      code: 'TM_STORE_DIFFERS',
      retryable: false,
      message: expect.stringContaining(KEY) as unknown,
      context: { key: KEY, size: BYTES.length, stored: there.length },
    });
    expect(holds(there)).toBe(true);
  });

  it('is to be tried again when what was there is gone', async () => {
    store.tamper(KEY, BYTES);
    const seen = store.through(({ op }) =>
      op === 'head' ? { before: () => store.tamper(KEY, null) } : undefined,
    );
    await expect(putSame(seen, KEY, body)).rejects.toMatchObject({
      code: 'TM_STORE_IO',
      retryable: true,
      context: { key: KEY },
    });
    await putSame(seen, KEY, body);
    expect(holds(BYTES)).toBe(true);
  });
});

function changed(bytes: Buffer, at: number): Buffer {
  const copy = Buffer.from(bytes);
  copy.writeUInt8(copy.readUInt8(at) ^ 0x40, at);
  return copy;
}
