/**
 * Does work on items some ahead of the consumer, and gives the results in order.
 * @param limit - Items that are worked on at once.
 */
export async function* orderedAhead<T, R>(
  items: Iterable<T>,
  limit: number,
  work: (item: T) => Promise<R>,
): AsyncGenerator<R, void, undefined> {
  const iterator = items[Symbol.iterator]();
  const running: Promise<R>[] = [];
  let ended = false;
  try {
    for (;;) {
      while (!ended && running.length < limit) {
        const next = iterator.next();
        ended = next.done === true;
        if (next.done === true) break;
        const result = work(next.value);
        // A fault belongs to the consumer's turn, not to the moment it happens.
        result.catch(() => undefined);
        running.push(result);
      }
      const first = running.shift();
      if (first === undefined) return;
      yield await first;
    }
  } finally {
    // What was begun must not outlive the keys that it reads with.
    await Promise.allSettled(running);
  }
}
