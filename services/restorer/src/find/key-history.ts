import {
  withinWindow,
  type KeyMatcher,
  type SearchTotals,
  type SecondWindow,
} from './found-command.ts';
import { EventOrder } from './event-order.ts';
import { EventReader } from './event-reader.ts';
import type { KeyEvent } from './key-event.ts';
import { LogSearcher } from './search-log.ts';
import type { SearchEnvironment } from './segment-access.ts';
import { snapshotEvents } from './snapshot-events.ts';

/** Which key's history is wanted. */
export interface HistorySearch {
  readonly instance: string;
  readonly key: Buffer;
  /** null = in every database. */
  readonly db: number | null;
  readonly window: SecondWindow;
  /** Look also into the snapshots of the window, and the one before it: each is read whole. */
  readonly snapshots: boolean;
}

/** What a history read. */
export interface HistoryTotals extends SearchTotals {
  /** Sealed bytes of the snapshots that were looked into. */
  readonly snapshotBytes: number;
}

/** A history that is read while it is iterated, once. */
export interface KeyHistory extends AsyncIterable<readonly KeyEvent[]> {
  readonly totals: HistoryTotals;
}

/**
 * Everything that the log says was done to a key: of commands that name it those that write it, and
 * what reaches keys without naming them. Reads footers first and fetches only frames that can hold
 * such a command.
 * @returns In the order of timelines and offsets, in batches.
 * @throws UsageError `TM_NOT_FOUND`; IntegrityError, FormatError, KeyError, StoreError.
 */
export function keyHistory(search: HistorySearch, environment: SearchEnvironment): KeyHistory {
  const { instance, key, db, window } = search;
  const keys = onlyKey(key, db);
  const wanted = { names: null, keys };
  const searcher = new LogSearcher({ instance, window, wanted }, environment);
  const counter = { bytes: 0 };
  return {
    get totals() {
      return { ...searcher.totals, snapshotBytes: counter.bytes };
    },
    async *[Symbol.asyncIterator]() {
      const reader = new EventReader(key, db, keys);
      const timelines = environment.catalog.timelines(instance);
      const order = new EventOrder(timelines.map(({ timeline }) => timeline));
      if (search.snapshots) order.tell(await snapshotEvents(search, keys, environment, counter));
      for await (const item of searcher.items()) {
        const events =
          item.kind === 'unknown'
            ? order.tell(within(reader.unknown(item.entries, item.places), window))
            : order.merge(within(reader.commands(item.batch, item.places), window));
        if (events.length > 0) yield events;
      }
      const rest = order.rest();
      if (rest.length > 0) yield rest;
    },
  };
}

function within(events: readonly KeyEvent[], window: SecondWindow): readonly KeyEvent[] {
  return events.filter((event) => withinWindow(event, window));
}

function onlyKey(key: Buffer, db: number | null): KeyMatcher {
  return {
    literals: [key],
    matchesDb: (other) => db === null || other === db,
    matches: (other, data, start = 0, end = data.length) =>
      (db === null || other === db) &&
      end - start === key.length &&
      data.compare(key, 0, key.length, start, end) === 0,
  };
}
