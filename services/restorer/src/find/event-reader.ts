import {
  COMMANDS,
  KEY_EFFECT,
  KEY_RULE,
  visitExpiries,
  visitKeys,
  type CommandBatch,
  type KeyVisitor,
} from '@tidemark/aof';
import { commandName, type FlowEntry } from '@tidemark/archive';
import { ExpiryMemory } from './expiry-memory.ts';
import type { KeyMatcher } from './found-command.ts';
import type { KeyEvent } from './key-event.ts';
import { actionOnAll, actionOnNamed, type NamedAction } from './name-action.ts';
import { endsWithin, placeOf, type CommandPlaces } from './search-log.ts';

/** Turns the commands of a log, given in order, into events of one key. */
export class EventReader {
  readonly #key: Buffer;
  readonly #db: number | null;
  readonly #keys: KeyMatcher;
  readonly #expiries = new ExpiryMemory();
  readonly #hits: { readonly db: number; readonly start: number }[] = [];
  #data: Buffer = Buffer.alloc(0);

  /** @param keys - Matches `key` in `db`, or in every database when that is null. */
  constructor(key: Buffer, db: number | null, keys: KeyMatcher) {
    this.#key = key;
    this.#db = db;
    this.#keys = keys;
  }

  /** Commands that a footer tells: one event for each name. */
  unknown(entries: readonly FlowEntry[], { segment, times }: CommandPlaces): KeyEvent[] {
    const { timeline } = segment;
    const told = new Map<string, KeyEvent>();
    for (const { command, offset, db, keys } of entries) {
      // It writes only the key after STORE, which stands in the index.
      if (command === 'sort' && keys.length > 0) continue;
      addUnknown(told, command, () => ({
        ...{ timeline, offset, before: offset, ...times.at(offset), command },
        ...{ argumentCount: null, bytes: null, db: this.#db ?? db, did: 'may have written' },
        ...{ other: null, expiryMs: null, expired: false, count: 1, snapshot: null },
      }));
    }
    return [...told.values()];
  }

  /** Commands that were read; those of unknown effect too unless a footer has told them. */
  commands(batch: CommandBatch, places: CommandPlaces): KeyEvent[] {
    const expiries = this.#expiriesOf(batch);
    const unknown = new Map<string, KeyEvent>();
    const events: KeyEvent[] = [];
    this.#data = batch.data;
    for (let row = 0; row < batch.count; row++) {
      this.#hits.length = 0;
      const effect = visitKeys(batch, row, this.#noteHit);
      if (this.#hits.length === 0 && effect < KEY_EFFECT.flushDb) continue;
      if (!endsWithin(batch, row, places)) continue;
      for (const { db, start } of this.#hits) {
        const expiryMs = expiries.get(start) ?? null;
        const action = actionOnNamed(batch, row, db, this.#key);
        events.push(this.#event(batch, row, places, { ...action, db, expiryMs }));
      }
      const action = this.#hits.length > 0 ? null : actionOnAll(batch, row, this.#db, effect);
      if (action === null) continue;
      const event = (): KeyEvent => this.#event(batch, row, places, { ...action, expiryMs: null });
      if (effect !== KEY_EFFECT.unknown) events.push(event());
      else if (!places.unknownTold && !isSort(batch, row)) {
        addUnknown(unknown, commandName(batch, row), event);
      }
    }
    return [...events, ...unknown.values()];
  }

  /** One for each database in which the command writes the key. */
  readonly #noteHit: KeyVisitor = (db, start, end, write) => {
    if (!write || !this.#keys.matches(db, this.#data, start, end)) return;
    if (!this.#hits.some((hit) => hit.db === db)) this.#hits.push({ db, start });
  };

  #event(
    batch: CommandBatch,
    row: number,
    places: CommandPlaces,
    action: NamedAction & { readonly db: number; readonly expiryMs: number | null },
  ): KeyEvent {
    const place = placeOf(batch, row, places, commandName(batch, row));
    const overwrites = isOverwrite(batch, row);
    const expired = this.#expiries.note({ ...action, overwrites, when: place });
    return { ...place, ...action, expired, count: 1, snapshot: null };
  }

  /** Expiries that commands of a batch give the key, by the place of the key in its bytes. */
  #expiriesOf(batch: CommandBatch): ReadonlyMap<number, number> {
    const expiries = new Map<number, number>();
    visitExpiries(batch, (db, start, end, expiryMs) => {
      if (this.#keys.matches(db, batch.data, start, end)) expiries.set(start, expiryMs);
    });
    return expiries;
  }
}

function addUnknown(told: Map<string, KeyEvent>, name: string, event: () => KeyEvent): void {
  const known = told.get(name);
  told.set(name, known === undefined ? event() : { ...known, count: known.count + 1 });
}

function isSort(batch: CommandBatch, row: number): boolean {
  return COMMANDS[batch.spec[row] as number]?.keys === KEY_RULE.sort;
}

/** Whether a command leaves nothing of the keys that it writes, their expiry included. */
function isOverwrite(batch: CommandBatch, row: number): boolean {
  let overwrites = true;
  visitKeys(batch, row, (_db, _start, _end, write, read) => {
    if (write && read) overwrites = false;
  });
  return overwrites;
}
