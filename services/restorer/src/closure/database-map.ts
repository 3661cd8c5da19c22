/** SWAPDB at an offset. */
export interface Swap {
  readonly offset: number;
  readonly first: number;
  readonly second: number;
}

/**
 * Which dataset a database number stands for: SWAPDB lets two change places. A dataset has the number
 * that it has at the cut.
 */
export class DatabaseMap {
  readonly #datasets: Map<number, number>;

  constructor(datasets: ReadonlyMap<number, number> = new Map()) {
    this.#datasets = new Map(datasets);
  }

  /** The dataset that stands under a number. */
  datasetOf(db: number): number {
    return this.#datasets.get(db) ?? db;
  }

  /** Crosses a SWAPDB, in either direction. */
  swap({ first, second }: Pick<Swap, 'first' | 'second'>): void {
    const [one, other] = [this.datasetOf(first), this.datasetOf(second)];
    this.#datasets.set(first, other);
    this.#datasets.set(second, one);
  }

  /** Whether every number stands for the same dataset. */
  isSameAs(other: DatabaseMap): boolean {
    const numbers = [...this.#datasets.keys(), ...other.#datasets.keys()];
    return numbers.every((db) => this.datasetOf(db) === other.datasetOf(db));
  }

  copy(): DatabaseMap {
    return new DatabaseMap(this.#datasets);
  }
}
