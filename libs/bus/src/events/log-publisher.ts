import { instanceLogKey, writerLogKey } from '@tidemark/archive';
import {
  eventMs,
  findLogStart,
  readInstanceHeads,
  readWriterHeads,
  type LogPosition,
  type WriterLogId,
} from '@tidemark/catalog';
import { TidemarkError, type Clock } from '@tidemark/core';
import type { LogKey } from '@tidemark/crypto';
import type { ObjectStore } from '@tidemark/store';
import type { Bus, BusLogger, BusMessage } from '../bus.ts';
import { encodeEventMessage, logKeyOf, type LogName } from './event-message.ts';

/** Where publishing goes on, of each log by its name; may be lost: then everything is sent again. */
export interface Cursor {
  /** Logs of an instance that have a position; the instance's own is among them. */
  logs(iid: string): readonly string[];
  position(log: string): LogPosition | null;
  /** Durable when it returns. */
  advance(log: string, position: LogPosition): void;
}

/** What publishing reads and writes. */
export interface LogPublisherParts {
  readonly bus: Pick<Bus, 'publish'>;
  readonly store: ObjectStore;
  readonly cursor: Cursor;
  readonly logKey: (iid: string) => Promise<LogKey>;
  readonly clock: Clock;
  readonly logger: BusLogger;
}

/** Rounds without a new entry before a log is asked whether its oldest ones were deleted. */
const QUIET_ROUNDS = 256;

/**
 * Publishes entries of logs, each log in its order: reads behind the cursor, sends, moves the cursor.
 * Whoever is killed between the last two sends again; readers know entries by log and number.
 */
export class LogPublisher {
  readonly #parts: LogPublisherParts;
  readonly #quiet = new Map<string, number>();
  /** Logs that could not be read, so that each is told of once. */
  readonly #faulty = new Set<string>();

  constructor(parts: LogPublisherParts) {
    this.#parts = parts;
  }

  /**
   * Publishes what is new of one instance.
   * @returns Entries that were sent.
   * @throws BusError: nobody takes messages now; StoreError. A log that is damaged is told of and left
   *   where it is.
   */
  async publish(iid: string, signal: AbortSignal): Promise<number> {
    const own: LogName = { iid, writer: null };
    let count = await this.#log(own, signal);
    for (const name of this.#parts.cursor.logs(iid)) {
      const [, shard, writer] = name.split('/');
      if (shard === undefined || writer === undefined) continue;
      count += await this.#log({ iid, shard, writer }, signal);
    }
    return count;
  }

  async #log(log: LogName, signal: AbortSignal): Promise<number> {
    const name = logKeyOf(log);
    try {
      const count =
        log.writer === null
          ? await this.#instance(log.iid, signal)
          : await this.#writer(log, signal);
      this.#faulty.delete(name);
      return count;
    } catch (error) {
      if (!(error instanceof TidemarkError) || error.exitCode !== 14) throw error;
      if (!this.#faulty.has(name)) {
        this.#parts.logger.error('a log cannot be published', { log: name, code: error.code });
      }
      this.#faulty.add(name);
      return 0;
    }
  }

  async #instance(iid: string, signal: AbortSignal): Promise<number> {
    const { store, logKey, cursor } = this.#parts;
    const log: LogName = { iid, writer: null };
    const known = cursor.position(iid) ?? BEGIN;
    if (!this.#isUnsure(iid) && (await store.head(instanceLogKey(iid, known.seq + 1))) === null) {
      return this.#noted(iid, 0);
    }
    const source = { store, iid, logKey: await logKey(iid), signal };
    let count = 0;
    for await (const batch of readInstanceHeads(source, known)) {
      // A writer has a position before its registration is sent: who is killed here loses none.
      for (const { event } of batch) {
        if (event.type !== 'WriterRegistered') continue;
        const name = logKeyOf({ iid, shard: event.shard, writer: event.writer });
        if (cursor.position(name) === null) cursor.advance(name, BEGIN);
      }
      const messages = batch.map(({ seq, digest, head, event }) =>
        encodeEventMessage({ log, seq, head }, digest, atOf(event)),
      );
      await this.#send(iid, messages, batch.at(-1));
      count += batch.length;
    }
    return this.#noted(iid, count);
  }

  async #writer(log: WriterLogId, signal: AbortSignal): Promise<number> {
    const { store, logKey, cursor } = this.#parts;
    const name = logKeyOf(log);
    const known = cursor.position(name) ?? BEGIN;
    const isUnsure = this.#isUnsure(name);
    const next = writerLogKey(log.iid, log.shard, log.writer, known.seq + 1);
    if (!isUnsure && (await store.head(next)) === null) return this.#noted(name, 0);
    const source = { store, ...log, logKey: await logKey(log.iid), keyProven: true, signal };
    // Retention deletes the oldest entries; a cursor that stands before those goes on behind them.
    const after = isUnsure ? later(known, (await findLogStart(source)).state) : known;
    let count = 0;
    for await (const batch of readWriterHeads(source, after)) {
      const messages = batch.map(({ seq, digest, head, event }) =>
        encodeEventMessage({ log, seq, head }, digest, eventMs(event)),
      );
      await this.#send(name, messages, batch.at(-1));
      count += batch.length;
    }
    return this.#noted(name, count);
  }

  /** Most rounds ask for the next entry and no more; at first, and now and then, a log is looked at. */
  #isUnsure(name: string): boolean {
    return (this.#quiet.get(name) ?? QUIET_ROUNDS) >= QUIET_ROUNDS;
  }

  #noted(name: string, count: number): number {
    const before = this.#isUnsure(name) ? -1 : (this.#quiet.get(name) ?? 0);
    this.#quiet.set(name, count > 0 ? 0 : before + 1);
    return count;
  }

  async #send(
    name: string,
    messages: readonly BusMessage[],
    last: LogPosition | undefined,
  ): Promise<void> {
    const { bus, cursor } = this.#parts;
    await bus.publish('events', messages);
    if (last !== undefined) cursor.advance(name, { seq: last.seq, digest: last.digest });
  }
}

const BEGIN: LogPosition = { seq: -1, digest: '0'.repeat(64) };

function later(a: LogPosition, b: LogPosition): LogPosition {
  return b.seq > a.seq ? b : a;
}

function atOf(event: object): number {
  const { atMs } = event as { readonly atMs?: unknown };
  return typeof atMs === 'number' ? atMs : 0;
}
