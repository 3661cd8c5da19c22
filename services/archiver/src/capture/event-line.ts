import type { WriterEvent, WriterLog } from '@tidemark/catalog';
import type { Clock } from '@tidemark/core';
import { openTimelineOf } from './open-timeline.ts';

/** Appends events one after the other, and signs of life when nothing else was appended. */
export class EventLine {
  readonly #log: WriterLog;
  readonly #clock: Clock;
  readonly #heartbeatMs: number;
  #tail: Promise<unknown> = Promise.resolve();

  constructor(log: WriterLog, clock: Clock, heartbeatMs: number) {
    this.#log = log;
    this.#clock = clock;
    this.#heartbeatMs = heartbeatMs;
  }

  /** Appends when all earlier calls are done. */
  async append(event: WriterEvent, body?: Uint8Array): Promise<void> {
    const turn = this.#tail.then(() => this.#log.append(event, body));
    this.#tail = turn.catch(() => undefined);
    await turn;
  }

  /**
   * Appends a sign of life when one is due, or at once when it proves more than the log does.
   * @param proven - The latest second proven at a durable offset.
   */
  async heartbeat(proven: (durable: bigint) => number | null, atOnce: boolean): Promise<void> {
    const { lastEntryMs } = this.#log.state;
    const timeline = openTimelineOf(this.#log.state);
    const provenTo = timeline === null ? null : proven(timeline.end);
    const provesMore = (provenTo ?? -1) > (timeline?.provenTo ?? -1);
    const due = this.#clock.nowMs() - (lastEntryMs ?? 0) >= this.#heartbeatMs;
    if (!due && !(atOnce && provesMore)) return;
    await this.append({
      type: 'Heartbeat',
      timeline: timeline?.timeline ?? null,
      offset: timeline?.end ?? 0n,
      provenTo,
      atMs: this.#clock.nowMs(),
    });
  }
}
