import { catalogFromTopic, encodeEventMessage, type BusDelivery } from '@tidemark/bus';
import { createInstance, encodeLogEntry, openCatalog, type InstanceEvent } from '@tidemark/catalog';
import { describe, expect, it } from 'vitest';
import { seededRandom, standingClock } from '../../support/crypto-ports.ts';
import { heartbeat, LOG, LOG_KEY, START_MS } from '../../support/log-events.ts';
import { rejection } from '../../support/log-harness.ts';
import { MemoryStore } from '../../support/memory-store.ts';

const url = 'redis://10.0.0.5:6379';
const node = { url, user: null, source: 'psync', passwordRef: 'inst.pass' } as const;
const at = { by: 'ops', atMs: START_MS } as const;
const WRITER: InstanceEvent = {
  ...{ type: 'WriterRegistered', shard: LOG.shard, writer: LOG.writer, source: 'psync' },
  atMs: START_MS,
};
const ERASED: readonly InstanceEvent[] = [
  { type: 'InstanceRecycled', node, untilMs: START_MS, ...at },
  { type: 'InstanceDestroyed', dueMs: START_MS, ...at },
  { type: 'InstanceErased', atMs: START_MS },
];

/** What comes of a topic that has an entry of a writer, and a store without that. */
async function built(events: readonly InstanceEvent[]): Promise<number> {
  const store = new MemoryStore();
  const ports = { clock: standingClock(START_MS), random: seededRandom('topic') };
  const instance = { store, iid: LOG.iid, logKey: LOG_KEY, ...ports };
  const log = await createInstance({ ...instance, name: 'orders', createdMs: START_MS });
  for (const event of events) await log.append(() => event);
  const asked = { log: LOG, seq: 7, logKey: LOG_KEY, predecessor: 'ab'.repeat(32) };
  const { bytes, entry } = encodeLogEntry({ ...asked, generation: 1, event: heartbeat(100n) });
  const message = { log: LOG, seq: 7, head: bytes };
  const { value } = encodeEventMessage(message, entry.digest, START_MS);
  const delivery: BusDelivery = {
    ...{ topic: 'events', partition: 0, offset: 0n, key: null, headers: {} },
    value: Buffer.from(value),
  };
  using catalog = openCatalog({ path: ':memory:' });
  const report = await catalogFromTopic({
    ...{ catalog, store, instances: [LOG.iid], logKey: () => Promise.resolve(LOG_KEY) },
    bus: {
      read: async ({ onMessage }) => {
        await onMessage(delivery);
        return 1;
      },
    },
    logger: { info: () => undefined, warn: () => undefined, error: () => undefined },
    signal: new AbortController().signal,
  });
  return report.taken;
}

describe('catalogFromTopic()', () => {
  it('does not take what was erased for something that the store has lost', async () => {
    expect(await built([WRITER, ...ERASED])).toBe(1);
    const lost = await rejection(built([WRITER]));
    expect(lost.code).toBe('TM_LOG_GAP');
    expect(lost.context['logs']).toBe(1);
  });
});
