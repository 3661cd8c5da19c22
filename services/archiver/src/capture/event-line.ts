import type { WriterEvent, WriterLog } from '@tidemark/catalog';
import { retrying, type RetryOptions } from '../ship/retry.ts';
import { openTimelineOf } from './open-timeline.ts';

/**
 * Appends events one after the other, and signs of life when nothing else was appended.
 *
 * A store that is away is waited for: no event is given up, and none overtakes another.
 */
export class EventLine {
  readonly #log: WriterLog;
  readonly #retry: RetryOptions;
  readonly #heartbeatMs: number;
  readonly #onEvent: (event: WriterEvent) => void;
  #tail: Promise<unknown> = Promise.resolve();

  /** @param onEvent - Told of each event that is in the log. */
  constructor(
    log: WriterLog,
    heartbeatMs: number,
    retry: RetryOptions,
    onEvent: (event: WriterEvent) => void = () => undefined,
  ) {
    this.#log = log;
    this.#heartbeatMs = heartbeatMs;
    this.#retry = retry;
    this.#onEvent = onEvent;
  }

  /**
   * Appends when all earlier calls are done.
   * @throws CatalogError when the log is lost or refuses; the signal's reason when it ended a retry.
   */
  async append(event: WriterEvent, body?: Uint8Array): Promise<void> {
    await this.#inTurn(() => this.#put(event, body));
  }

  /**
   * Appends a sign of life when one is due, or at once when it proves more than the log does.
   * @param proven - The latest second proven at a durable offset.
   */
  async heartbeat(proven: (durable: bigint) => number | null, atOnce: boolean): Promise<void> {
    if (this.#signOfLife(proven, atOnce) === null) return;
    await this.#inTurn(async () => {
      // What was appended in the meantime may have made it needless, or another one.
      const event = this.#signOfLife(proven, atOnce);
      if (event !== null) await this.#put(event);
    });
  }

  #signOfLife(proven: (durable: bigint) => number | null, atOnce: boolean): WriterEvent | null {
    const { lastEntryMs } = this.#log.state;
    const timeline = openTimelineOf(this.#log.state);
    const provenTo = timeline === null ? null : proven(timeline.end);
    const provesMore = (provenTo ?? -1) > (timeline?.provenTo ?? -1);
    const atMs = this.#retry.clock.nowMs();
    // Also when the clock of this host was set back: the last entry then lies in the future.
    const due = Math.abs(atMs - (lastEntryMs ?? 0)) >= this.#heartbeatMs;
    if (!due && !(atOnce && provesMore)) return null;
    const offset = timeline?.end ?? 0n;
    return { type: 'Heartbeat', timeline: timeline?.timeline ?? null, offset, provenTo, atMs };
  }

  async #put(event: WriterEvent, body?: Uint8Array): Promise<void> {
    await retrying(this.#retry, () => this.#log.append(event, body));
    this.#onEvent(event);
  }

  async #inTurn(work: () => Promise<void>): Promise<void> {
    const turn = this.#tail.then(work);
    this.#tail = turn.catch(() => undefined);
    await turn;
  }
}
