import type { CatalogSnapshot } from '@tidemark/catalog';
import { isEntry, RdbScanner, ROW, valueKind, type RdbBatch } from '@tidemark/rdb';
import type { ReadCounter } from '../fetch/footer-reader.ts';
import type { KeyMatcher, SecondWindow } from './found-command.ts';
import type { KeyEvent } from './key-event.ts';
import { SegmentAccess, type SearchEnvironment } from './segment-access.ts';

/** Whose snapshots are looked into, and for which key. */
export interface SnapshotSearch {
  readonly instance: string;
  /** null = in every database. */
  readonly db: number | null;
  readonly window: SecondWindow;
}

/**
 * What the snapshots of a window say of a key, and the newest one before it. Each is read from its
 * beginning, until the key was found when its database is named.
 * @param counter - Grows by the sealed bytes of what is read.
 * @throws As `keyHistory`.
 */
export async function snapshotEvents(
  search: SnapshotSearch,
  keys: KeyMatcher,
  environment: SearchEnvironment,
  counter: ReadCounter,
): Promise<readonly KeyEvent[]> {
  using access = await SegmentAccess.open(search.instance, environment);
  const events: KeyEvent[] = [];
  const known = environment.catalog.snapshots(search.instance);
  for (const snapshot of snapshotsWithin(known, search.window)) {
    environment.signal.throwIfAborted();
    counter.bytes += snapshot.object.size;
    events.push(...(await lookInto(snapshot, search.db, keys, access)));
  }
  return events;
}

function snapshotsWithin(
  snapshots: readonly CatalogSnapshot[],
  { since, until }: SecondWindow,
): readonly CatalogSnapshot[] {
  const early = snapshots.filter(({ from }) => since !== null && from < since);
  const newest = early.reduce((latest, { from }) => Math.max(latest, from), -Infinity);
  return snapshots.filter(
    ({ from }) => from === newest || ((since ?? from) <= from && from <= (until ?? from)),
  );
}

async function lookInto(
  snapshot: CatalogSnapshot,
  db: number | null,
  keys: KeyMatcher,
  access: SegmentAccess,
): Promise<readonly KeyEvent[]> {
  const found: KeyEvent[] = [];
  const scanner = new RdbScanner((batch) => {
    for (let row = 0; row < batch.count; row += 1) {
      if (!isEntry(batch.type[row] as number)) continue;
      const held = batch.db[row] as number;
      if (keys.matches(held, batch.keyOf(row))) found.push(eventOf(snapshot, held, batch, row));
    }
  });
  for await (const part of access.rdb(snapshot)) {
    scanner.push(part);
    if (db !== null && found.length > 0) return found;
  }
  scanner.end();
  return found.length > 0 ? found : [eventOf(snapshot, db ?? 0, null, 0)];
}

function eventOf(
  { timeline, offset, from, backup }: CatalogSnapshot,
  db: number,
  batch: RdbBatch | null,
  row: number,
): KeyEvent {
  const there = batch !== null;
  const hasExpiry = there && ((batch.flags[row] as number) & ROW.hasExpiry) !== 0;
  return {
    ...{ timeline, offset, before: offset, command: 'snapshot', db },
    // It is the dataset at its offset, which every second from this one on has passed.
    ...{ notBeforeMs: null, notAfterMs: from * 1000 + 999 },
    ...{ argumentCount: null, bytes: null, other: null, expired: false, count: 1 },
    did: there ? 'in snapshot' : 'not in snapshot',
    expiryMs: hasExpiry ? (batch.expiryMs[row] as number) : null,
    snapshot: {
      backup,
      type: there ? valueKind(batch.type[row] as number) : null,
      bytes: there ? (batch.end[row] as number) - (batch.start[row] as number) : null,
    },
  };
}
