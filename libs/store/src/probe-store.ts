import { bytesOf, collectBytes, StoreError, type Random } from '@tidemark/core';
import type { ObjectStore, StoreCapabilities } from './object-store.ts';

/** Tries what a store does, past what the adapter makes of it. */
export type ProbeOwn = (signal?: AbortSignal) => Promise<StoreCapabilities>;

const BODY = Buffer.from('tidemark probe\n');

/**
 * Tries what a store does, with small objects that it takes away again. An adapter that knows better
 * how offers it as its property `probe`.
 * @throws StoreError for what keeps the store from working at all.
 */
export async function probeStore(
  store: ObjectStore & { readonly probe?: ProbeOwn },
  ports: { readonly random: Random; readonly signal?: AbortSignal },
): Promise<StoreCapabilities> {
  const own = await store.probe?.(ports.signal);
  if (own !== undefined) return own;
  const folder = `probe/${ports.random.bytes(8).toString('hex')}`;
  const keys = [`${folder}/a`, `${folder}/a-1/x`, `${folder}/a/b`, `${folder}/a0`];
  try {
    const outcomes: string[] = [];
    for (const key of [...keys].reverse())
      outcomes.push(await store.putIfAbsent(key, bytesOf(BODY)));
    const again = await store.putIfAbsent(keys[0] ?? '', bytesOf(BODY));
    const range = await collectBytes(
      store.get(keys[0] ?? '', { start: 3, end: 6 }),
      BODY.length,
      () => new Error('a range is longer than was asked for'),
    );
    const listed: string[] = [];
    for await (const batch of store.list(`${folder}/`, { after: keys[0] ?? '' })) {
      listed.push(...batch.map(({ key }) => key));
    }
    return {
      conditionalCreate: outcomes.every((each) => each === 'created') && again === 'exists',
      multipartConditional: 'unused',
      ranges: range.equals(BODY.subarray(3, 6)),
      listingOrdered: JSON.stringify(listed) === JSON.stringify(keys.slice(1)),
      objectLock: false,
      versioning: false,
      warnings: [],
    };
  } finally {
    for (const key of keys) await store.delete(key);
  }
}

/** Whether a store is one that has to be tried: servers differ, a file system does not. */
export function isToBeProbed(store: ObjectStore & { readonly probe?: ProbeOwn }): boolean {
  return store.probe !== undefined;
}

/**
 * Why a store cannot be used; null when it can.
 *
 * Two archivers that both win one entry of a log would write two histories: such a store is refused,
 * never used in a lesser way.
 */
export function refusalOf(capabilities: StoreCapabilities): StoreError | null {
  const { conditionalCreate, ranges, listingOrdered } = capabilities;
  const context = { conditionalCreate, ranges, listingOrdered };
  if (!conditionalCreate) {
    return new StoreError('TM_STORE_FENCING', 'the store does not create conditionally', {
      context,
      hint: 'two archivers could both win: choose a store that knows If-None-Match (docs/s3.md)',
    });
  }
  if (ranges && listingOrdered) return null;
  const lack = ranges ? 'list in byte order' : 'read ranges';
  return new StoreError('TM_STORE_REFUSED', `the store does not ${lack}`, {
    context,
    hint: 'see docs/s3.md for what a store must do',
  });
}
