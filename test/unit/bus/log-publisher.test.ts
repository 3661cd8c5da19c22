import { decodeEventMessage, LogPublisher, type BusMessage } from '@tidemark/bus';
import { CHECKPOINT_EVERY } from '@tidemark/catalog';
import { BusError } from '@tidemark/core';
import { describe, expect, it } from 'vitest';
import { CollectingLogger } from '../../support/bus/collecting-logger.ts';
import { MemoryCursor } from '../../support/bus/memory-cursor.ts';
import { openTestInstance } from '../../support/catalog-harness.ts';
import { CountingStore } from '../../support/counting-store.ts';
import { standingClock } from '../../support/crypto-ports.ts';
import { heartbeat, LOG, LOG_KEY, opened, snapshot, START_MS } from '../../support/log-events.ts';
import { rejection } from '../../support/log-harness.ts';
import { MemoryStore } from '../../support/memory-store.ts';

const WRITER = `${LOG.iid}/${LOG.shard}/${LOG.writer}`;
const PREFIX = `v1/instance/${WRITER}/log/`;
const never = new AbortController().signal;

/** Takes messages; each send may be refused. */
class Sink {
  readonly sent: BusMessage[] = [];
  refusals = 0;

  publish(_: string, messages: readonly BusMessage[]): Promise<void> {
    if (this.refusals > 0) {
      this.refusals -= 1;
      return Promise.reject(new BusError('TM_BUS_DOWN', 'away'));
    }
    this.sent.push(...messages);
    return Promise.resolve();
  }

  seqs(key: string): number[] {
    return this.sent
      .filter((each) => each.key === key)
      .map(({ value }) => decodeEventMessage(value).seq);
  }
}

async function history(count: number): Promise<MemoryStore> {
  const store = new MemoryStore();
  const log = await openTestInstance(store);
  await log.append(opened());
  await log.append(snapshot(0n));
  for (let at = 0; at < count; at++) await log.append(heartbeat(0n, { atMs: START_MS + 10 + at }));
  return store;
}

function publisherOf(
  store: MemoryStore | CountingStore,
  bus: Sink,
  cursor: MemoryCursor,
): { readonly publisher: LogPublisher; readonly logger: CollectingLogger } {
  const logger = new CollectingLogger();
  const clock = standingClock(START_MS);
  const logKey = (): Promise<typeof LOG_KEY> => Promise.resolve(LOG_KEY);
  return { publisher: new LogPublisher({ bus, store, cursor, logKey, clock, logger }), logger };
}

describe('publishing logs', () => {
  it('sends every entry of a log wherever sending broke off, and none out of order', async () => {
    const store = await history(20);
    for (const refused of [1, 2, 3]) {
      const [bus, cursor] = [new Sink(), new MemoryCursor()];
      const { publisher } = publisherOf(store, bus, cursor);
      for (let round = 0; round < refused; round++) {
        bus.refusals = 1;
        expect((await rejection(publisher.publish(LOG.iid, never))).code).toBe('TM_BUS_DOWN');
      }
      await publisher.publish(LOG.iid, never);
      const seqs = bus.seqs(WRITER);
      expect(seqs).toEqual(seqs.map((_, at) => at));
      expect(seqs).toHaveLength(23);
      expect(bus.seqs(LOG.iid)[0]).toBe(0);
    }
  });

  it('knows a writer before the log that registers it is passed: a kill in between loses none', async () => {
    const store = await history(1);
    const [bus, cursor] = [new Sink(), new MemoryCursor()];
    const known: boolean[] = [];
    const watching = new MemoryCursor();
    watching.advance = (log, position): void => {
      // The registration is entry 1 of the log of the instance.
      if (log === LOG.iid && position.seq >= 1) known.push(watching.position(WRITER) !== null);
      watching.positions.set(log, position);
    };
    await publisherOf(store, bus, watching).publisher.publish(LOG.iid, never);
    expect(known).toContain(true);
    expect(known).not.toContain(false);
    await publisherOf(store, bus, cursor).publisher.publish(LOG.iid, never);
    expect(cursor.positions).toEqual(watching.positions);
  });

  it('goes on behind what retention has deleted', async () => {
    const store = await history(CHECKPOINT_EVERY + 10);
    const [bus, cursor] = [new Sink(), new MemoryCursor()];
    const keys = store.keys(PREFIX);
    for (const key of keys)
      if (Number(key.split('/').at(-1)) <= CHECKPOINT_EVERY) store.tamper(key, null);
    await publisherOf(store, bus, cursor).publisher.publish(LOG.iid, never);
    const seqs = bus.seqs(WRITER);
    expect(seqs[0]).toBe(CHECKPOINT_EVERY + 1);
    expect(seqs.at(-1)).toBe(keys.length - 1);
  });

  it('tells of a damaged log once, leaves it where it is, and sends the others', async () => {
    const store = await history(5);
    const [bus, cursor] = [new Sink(), new MemoryCursor()];
    const key = store.keys(PREFIX)[3] ?? '';
    const bytes = Buffer.from(store.objects.get(key) ?? Buffer.alloc(0));
    bytes[70] = (bytes[70] ?? 0) ^ 1;
    store.tamper(key, bytes);
    const { publisher, logger } = publisherOf(store, bus, cursor);
    await publisher.publish(LOG.iid, never);
    await publisher.publish(LOG.iid, never);
    expect(bus.seqs(LOG.iid).length).toBeGreaterThan(0);
    expect(logger.lines).toEqual([
      `error a log cannot be published ${JSON.stringify({ log: WRITER, code: 'TM_LOG_AUTH' })}`,
    ]);
  });

  it('asks the store for one entry of each log when nothing is new', async () => {
    const counting = new CountingStore(await history(3));
    const { publisher } = publisherOf(counting, new Sink(), new MemoryCursor());
    await publisher.publish(LOG.iid, never);
    await publisher.publish(LOG.iid, never);
    counting.reset();
    expect(await publisher.publish(LOG.iid, never)).toBe(0);
    expect(counting.requests).toEqual({ get: 0, head: 2, list: 0, put: 0 });
  });
});
