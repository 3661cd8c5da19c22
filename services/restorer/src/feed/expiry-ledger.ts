/** Keys that are kept of each database, and bytes of their names in all. */
const KEPT_MAX = 20_000;
const KEPT_BYTES_MAX = 8 * 1024 * 1024;
const KEY_BYTES_MAX = 1_024;

/** A place for a key; its name as latin1. */
export interface KeyPlace {
  readonly db: number;
  readonly name: string;
}

/** The expiry that a key was given last. */
interface Entry {
  /** Unix milliseconds; NaN = not known. */
  readonly expiryMs: number;
  /** How often everything had been in doubt by then. */
  readonly doubts: number;
}

/**
 * The expiries of keys while a log runs over them: what was given by name, and where it was moved to.
 *
 * Of a key that has an expiry, it is the one that is entered. A key may be entered that has none any
 * more, or is gone. Memory is bounded: of too many the latest are kept, which `lost` tells.
 */
export class ExpiryLedger {
  /** In the order of their last expiries. */
  readonly #byDb = new Map<number, Map<string, Entry>>();
  #bytes = 0;
  #lost = false;
  #doubts = 0;

  /** Whether keys with an expiry may not be entered. */
  get lost(): boolean {
    return this.#lost;
  }

  /** Keys with the expiry that is known of them, else NaN; of each database the latest last. */
  *entries(): Generator<readonly [db: number, keys: (readonly [name: string, ms: number])[]]> {
    for (const [db, keys] of this.#byDb) {
      yield [db, [...keys].map(([name, entry]) => [name, this.#known(entry)] as const)];
    }
  }

  /** The expiry of a key in Unix milliseconds, if it has one; NaN = not known. */
  expiryOf(db: number, key: Buffer): number {
    const entry = this.#byDb.get(db)?.get(key.toString('latin1'));
    return entry === undefined ? NaN : this.#known(entry);
  }

  /** @param expiryMs - As it was given by name; NaN = one may have come along. */
  enter(db: number, key: Buffer, expiryMs: number): void {
    const doubts = this.#doubts;
    this.#put({ db, name: key.toString('latin1') }, { expiryMs, doubts });
  }

  /**
   * A value went from one place to the other, with its expiry.
   * @param options - `stays`: it is in both now. `allEntered`: a key that is not entered has no expiry.
   */
  move(
    from: KeyPlace,
    to: KeyPlace,
    { stays, allEntered }: { readonly stays: boolean; readonly allEntered: boolean },
  ): void {
    const entry = this.#byDb.get(from.db)?.get(from.name);
    if (!stays) this.#drop(from);
    if (entry !== undefined) this.#put(to, entry);
    else if (allEntered && !this.#lost) this.#drop(to);
    else this.#put(to, { expiryMs: NaN, doubts: this.#doubts });
  }

  /** Two databases changed places. */
  swap(first: number, second: number): void {
    const [one, other] = [this.#byDb.get(first), this.#byDb.get(second)];
    for (const [db, keys] of [[first, other] as const, [second, one] as const]) {
      if (keys === undefined) this.#byDb.delete(db);
      else this.#byDb.set(db, keys);
    }
  }

  /** Any key may have another expiry now, and others may have one. */
  doubt(): void {
    this.#doubts += 1;
    this.#lost = true;
  }

  /** Some key with an expiry is not entered. */
  lose(): void {
    this.#lost = true;
  }

  copy(): ExpiryLedger {
    const ledger = new ExpiryLedger();
    for (const [db, keys] of this.#byDb) ledger.#byDb.set(db, new Map(keys));
    ledger.#bytes = this.#bytes;
    ledger.#lost = this.#lost;
    ledger.#doubts = this.#doubts;
    return ledger;
  }

  #known({ expiryMs, doubts }: Entry): number {
    return doubts === this.#doubts ? expiryMs : NaN;
  }

  #drop({ db, name }: KeyPlace): void {
    if (this.#byDb.get(db)?.delete(name) === true) this.#bytes -= name.length;
  }

  /** The latest ones are kept: those that expired long ago were deleted by the log itself. */
  #put({ db, name }: KeyPlace, entry: Entry): void {
    if (name.length > KEY_BYTES_MAX) {
      this.#lost = true;
      return;
    }
    const keys = this.#byDb.get(db) ?? new Map<string, Entry>();
    this.#byDb.set(db, keys);
    if (!keys.delete(name)) this.#bytes += name.length;
    keys.set(name, entry);
    while (keys.size > KEPT_MAX || this.#bytes > KEPT_BYTES_MAX) {
      const [oldest] = keys.keys();
      if (oldest === undefined) return; // what is left stands in other databases
      keys.delete(oldest);
      this.#bytes -= oldest.length;
      this.#lost = true;
    }
  }
}
