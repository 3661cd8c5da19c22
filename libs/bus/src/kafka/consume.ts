import type { Consumer, EachBatchPayload } from 'kafkajs';
import { KeyError, TidemarkError } from '@tidemark/core';
import type { BusDelivery, BusMessage, ConsumeOptions } from '../bus.ts';
import { parkedMessage } from '../parked.ts';
import { openClient, REQUEST_MS, type ClientOptions } from './client.ts';
import { within } from './deadline.ts';
import { deliveryOf } from './delivery.ts';
import { busError, isKafkaError } from './errors.ts';
import { Watch } from './watch.ts';

/** The least that brokers take by default: after a crash the group waits for so long. */
const SESSION_MS = 6_000;
const BACKOFF_MS = [200, 400, 800, 1_600, 3_000] as const;
const CLOSE_MS_MAX = 3_000;
/** A reader that does nothing for so many sessions hangs: it fetches twice a second. */
const SILENCES_MAX = 5;
/** Tries of a message that fails for a reason that lies not in it, and is not passing either: 3 s. */
const OTHER_TRIES_MAX = 5;

/** Puts a message aside. */
type Park = (message: BusMessage) => Promise<void>;

/**
 * Consumes until the signal. A consumer that broke is thrown away, and a new one begins where the
 * group's offsets say: kafkajs starts its own again in a timer whose failure nobody catches.
 */
export async function consume(
  shared: ClientOptions,
  options: ConsumeOptions,
  park: Park,
): Promise<void> {
  const { signal } = options;
  const { clock, logger } = shared.ports;
  const group = `${shared.settings.topicPrefix}${options.group}`;
  for (let failures = 0; !signal.aborted;) {
    try {
      await consumeOnce(shared, options, park, () => {
        failures = 0;
      });
    } catch (cause) {
      if (isOver(signal)) return;
      if (failures === 0) {
        const { code, message } = busError(cause, 'reading');
        logger.warn('messages cannot be read', { group, code, reason: message });
      }
      const pause = BACKOFF_MS[Math.min(failures, BACKOFF_MS.length - 1)] ?? 0;
      failures += 1;
      await clock.sleep(pause, signal).catch(() => undefined);
    }
  }
}

/** One consumer, until it breaks or the signal. */
async function consumeOnce(
  shared: ClientOptions,
  options: ConsumeOptions,
  park: Park,
  onTaken: () => void,
): Promise<void> {
  const { settings, ports } = shared;
  const { signal, sessionMs = SESSION_MS } = options;
  const prefix = settings.topicPrefix;
  using client = openClient({ settings, ports, requestMs: Math.min(REQUEST_MS, sessionMs) });
  const consumer = client.kafka.consumer({
    groupId: `${prefix}${options.group}`,
    sessionTimeout: sessionMs,
    heartbeatInterval: Math.floor(sessionMs / 5),
    rebalanceTimeout: 2 * sessionMs,
    maxWaitTimeInMs: 500,
    allowAutoTopicCreation: false,
    retry: { retries: 2, restartOnFailure: () => Promise.resolve(false) },
  });
  const crashed = new Promise<never>((_, refuse) => {
    consumer.on(consumer.events.CRASH, ({ payload }) => refuse(payload.error));
  });
  const watch = new Watch(ports.clock, SILENCES_MAX * sessionMs);
  const { FETCH, HEARTBEAT, GROUP_JOIN } = consumer.events;
  for (const event of [FETCH, HEARTBEAT, GROUP_JOIN] as const) {
    consumer.on(event, () => watch.seen());
  }
  const broken = Promise.race([crashed, watch.over]);
  broken.catch(() => undefined);
  const stopped = abortOf(signal);
  const begin = async (): Promise<void> => {
    await consumer.connect();
    const topics = options.topics.map((name) => `${prefix}${name}`);
    await consumer.subscribe({ topics, fromBeginning: true });
    await consumer.run({
      eachBatchAutoResolve: false,
      partitionsConsumedConcurrently: 1,
      eachBatch: async (payload) => {
        onTaken();
        await watch.during(() => takeBatch(shared, options, park, payload));
      },
    });
  };
  try {
    const deadline = { clock: ports.clock, ms: 4 * sessionMs, doing: 'joining as a reader' };
    await Promise.race([within(deadline, begin()), broken, stopped.promise]);
    await Promise.race([broken, stopped.promise]);
  } finally {
    stopped.forget();
    watch[Symbol.dispose]();
    await close(consumer, shared);
  }
}

async function close(consumer: Consumer, { ports: { clock } }: ClientOptions): Promise<void> {
  const leaving = consumer.disconnect();
  await within({ clock, ms: CLOSE_MS_MAX, doing: 'leaving' }, leaving).catch(() => undefined);
}

async function takeBatch(
  { settings, ports }: ClientOptions,
  options: ConsumeOptions,
  park: Park,
  payload: EachBatchPayload,
): Promise<void> {
  const { batch } = payload;
  for (const raw of batch.messages) {
    if (options.signal.aborted || !payload.isRunning() || payload.isStale()) return;
    const message = deliveryOf(batch.topic, settings.topicPrefix, batch.partition, raw);
    const pause = async (ms: number): Promise<void> => {
      await ports.clock.sleep(ms, options.signal).catch(() => undefined);
      await payload.heartbeat();
    };
    const putAside = async (note: BusMessage): Promise<void> => {
      await park(note);
      ports.logger.warn('a message was parked', { ...note.headers });
    };
    if (!(await takeOne(message, options, pause, putAside))) return;
    payload.resolveOffset(raw.offset);
    await payload.commitOffsetsIfNecessary();
    await payload.heartbeat();
  }
}

/** @returns False when the signal came first. */
async function takeOne(
  message: BusDelivery,
  { onMessage, group, signal }: ConsumeOptions,
  pause: (ms: number) => Promise<void>,
  park: Park,
): Promise<boolean> {
  for (let tries = 1; !signal.aborted; tries++) {
    try {
      await onMessage(message);
      return true;
    } catch (error) {
      if (isPoison(error, tries)) {
        await park(parkedMessage(message, group, error));
        return true;
      }
      await pause(BACKOFF_MS[Math.min(tries, BACKOFF_MS.length) - 1] ?? 0);
    }
  }
  return false;
}

/** Asked again after a wait: it may be true now. */
function isOver(signal: AbortSignal): boolean {
  return signal.aborted;
}

function isPoison(error: unknown, tries: number): boolean {
  if (isKafkaError(error, 'REBALANCE_IN_PROGRESS')) throw error;
  if (!(error instanceof TidemarkError)) return tries >= OTHER_TRIES_MAX;
  if (error.retryable) return false;
  // Bytes that are not what they should be, or sealed with a key that is not here.
  return error.exitCode === 14 || error instanceof KeyError || tries >= OTHER_TRIES_MAX;
}

function abortOf(signal: AbortSignal): {
  readonly promise: Promise<void>;
  readonly forget: () => void;
} {
  let forget = (): void => undefined;
  const promise = new Promise<void>((resolve) => {
    const onAbort = (): void => resolve();
    forget = () => signal.removeEventListener('abort', onAbort);
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', onAbort, { once: true });
  });
  return { promise, forget };
}
