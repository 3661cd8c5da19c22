import { ApiProblem } from '../problem-types.ts';

/** Lets only so many of a costly kind of request run at one time; others are told to come again. */
export class Gate {
  readonly #most: number;
  readonly #what: string;
  #running = 0;

  constructor(most: number, what: string) {
    this.#most = most;
    this.#what = what;
  }

  /** @throws ApiProblem `overloaded` when as many run already; as `work`. */
  async through<T>(work: () => Promise<T>): Promise<T> {
    if (this.#running >= this.#most) {
      const detail = `${this.#most.toString()} ${this.#what} run already`;
      throw new ApiProblem('overloaded', detail, { headers: { 'retry-after': '5' } });
    }
    this.#running += 1;
    try {
      return await work();
    } finally {
      this.#running -= 1;
    }
  }
}
