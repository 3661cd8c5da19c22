import { existsSync } from 'node:fs';
import type { WriterLog, WriterOwner } from '@tidemark/catalog';
import { StoreError, type Clock } from '@tidemark/core';
import type { KeyProvider } from '@tidemark/crypto';
import type { ObjectStore } from '@tidemark/store';
import { Backlog } from './backlog.ts';
import { DataKeys } from './data-keys.ts';
import { dropForeign } from './own-spool.ts';
import { Spool } from './spool.ts';

/** How long a store that does not answer is waited for. */
const WAIT_MS_MAX = 30_000;

/** A spool that no capture runs on, and the log that its entries are for. */
export interface LeftSpool {
  readonly dir: string;
  readonly instance: string;
  /** Claimed. */
  readonly log: WriterLog;
  readonly ownerId: string;
  /** Who owned the log before that claim. */
  readonly before: WriterOwner | null;
  readonly store: ObjectStore;
  readonly keys: KeyProvider;
  readonly clock: Clock;
}

/**
 * Brings into store and log what a run that did not end in good order left in its spool, as far as it
 * goes on where the log ends.
 * @returns How many entries.
 * @throws StoreError `TM_STORE_IO` when the store does not take them within half a minute; what
 *   shipping ends in otherwise.
 */
export async function shipLeft(left: LeftSpool): Promise<number> {
  const { dir, instance, log, ownerId, before, store, keys, clock } = left;
  if (!existsSync(dir)) return 0;
  const spool = await Spool.open(dir, Number.MAX_SAFE_INTEGER);
  await dropForeign({ dir, spool, ownerId, before, generation: log.generation ?? 0 });
  const over = new AbortController();
  let failure: { readonly cause: unknown } | null = null;
  const backlog = new Backlog({
    ...{ store, spool, log, clock, signal: over.signal },
    dataKeys: new DataKeys({ instance, keys, store, clock }),
    append: async (event, body) => {
      await log.append(event, body);
    },
    onDurable: () => Promise.resolve(),
    onFailed: (cause) => (failure ??= { cause }),
    onRetry: () => undefined,
    onRecovered: () => undefined,
  });
  const late = new StoreError('TM_STORE_IO', 'the store does not take what lies in the spool', {
    context: { instance },
  });
  clock.sleep(WAIT_MS_MAX, over.signal).then(
    () => over.abort(late),
    () => undefined,
  );
  try {
    const entries = await backlog.recover();
    await backlog.settled();
    await backlog.ended();
    const failed = failure as { readonly cause: unknown } | null;
    if (failed !== null) throw failed.cause;
    return entries;
  } finally {
    over.abort();
  }
}
