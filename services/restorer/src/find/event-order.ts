import type { KeyEvent } from './key-event.ts';

/** Puts events that were told ahead between those that commands give later. */
export class EventOrder {
  readonly #rank: ReadonlyMap<string, number>;
  #waiting: KeyEvent[] = [];

  /** @param timelines - In the order in which they are read. */
  constructor(timelines: readonly string[]) {
    this.#rank = new Map(timelines.map((timeline, rank) => [timeline, rank]));
  }

  /** Takes events that were told ahead, and gives those before the first of them. */
  tell(events: readonly KeyEvent[]): readonly KeyEvent[] {
    const sorted = [...events].sort((a, b) => this.#compare(a, b));
    const [first] = sorted;
    if (first === undefined) return [];
    const due = this.#before(first);
    this.#waiting = [...this.#waiting, ...sorted].sort((a, b) => this.#compare(a, b));
    return due;
  }

  /** Events in their order, each with those that come before it. */
  merge(events: readonly KeyEvent[]): readonly KeyEvent[] {
    if (this.#waiting.length === 0) return events;
    return events.flatMap((event) => [...this.#before(event), event]);
  }

  /** What still waits. */
  rest(): readonly KeyEvent[] {
    return this.#waiting.splice(0);
  }

  #before(event: KeyEvent): readonly KeyEvent[] {
    const later = this.#waiting.findIndex((told) => this.#compare(told, event) > 0);
    return this.#waiting.splice(0, later < 0 ? this.#waiting.length : later);
  }

  #compare(a: KeyEvent, b: KeyEvent): number {
    if (a.timeline !== b.timeline) return this.#rankOf(a) - this.#rankOf(b);
    return a.offset < b.offset ? -1 : a.offset > b.offset ? 1 : 0;
  }

  #rankOf({ timeline }: KeyEvent): number {
    return this.#rank.get(timeline) ?? this.#rank.size;
  }
}
