import { TidemarkError } from '@tidemark/core';
import type { BusDelivery, BusMessage } from './bus.ts';

/** What is known of a parked message beside its bytes. */
export interface ParkedMessage {
  /** Topic without prefix, partition and offset that it was read from. */
  readonly topic: string;
  readonly partition: number;
  readonly offset: string;
  /** Who could not take it. */
  readonly group: string;
  readonly code: string;
  readonly reason: string;
  readonly bytes: number;
}

const REASON_CHARS_MAX = 300;
const KEY_CHARS_MAX = 256;

/** The message for the topic of parked ones: the same bytes, and why in its headers. */
export function parkedMessage(message: BusDelivery, group: string, error: unknown): BusMessage {
  const code = error instanceof TidemarkError ? error.code : 'TM_INTERNAL';
  const reason = error instanceof Error ? error.message : 'no reason';
  return {
    key: (message.key ?? '').slice(0, KEY_CHARS_MAX),
    value: message.value,
    headers: {
      'parked-topic': message.topic,
      'parked-partition': String(message.partition),
      'parked-offset': String(message.offset),
      'parked-group': group,
      'parked-code': code,
      'parked-reason': reason.slice(0, REASON_CHARS_MAX),
    },
  };
}

/** Reads what {@link parkedMessage} wrote; its bytes stay where they are. */
export function describeParked({ headers, value }: BusDelivery): ParkedMessage {
  const text = (name: string): string => headers[`parked-${name}`] ?? '';
  return {
    topic: text('topic'),
    partition: Number(text('partition')),
    offset: text('offset'),
    group: text('group'),
    code: text('code'),
    reason: text('reason'),
    bytes: value.length,
  };
}
