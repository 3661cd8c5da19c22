import { TidemarkError } from '@tidemark/core';

/** Calls that may wait for their turn. */
const WAITING_MAX = 256;

/** Runs work one after the other, in the order of the calls. */
export class Turns {
  #last: Promise<unknown> = Promise.resolve();
  #waiting = 0;

  /**
   * @throws What the work throws; TidemarkError `TM_LIMIT` when 256 calls wait already.
   */
  async run<T>(work: () => Promise<T>): Promise<T> {
    if (this.#waiting >= WAITING_MAX) {
      throw new TidemarkError('TM_LIMIT', `${WAITING_MAX} appends wait for their turn`);
    }
    this.#waiting += 1;
    const before = this.#last;
    const turn = (async () => {
      await before.catch(() => undefined);
      try {
        return await work();
      } finally {
        this.#waiting -= 1;
      }
    })();
    this.#last = turn;
    return turn;
  }
}
