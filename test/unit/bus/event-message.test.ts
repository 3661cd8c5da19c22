import { readFileSync } from 'node:fs';
import {
  decodeEventMessage,
  encodeEventMessage,
  eventType,
  TopicStore,
  type BusDelivery,
} from '@tidemark/bus';
import { encodeLogEntry, type LogEntry } from '@tidemark/catalog';
import { BusError } from '@tidemark/core';
import { describe, expect, it } from 'vitest';
import { heartbeat, LOG, LOG_KEY, OTHER_LOG_KEY, START_MS } from '../../support/log-events.ts';
import { MemoryStore } from '../../support/memory-store.ts';

const GOLDEN = new URL('../../fixtures/bus/event-message-v1.txt', import.meta.url);

function entryOf(seq: number): { readonly bytes: Buffer; readonly entry: LogEntry } {
  return encodeLogEntry({
    log: LOG,
    seq,
    generation: 1,
    event: heartbeat(100n),
    predecessor: 'ab'.repeat(32),
    logKey: LOG_KEY,
  });
}

function messageOf(seq = 7): { readonly key: string; readonly value: Buffer } {
  const { bytes, entry } = entryOf(seq);
  const { key, value } = encodeEventMessage({ log: LOG, seq, head: bytes }, entry.digest, START_MS);
  return { key, value: Buffer.from(value) };
}

const deliver = (value: Uint8Array): BusDelivery => ({
  topic: 'events',
  partition: 0,
  offset: 0n,
  key: null,
  value: Buffer.from(value),
  headers: {},
});

describe('a message of an event', () => {
  it('is what docs/formats/event-message.md says, byte for byte', () => {
    const { key, value } = messageOf();
    expect(key).toBe('inst/s0/w1');
    expect(value.toString('utf8')).toBe(readFileSync(GOLDEN, 'utf8').trimEnd());
    expect(decodeEventMessage(value)).toEqual({ log: LOG, seq: 7, head: entryOf(7).bytes });
    const told = JSON.parse(value.toString('utf8')) as Record<string, unknown>;
    expect(told).toMatchObject({
      specversion: '1.0',
      id: 'w1/7',
      source: '/tidemark/inst/s0/w1',
      type: 'tidemark.writer.heartbeat',
      time: '2026-11-18T11:06:40.000Z',
      subject: 'inst',
      tmseq: 7,
    });
  });

  it('has a name that says what happened', () => {
    const names = ['SegmentStored', 'TimelineOpened', 'TdeEnabled', 'KeyShredded', 'constructor'];
    expect(names.map(eventType)).toEqual([
      'tidemark.segment.shipped',
      'tidemark.timeline.opened',
      'tidemark.tde.enabled',
      'tidemark.key.shredded',
      'tidemark.constructor',
    ]);
  });

  it.each([
    ['no JSON', '{', '$'],
    ['an array', '[]', '$'],
    ['another version', JSON.stringify({ tmversion: 2 }), 'tmversion'],
    ['no log', having({ tmlog: 7 }), 'tmlog'],
    ['a path as its log', having({ tmlog: '../x' }), 'tmlog'],
    ['two parts as its log', having({ tmlog: 'a/b' }), 'tmlog'],
    ['a negative number', having({ tmseq: -1 }), 'tmseq'],
    ['a number that is none', having({ tmseq: 1.5 }), 'tmseq'],
    ['an entry that is not base64', having({ tmentry: '%%' }), 'tmentry'],
    ['no entry', having({ tmentry: '' }), 'tmentry'],
    ['too many bytes', ' '.repeat(256 * 1024 + 1), '$'],
  ])('with %s is refused', (_, text, field) => {
    const error = caught(() => decodeEventMessage(Buffer.from(text)));
    expect(error).toBeInstanceOf(BusError);
    expect((error as BusError).code).toBe('TM_BUS_MESSAGE');
    expect((error as BusError).context['field']).toBe(field);
  });

  it('counts only when its entry is authentic, in its place, and of an instance that is asked for', async () => {
    const store = new MemoryStore();
    const topic = new TopicStore(store, () => Promise.resolve(LOG_KEY), [LOG.iid]);
    const { value } = messageOf();
    const text = value.toString('utf8');
    await topic.take(deliver(value));
    await topic.take(deliver(value));
    await topic.take(deliver(Buffer.from(text.replace('"tmseq":7', '"tmseq":8'))));
    await topic.take(deliver(Buffer.from(text.replace('"tmlog":"inst/s0', '"tmlog":"inst/s1'))));
    await topic.take(deliver(Buffer.from(text.replace('"tmlog":"inst/', '"tmlog":"other/'))));
    expect(topic.counts).toEqual({ taken: 1, repeated: 1, refused: 2, dropped: 0 });
    expect(await topic.missing()).toHaveLength(1);
    const other = new TopicStore(store, () => Promise.resolve(OTHER_LOG_KEY), [LOG.iid]);
    await other.take(deliver(value));
    expect(other.counts.refused).toBe(1);
    const small = new TopicStore(store, () => Promise.resolve(LOG_KEY), [LOG.iid], 10);
    await small.take(deliver(value));
    expect(small.counts).toEqual({ taken: 0, repeated: 0, refused: 0, dropped: 1 });
  });
});

function having(over: Readonly<Record<string, unknown>>): string {
  const whole = { tmversion: 1, tmlog: 'inst', tmseq: 1, tmentry: 'AAAA' };
  return JSON.stringify({ ...whole, ...over });
}

function caught(work: () => unknown): unknown {
  try {
    work();
  } catch (error) {
    return error;
  }
  return null;
}
