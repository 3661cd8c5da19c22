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

/** Which key's history is wanted. */
export interface HistorySearch {
  readonly instance: string;
  readonly key: Buffer;
  /** null = in every database. */
  readonly db: number | null;
  readonly window: SecondWindow;
}

/** A history that is read while it is iterated, once. */
export interface KeyHistory extends AsyncIterable<readonly KeyEvent[]> {
  readonly totals: SearchTotals;
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
  const searcher = new LogSearcher(
    { instance, window, wanted: { names: null, keys } },
    environment,
  );
  return {
    get totals() {
      return searcher.totals;
    },
    async *[Symbol.asyncIterator]() {
      const reader = new EventReader(key, db, keys);
      const order = new EventOrder();
      const within = (events: readonly KeyEvent[]): readonly KeyEvent[] =>
        events.filter((event) => withinWindow(event, window));
      for await (const item of searcher.items()) {
        const events =
          item.kind === 'unknown'
            ? order.tell(reader.unknown(item.entries, item.places))
            : order.merge(reader.commands(item.batch, item.places));
        const wanted = within(events);
        if (wanted.length > 0) yield wanted;
      }
      const rest = within(order.tell([]));
      if (rest.length > 0) yield rest;
    },
  };
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
