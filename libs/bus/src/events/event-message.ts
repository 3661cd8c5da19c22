import { BusError } from '@tidemark/core';
import type { WriterLogId } from '@tidemark/catalog';
import type { BusMessage } from '../bus.ts';
import { eventType } from './event-types.ts';

/** Whose log an entry belongs to: of a writer, or of a whole instance. */
export type LogName = WriterLogId | { readonly iid: string; readonly writer: null };

/** An entry of a log on its way. */
export interface EventMessage {
  readonly log: LogName;
  readonly seq: number;
  /** Bytes of the entry up to its body, as they lie in the store. */
  readonly head: Buffer;
}

/** Bytes of an entry before its header, docs/formats/log-entry.md. */
const HEADER_AT = 64;
const HEADER_LENGTH_AT = 12;
const MESSAGE_BYTES_MAX = 256 * 1024;
const NAME = /^[a-z0-9][a-z0-9-]{0,62}$/;

/** Messages of one log keep their order. */
export function logKeyOf(log: LogName): string {
  return log.writer === null ? log.iid : `${log.iid}/${log.shard}/${log.writer}`;
}

/** Makes a message, docs/formats/event-message.md. The same entry gives the same bytes. */
export function encodeEventMessage(
  { log, seq, head }: EventMessage,
  digest: string,
  atMs: number,
): BusMessage {
  const event = eventOf(head);
  const key = logKeyOf(log);
  const message = {
    specversion: '1.0',
    id: `${log.writer ?? log.iid}/${seq}`,
    source: `/tidemark/${key}`,
    type: eventType(typeof event['type'] === 'string' ? event['type'] : ''),
    time: new Date(atMs).toISOString(),
    subject: log.iid,
    datacontenttype: 'application/json',
    data: event,
    tmversion: 1,
    tmlog: key,
    tmseq: seq,
    tmdigest: digest,
    tmentry: head.toString('base64'),
  };
  return {
    key,
    value: Buffer.from(JSON.stringify(message), 'utf8'),
    headers: { 'content-type': 'application/cloudevents+json' },
  };
}

/**
 * Reads a message. Nothing of it is proven yet: whoever has the log key verifies the entry in it.
 * @throws BusError `TM_BUS_MESSAGE` that names the field.
 */
export function decodeEventMessage(value: Uint8Array): EventMessage {
  if (value.length > MESSAGE_BYTES_MAX) throw fault('$', `${value.length} bytes are too many`);
  const message = parse(value);
  if (message['tmversion'] !== 1) throw fault('tmversion', 'is not known');
  const { tmlog, tmseq, tmentry } = message;
  if (typeof tmlog !== 'string') throw fault('tmlog', 'is no text');
  if (typeof tmseq !== 'number' || !Number.isSafeInteger(tmseq) || tmseq < 0) {
    throw fault('tmseq', 'is no sequence number');
  }
  if (typeof tmentry !== 'string') throw fault('tmentry', 'is no text');
  const head = Buffer.from(tmentry, 'base64');
  if (head.length === 0 || head.toString('base64') !== tmentry) {
    throw fault('tmentry', 'is not base64');
  }
  return { log: logOf(tmlog), seq: tmseq, head };
}

function logOf(text: string): LogName {
  const names = text.split('/');
  const [iid = '', shard = '', writer = ''] = names;
  if (!names.every((name) => NAME.test(name))) throw fault('tmlog', 'is no name of a log');
  if (names.length === 1) return { iid, writer: null };
  if (names.length === 3) return { iid, shard, writer };
  throw fault('tmlog', 'is no name of a log');
}

/** The clear event of an entry, whose form was verified before. */
function eventOf(head: Buffer): Readonly<Record<string, unknown>> {
  const length = head.readUInt32BE(HEADER_LENGTH_AT);
  const header = parse(head.subarray(HEADER_AT, HEADER_AT + length));
  const { event } = header;
  if (typeof event !== 'object' || event === null) throw fault('tmentry', 'has no event');
  return event as Readonly<Record<string, unknown>>;
}

function parse(bytes: Uint8Array): Readonly<Record<string, unknown>> {
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(bytes).toString('utf8'));
  } catch {
    throw fault('$', 'is not JSON');
  }
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
    return value as Readonly<Record<string, unknown>>;
  }
  throw fault('$', 'is no object');
}

function fault(field: string, why: string): BusError {
  return new BusError('TM_BUS_MESSAGE', `a message of events: ${field} ${why}`, {
    context: { field },
  });
}
