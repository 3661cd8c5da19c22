import type { TimeBounds } from './found-command.ts';
import type { KeyAction } from './key-event.ts';

/** What happened to a key, as far as its expiry goes. */
export interface ExpiryStep {
  readonly db: number;
  readonly did: KeyAction;
  /** Expiry that the command gave it, Unix milliseconds. */
  readonly expiryMs: number | null;
  /** Whether the command left nothing of what was there, its expiry included. */
  readonly overwrites: boolean;
  readonly when: TimeBounds;
}

/** Remembers the expiry of one key in each database, to tell a deletion by expiry from another. */
export class ExpiryMemory {
  readonly #expiries = new Map<number, number>();

  /** Takes the next step. Whether it is a deletion of a key whose expiry had passed by then. */
  note({ db, did, expiryMs, overwrites, when }: ExpiryStep): boolean {
    const known = this.#expiries.get(db);
    if (expiryMs !== null) this.#expiries.set(db, expiryMs);
    else if (did !== 'write' || overwrites) this.#forget(db, did);
    const by = when.notAfterMs ?? when.notBeforeMs;
    return did === 'delete' && known !== undefined && by !== null && known <= by;
  }

  #forget(db: number, did: KeyAction): void {
    if (did === 'flushed' || did === 'swapped') this.#expiries.clear();
    else if (did !== 'may have written' && did !== 'slots') this.#expiries.delete(db);
  }
}
