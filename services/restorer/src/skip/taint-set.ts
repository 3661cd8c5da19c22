import { DatabaseMap } from '../closure/database-map.ts';

/** Keys that are remembered, and bytes of them. */
const KEYS_MAX = 100_000;
const KEY_BYTES_MAX = 64 * 1024 * 1024;

/** Of one dataset either the keys that are tainted, or those that are not while all others are. */
interface Dataset {
  all: boolean;
  readonly exceptions: Set<string>;
}

/**
 * Which keys of which databases differ from what they were: single keys, or whole databases but for
 * some keys. Bounded; over the bound it says so and errs to both sides.
 */
export class TaintSet {
  readonly #databases = new DatabaseMap();
  readonly #datasets = new Map<number, Dataset>();
  readonly #keysMax: number;
  #allElse = false;
  #keys = 0;
  #bytes = 0;
  #complete = true;

  constructor(keysMax: number = KEYS_MAX) {
    this.#keysMax = keysMax;
  }

  /** False = there were too many to remember. */
  get complete(): boolean {
    return this.#complete;
  }

  /** Whether nothing is tainted. */
  get empty(): boolean {
    return (
      !this.#allElse &&
      [...this.#datasets.values()].every(({ all, exceptions }) => !all && exceptions.size === 0)
    );
  }

  has(db: number, key: string): boolean {
    const known = this.#datasets.get(this.#databases.datasetOf(db));
    if (known === undefined) return this.#allElse;
    return known.all !== known.exceptions.has(key);
  }

  set(db: number, key: string, tainted: boolean): void {
    if (this.has(db, key) === tainted) return;
    const dataset = this.#datasetOf(db);
    if (dataset.all === tainted) {
      dataset.exceptions.delete(key);
      this.#count(-1, key);
    } else if (this.#keys >= this.#keysMax || this.#bytes + key.length > KEY_BYTES_MAX) {
      this.#complete = false;
    } else {
      dataset.exceptions.add(key);
      this.#count(1, key);
    }
  }

  /** All keys of a database, or with null of every database. */
  setAll(db: number | null, tainted: boolean): void {
    if (db === null) {
      for (const dataset of this.#datasets.values()) this.#empty(dataset);
      this.#datasets.clear();
      this.#allElse = tainted;
      return;
    }
    const dataset = this.#datasetOf(db);
    this.#empty(dataset);
    dataset.all = tainted;
  }

  swap(first: number, second: number): void {
    this.#databases.swap({ first, second });
  }

  #datasetOf(db: number): Dataset {
    const number = this.#databases.datasetOf(db);
    const known = this.#datasets.get(number) ?? { all: this.#allElse, exceptions: new Set() };
    this.#datasets.set(number, known);
    return known;
  }

  #empty({ exceptions }: Dataset): void {
    for (const key of exceptions) this.#count(-1, key);
    exceptions.clear();
  }

  #count(sign: 1 | -1, key: string): void {
    this.#keys += sign;
    this.#bytes += sign * key.length;
  }
}
