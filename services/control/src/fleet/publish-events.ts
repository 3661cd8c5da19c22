import { LogPublisher } from '@tidemark/bus';
import { listInstanceIds } from '@tidemark/catalog';
import { BusError, TidemarkError } from '@tidemark/core';
import { CursorRows } from './cursor-rows.ts';
import { isOver, pause, type LinkedParts } from './fleet-parts.ts';

/** A process that is not heard of for so long does not publish any more. */
const HOLD_MS = 15_000;
const POLL_MS_MIN = 500;
/** Instances that nobody here knows are looked for now and then: it costs a listing. */
const LIST_EVERY_MS = 30_000;
const BACKOFF_MS = [500, 1_000, 2_000, 5_000, 10_000] as const;

/**
 * Publishes what is new in the logs of the store, until the signal. While Kafka or the store is away
 * it waits: the cursor stays, and so does the order.
 */
export async function publishEvents(parts: LinkedParts, signal: AbortSignal): Promise<void> {
  const { workspace, bus, state, clock, random, logger } = parts;
  const cursor = new CursorRows(state);
  const { store, keys, config } = workspace;
  const logKey = keys.logKey.bind(keys);
  const publisher = new LogPublisher({ bus, store, cursor, logKey, clock, logger });
  const instances = new KnownInstances(parts);
  const faulty = new Set<string>();
  const holder = random.bytes(8).toString('hex');
  const pollMs = Math.max(POLL_MS_MIN, config.limits.rollMaxAgeMs);
  try {
    for (let failures = 0; !isOver(signal);) {
      try {
        const ends: (TidemarkError | null)[] = [];
        for (const iid of await instances.list(signal)) {
          const nowMs = clock.nowMs();
          if (isOver(signal) || !cursor.hold(holder, nowMs, nowMs + HOLD_MS)) break;
          const failure = await publishOne(publisher, iid, signal);
          ends.push(failure);
          if (failure !== null && !faulty.has(iid)) {
            logger.warn('events-not-published', { instance: iid, ...whyOf(failure) });
          }
          if (failure === null) faulty.delete(iid);
          else faulty.add(iid);
        }
        const [first] = ends;
        // The store is away.
        if (first != null && !ends.includes(null)) throw first;
        if (failures > 0) logger.info('events-published-again');
        failures = 0;
        await pause(clock, pollMs, signal);
      } catch (cause) {
        if (isOver(signal)) break;
        if (failures === 0) logger.warn('events-not-published', whyOf(cause));
        await pause(clock, BACKOFF_MS[Math.min(failures, BACKOFF_MS.length - 1)] ?? 0, signal);
        failures += 1;
      }
    }
  } finally {
    cursor.release(holder);
  }
}

/**
 * An instance whose log cannot be read now keeps those of no other one back.
 * @returns What it failed with.
 * @throws BusError: nobody takes messages now; what is no error of ours.
 */
async function publishOne(
  publisher: LogPublisher,
  iid: string,
  signal: AbortSignal,
): Promise<TidemarkError | null> {
  try {
    await publisher.publish(iid, signal);
    return null;
  } catch (cause) {
    if (!(cause instanceof TidemarkError) || cause instanceof BusError) throw cause;
    return cause;
  }
}

/** What the catalog knows, and what the store has beside it. */
class KnownInstances {
  readonly #parts: LinkedParts;
  #listed: readonly string[] = [];
  #listedMs = -Infinity;

  constructor(parts: LinkedParts) {
    this.#parts = parts;
  }

  async list(signal: AbortSignal): Promise<readonly string[]> {
    const { workspace, clock } = this.#parts;
    const nowMs = clock.monotonicMs();
    if (nowMs - this.#listedMs >= LIST_EVERY_MS) {
      this.#listed = await listInstanceIds(workspace.store, signal);
      this.#listedMs = nowMs;
    }
    const known = workspace.catalog.instances().flatMap(({ iid }) => (iid === null ? [] : [iid]));
    return [...new Set([...this.#listed, ...known])].sort();
  }
}

/** Fields of a log line. */
export function whyOf(cause: unknown): { readonly code: string; readonly error: string } {
  const error = cause instanceof Error ? cause.message : String(cause);
  return { code: cause instanceof TidemarkError ? cause.code : 'TM_INTERNAL', error };
}
