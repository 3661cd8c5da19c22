import { BusError } from '@tidemark/core';
import type { BusDelivery, TopicName } from '../bus.ts';
import { TOPIC_NAMES } from '../topics.ts';

/** A message as kafkajs has it. */
interface RawMessage {
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  readonly offset: string;
  readonly headers?: Readonly<Record<string, unknown>> | undefined;
}

const HEADERS_MAX = 32;
const HEADER_CHARS_MAX = 1_024;

/** @param topic - With its prefix. */
export function deliveryOf(
  topic: string,
  prefix: string,
  partition: number,
  message: RawMessage,
): BusDelivery {
  return {
    topic: topicName(topic, prefix),
    partition,
    offset: BigInt(message.offset),
    key: message.key === null ? null : message.key.toString('utf8'),
    value: message.value ?? Buffer.alloc(0),
    headers: headersOf(message.headers ?? {}),
  };
}

function topicName(topic: string, prefix: string): TopicName {
  const found = TOPIC_NAMES.find((name) => topic === `${prefix}${name}`);
  if (found !== undefined) return found;
  throw new BusError('TM_INTERNAL', 'a message of a topic that was not asked for');
}

/** Anybody may have sent them: only so many, so long, and text. */
function headersOf(raw: Readonly<Record<string, unknown>>): Readonly<Record<string, string>> {
  const headers: Record<string, string> = {};
  for (const [name, value] of Object.entries(raw).slice(0, HEADERS_MAX)) {
    const one: unknown = Array.isArray(value) ? value[0] : value;
    const text = Buffer.isBuffer(one) ? one.toString('utf8') : one;
    if (typeof text === 'string') {
      headers[name.slice(0, HEADER_CHARS_MAX)] = text.slice(0, HEADER_CHARS_MAX);
    }
  }
  return headers;
}
