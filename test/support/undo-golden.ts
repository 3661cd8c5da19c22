import type { UndoHead, UndoItem } from '@tidemark/archive';

/** What the golden undo part of test/fixtures/archive was made from. */
export const GOLDEN_UNDO_HEAD: UndoHead = {
  instance: 'orders',
  restore: 'rs_golden',
  part: 3,
  createdMs: 1_750_000_000_123,
  expiresMs: 1_750_604_800_123,
  keys: 5,
};

const DIGEST = Buffer.from(Array.from({ length: 32 }, (_, i) => i * 7));

/** Every form of an item: value, absent key, pieces, expiries, keys that are no text. */
export const GOLDEN_UNDO_ITEMS: readonly UndoItem[] = [
  {
    kind: 'key',
    db: 0,
    key: Buffer.from('plain'),
    standing: 'first',
    before: { type: 'string', expiryMs: null, payload: Buffer.from('payload of DUMP') },
    written: { expiryMs: 1_750_000_100_000, digest: DIGEST },
  },
  {
    kind: 'key',
    db: 15,
    key: Buffer.from([0, 255, 10, 128]),
    standing: 'again',
    before: { type: 'hash', expiryMs: 1_749_999_999_999, payload: Buffer.alloc(3_000, 'ab') },
    written: null,
  },
  {
    kind: 'key',
    db: 300,
    key: Buffer.from('created'),
    standing: 'first',
    before: null,
    written: { expiryMs: null, digest: Buffer.alloc(32, 9) },
  },
  {
    kind: 'key',
    db: 0,
    key: Buffer.from('large'),
    standing: 'first',
    before: { type: 'list', expiryMs: null, payload: null },
    written: { expiryMs: null, digest: DIGEST },
  },
  {
    kind: 'piece',
    command: 'RPUSH',
    args: [Buffer.from('a'), Buffer.alloc(0), Buffer.alloc(900, 'z')],
  },
  { kind: 'piece', command: 'RPUSH', args: [Buffer.from([1, 2, 3])] },
  {
    kind: 'key',
    db: 0,
    key: Buffer.alloc(0),
    standing: 'void',
    before: null,
    written: null,
  },
];
