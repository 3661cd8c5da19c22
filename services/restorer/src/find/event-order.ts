import type { KeyEvent } from './key-event.ts';

/** Puts events that a footer told between those that its segment's commands give later. */
export class EventOrder {
  #waiting: readonly KeyEvent[] = [];

  /** Takes events that were told ahead, and gives those that still wait. */
  tell(events: readonly KeyEvent[]): readonly KeyEvent[] {
    const rest = this.#waiting;
    this.#waiting = events;
    return rest;
  }

  /** Events in their order, with those that come before the last of them. */
  merge(events: readonly KeyEvent[]): readonly KeyEvent[] {
    if (this.#waiting.length === 0) return events;
    const merged: KeyEvent[] = [];
    for (const event of events) {
      const later = this.#waiting.findIndex((told) => !comesBefore(told, event));
      const count = later < 0 ? this.#waiting.length : later;
      merged.push(...this.#waiting.slice(0, count), event);
      this.#waiting = this.#waiting.slice(count);
    }
    return merged;
  }
}

/** Timelines are read one after the other: what was told of an earlier one comes first. */
function comesBefore(told: KeyEvent, event: KeyEvent): boolean {
  return told.timeline !== event.timeline || told.offset < event.offset;
}
