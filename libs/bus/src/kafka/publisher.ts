import kafkajs, { type Producer } from 'kafkajs';
import { BusError } from '@tidemark/core';
import type { BusMessage } from '../bus.ts';
import { openClient, REQUEST_MS, type Client, type ClientOptions } from './client.ts';
import { within } from './deadline.ts';
import { busError } from './errors.ts';

/** Largest value; what brokers take by default is 1 MiB with headers and key. */
export const VALUE_BYTES_MAX: number = 900 * 1024;
/** Values that go out in one request. */
const BATCH_BYTES = 512 * 1024;
const BATCH_MESSAGES = 500;
/** One request and its two more tries. */
const SEND_MS_MAX = 3 * REQUEST_MS + 5_000;
const CLOSE_MS_MAX = 2_000;
/** Callers that wait for their turn. */
const WAITING_MAX = 256;

/**
 * Sends one request at a time, so that order holds whatever is tried again. A producer that failed is
 * thrown away with its connections.
 */
export class Publisher implements AsyncDisposable {
  readonly #options: ClientOptions;
  #turn: Promise<void> = Promise.resolve();
  #waiting = 0;
  #open: { readonly client: Client; readonly producer: Producer } | null = null;

  constructor(options: ClientOptions) {
    this.#options = options;
  }

  /** @throws BusError `TM_BUS_DOWN`, `TM_BUS_REFUSED`, `TM_BUS_LIMIT`. */
  async send(topic: string, messages: readonly BusMessage[]): Promise<void> {
    for (const { key, value } of messages) refuseLong(key, value.length);
    if (this.#waiting >= WAITING_MAX) {
      throw new BusError('TM_BUS_DOWN', `${this.#waiting} others wait to send already`);
    }
    this.#waiting += 1;
    const before = this.#turn;
    const mine = before.then(() => this.#sendAll(topic, messages));
    this.#turn = mine.catch(() => undefined);
    try {
      await mine;
    } finally {
      this.#waiting -= 1;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#turn;
    await this.#close();
  }

  async #sendAll(topic: string, messages: readonly BusMessage[]): Promise<void> {
    const { clock } = this.#options.ports;
    try {
      for (const batch of batches(messages)) {
        const doing = `sending to ${topic}`;
        await within({ clock, ms: SEND_MS_MAX, doing }, this.#request(topic, batch));
      }
    } catch (cause) {
      await this.#close();
      throw busError(cause, `sending to ${topic}`, { topic });
    }
  }

  async #request(topic: string, batch: readonly BusMessage[]): Promise<void> {
    const producer = this.#open?.producer ?? (await this.#connect());
    await producer.send({
      topic,
      acks: -1,
      timeout: REQUEST_MS,
      messages: batch.map(({ key, value, headers = {} }) => ({
        key,
        value: Buffer.from(value.buffer, value.byteOffset, value.length),
        headers: { ...headers },
      })),
    });
  }

  async #connect(): Promise<Producer> {
    const client = openClient(this.#options);
    const producer = client.kafka.producer({
      createPartitioner: kafkajs.Partitioners.DefaultPartitioner,
      allowAutoTopicCreation: false,
      maxInFlightRequests: 1,
      // A leader that has just moved, or was just made, takes a moment.
      retry: { retries: 5, initialRetryTime: 200, maxRetryTime: 1_000 },
    });
    this.#open = { client, producer };
    await producer.connect();
    return producer;
  }

  async #close(): Promise<void> {
    const open = this.#open;
    this.#open = null;
    if (open === null) return;
    const { clock } = this.#options.ports;
    const leaving = open.producer.disconnect();
    await within({ clock, ms: CLOSE_MS_MAX, doing: 'leaving' }, leaving).catch(() => undefined);
    open.client[Symbol.dispose]();
  }
}

function* batches(messages: readonly BusMessage[]): Generator<readonly BusMessage[]> {
  let batch: BusMessage[] = [];
  let bytes = 0;
  for (const message of messages) {
    const isFull = bytes + message.value.length > BATCH_BYTES || batch.length >= BATCH_MESSAGES;
    if (batch.length > 0 && isFull) {
      yield batch;
      [batch, bytes] = [[], 0];
    }
    batch.push(message);
    bytes += message.value.length;
  }
  if (batch.length > 0) yield batch;
}

function refuseLong(key: string, bytes: number): void {
  if (bytes <= VALUE_BYTES_MAX) return;
  throw new BusError('TM_BUS_LIMIT', `a message of ${bytes} bytes is over ${VALUE_BYTES_MAX}`, {
    context: { key, bytes },
  });
}
