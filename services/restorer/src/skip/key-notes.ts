/** Distinct keys that are counted. */
const COUNTED_MAX = 100_000;

/** A key, and the command through which it came onto a list. */
export interface NotedKey {
  readonly db: number;
  readonly key: Buffer;
  /** Of that command, which is the first one for this key. */
  readonly offset: bigint;
  /** Lower case. */
  readonly command: string;
  /** False = only perhaps: it is not known what the command read. */
  readonly sure: boolean;
}

/** Some keys of a list, and how many there are. */
export interface KeyList {
  /** The first ones. */
  readonly keys: readonly NotedKey[];
  /** Distinct keys. */
  readonly count: number;
  /** There are more than were counted. */
  readonly more: boolean;
}

/** Collects the first keys of a list, and counts distinct ones up to a maximum. */
export class KeyNotes {
  readonly #listedMax: number;
  readonly #listed: NotedKey[] = [];
  readonly #seen = new Set<string>();
  #more = false;

  constructor(listedMax: number) {
    this.#listedMax = listedMax;
  }

  note(db: number, key: string, noted: Omit<NotedKey, 'db' | 'key'>): void {
    const name = `${db.toString()}:${key}`;
    if (this.#seen.has(name)) return;
    if (this.#seen.size >= COUNTED_MAX) {
      this.#more = true;
      return;
    }
    this.#seen.add(name);
    if (this.#listed.length >= this.#listedMax) return;
    this.#listed.push({ db, key: Buffer.from(key, 'latin1'), ...noted });
  }

  get list(): KeyList {
    return { keys: this.#listed, count: this.#seen.size, more: this.#more };
  }
}
