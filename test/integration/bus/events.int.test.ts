import { catalogFromTopic, LogPublisher, TopicStore, type BusDelivery } from '@tidemark/bus';
import { openCatalog, readWriterLog, type WriterLog, type WriterLogId } from '@tidemark/catalog';
import { FormatError } from '@tidemark/core';
import { systemClock } from '@tidemark/system';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { MemoryCursor } from '../../support/bus/memory-cursor.ts';
import { openTestBus } from '../../support/bus/open-test-bus.ts';
import { dumpCatalog, openTestInstance, syncTest } from '../../support/catalog-harness.ts';
import { CountingStore } from '../../support/counting-store.ts';
import { eventually } from '../../support/eventually.ts';
import { describeWithKafka, KafkaBroker } from '../../support/kafka.ts';
import {
  heartbeat,
  LOG,
  LOG_KEY,
  objectRef,
  opened as timelineOpened,
  snapshot,
  START_MS,
  stored,
} from '../../support/log-events.ts';
import { rejection } from '../../support/log-harness.ts';
import { MemoryStore } from '../../support/memory-store.ts';

const CANARY = 'canary-in-a-segment-0123456789';
const logKey = (): Promise<typeof LOG_KEY> => Promise.resolve(LOG_KEY);
const never = new AbortController().signal;

describeWithKafka('events of logs over Kafka', () => {
  let broker: KafkaBroker;
  let opened: Awaited<ReturnType<typeof openTestBus>>;
  beforeAll(async () => {
    broker = await KafkaBroker.start();
    opened = await openTestBus(broker.address);
    await opened.bus.ensureTopics();
  });
  afterAll(async () => {
    await opened[Symbol.asyncDispose]();
    await broker[Symbol.asyncDispose]();
  });

  /** Messages of one instance: each test has its own. */
  const readEvents = async (iid: string): Promise<BusDelivery[]> => {
    const all: BusDelivery[] = [];
    const onMessage = (message: BusDelivery): void => {
      if (message.key === iid || message.key?.startsWith(`${iid}/`) === true) all.push(message);
    };
    await opened.bus.read({ topics: ['events'], onMessage, signal: never });
    return all;
  };

  const publisher = (store: MemoryStore, cursor = new MemoryCursor()): LogPublisher =>
    new LogPublisher({ ...opened, store, cursor, logKey, clock: systemClock });

  it('sends each entry once and in order, without the body of a segment; again when the cursor is lost', async () => {
    const { writer, id } = place('order');
    const store = new MemoryStore();
    const entries = await openTestInstance(store, id);
    await append(entries, 30);
    const cursor = new MemoryCursor();
    const first = publisher(store, cursor);
    const count = await first.publish(id.iid, never);
    expect(await first.publish(id.iid, never)).toBe(0);
    await entries.append(heartbeat(100n, { atMs: START_MS + 9_000 }));
    expect(await first.publish(id.iid, never)).toBe(1);
    const messages = await readEvents(id.iid);
    expect(messages).toHaveLength(count + 1);
    const seqs = messages.filter(({ key }) => key === writer).map((each) => seqOf(each));
    expect(seqs).toEqual(seqs.map((_, at) => at));
    expect(seqs.length).toBeGreaterThan(30);
    expect(Buffer.concat(messages.map(({ value }) => value)).includes(CANARY)).toBe(false);
    expect([...store.objects.values()].some((bytes) => bytes.includes(CANARY))).toBe(true);

    expect(await publisher(store).publish(id.iid, never)).toBe(count + 1);
    const topic = new TopicStore(store, logKey, [id.iid]);
    for (const message of await readEvents(id.iid)) await topic.take(message);
    const all = count + 1;
    expect(topic.counts).toEqual({ taken: all, repeated: all, refused: 0, dropped: 0 });
  });

  it('keeps what was appended while the broker was away, and sends it in order', async () => {
    const { log, writer, id } = place('outage');
    const store = new MemoryStore();
    const entries = await openTestInstance(store, id);
    const sender = publisher(store);
    await sender.publish(id.iid, never);
    await broker.kill();
    await append(entries, 5);
    const failure = await rejection(sender.publish(id.iid, never));
    expect(failure.code).toBe('TM_BUS_DOWN');
    expect(failure.retryable).toBe(true);
    await append(entries, 5, 20);
    await broker.restart();
    await eventually('sent', async () => {
      try {
        await sender.publish(id.iid, never);
        return true;
      } catch {
        return false;
      }
    });
    const messages = await readEvents(id.iid);
    const seqs = messages.filter(({ key }) => key === writer).map((each) => seqOf(each));
    const firsts = seqs.filter((seq, at) => seqs.indexOf(seq) === at);
    expect(firsts).toEqual(firsts.map((_, at) => at));
    expect(firsts.at(-1)).toBe(lastSeq(store, log));
  });

  it('builds the same catalog from the topic as from the store, also when the topic lacks some', async () => {
    const { log, writer, id } = place('catalog');
    const store = new MemoryStore();
    const entries = await openTestInstance(store, id);
    await append(entries, 10);
    const cursor = new MemoryCursor();
    await publisher(store, cursor).publish(id.iid, never);
    const sent = cursor.position(writer)?.seq ?? 0;
    await append(entries, 10, 40);
    // Nobody sent those of the middle.
    const known = lastSeq(store, log);
    cursor.advance(writer, { seq: known - 3, digest: await digestAt(store, id, known - 3) });
    expect(await publisher(store, cursor).publish(id.iid, never)).toBe(3);
    expect(known - 3).toBeGreaterThan(sent);

    using fromStore = openCatalog({ path: ':memory:' });
    await syncTest(fromStore, store, [id.iid]);
    const counting = new CountingStore(store);
    using fromTopic = openCatalog({ path: ':memory:' });
    const parts = { instances: [id.iid], logKey, signal: never };
    const { bus, logger } = opened;
    const report = await catalogFromTopic({
      ...parts,
      bus,
      logger,
      catalog: fromTopic,
      store: counting,
    });
    expect(report.served).toBeGreaterThanOrEqual(sent + 3);
    expect(dumpCatalog(fromTopic, id.iid)).toEqual(dumpCatalog(fromStore, id.iid));
    expect(counting.requests.get).toBeLessThan(report.entries);

    // A message of somebody without the key, and one that is no message.
    const messages = await readEvents(id.iid);
    const [forged] = messages.filter(({ key }) => key === writer).slice(-1);
    const text = forged?.value.toString() ?? '';
    const entry = Buffer.from(/"tmentry":"([^"]+)"/.exec(text)?.[1] ?? '', 'base64');
    entry[70] = (entry[70] ?? 0) ^ 1;
    const changed = text.replace(/"tmentry":"[^"]+"/, `"tmentry":"${entry.toString('base64')}"`);
    await bus.publish('events', [
      { key: writer, value: Buffer.from(changed.replace(/"tmseq":\d+/, `"tmseq":${known + 1}`)) },
      { key: 'x', value: Buffer.from('{"no": "message"}') },
    ]);
    using again = openCatalog({ path: ':memory:' });
    const second = await catalogFromTopic({ ...parts, bus, logger, catalog: again, store });
    expect(second.refused).toBe(2);
    expect(dumpCatalog(again, id.iid)).toEqual(dumpCatalog(fromStore, id.iid));

    // A store that was set back is told of.
    const newest = store.keys(log).at(-1) ?? '';
    store.tamper(newest, null);
    using third = openCatalog({ path: ':memory:' });
    const gap = await rejection(catalogFromTopic({ ...parts, bus, logger, catalog: third, store }));
    expect(gap.code).toBe('TM_LOG_GAP');
    expect(gap.context['object']).toBe(newest);
  });

  it('parks a message that cannot be taken, with the reason, and takes those behind it', async () => {
    const { bus } = opened;
    const taken: string[] = [];
    let failures = 2;
    const over = new AbortController();
    const reading = bus.consume({
      group: 'workers',
      topics: ['jobs'],
      onMessage: ({ value }) => {
        const text = value.toString();
        if (text === 'poison') throw new FormatError('TM_LOG_FORMAT', 'not well formed');
        if (text === 'fault') throw new TypeError('a fault of ours');
        failures -= text === 'later' && failures > 0 ? 1 : 0;
        if (text === 'later' && failures > 0) throw new Error('once more');
        taken.push(text);
      },
      sessionMs: 2_000,
      signal: over.signal,
    });
    const send = (...texts: string[]): Promise<void> =>
      bus.publish(
        'jobs',
        texts.map((text) => ({ key: 'k', value: Buffer.from(text) })),
      );
    await send('a', 'poison', 'b', 'later', 'fault', 'c');
    await eventually('taken', () => taken.includes('c'));
    expect(taken).toEqual(['a', 'b', 'later', 'c']);
    const parked: BusDelivery[] = [];
    const keep = (message: BusDelivery): void => void parked.push(message);
    await bus.read({ topics: ['parked'], onMessage: keep, signal: never });
    expect(parked.map(({ value, headers }) => [String(value), headers['parked-code']])).toEqual([
      ['poison', 'TM_LOG_FORMAT'],
      ['fault', 'TM_INTERNAL'],
    ]);
    expect(parked[0]?.headers).toMatchObject({
      'parked-topic': 'jobs',
      'parked-group': 'workers',
      'parked-reason': 'not well formed',
    });
    const sent = (text: string): Promise<void> =>
      eventually('sent', () =>
        send(text).then(
          () => true,
          () => false,
        ),
      );
    await broker.kill();
    await broker.restart();
    await sent('d');
    await eventually('taken', () => taken.includes('d'));
    // Longer than a session: what waits for an answer gives up.
    broker.freeze();
    await systemClock.sleep(5_000);
    broker.thaw();
    await sent('e');
    await eventually('taken', () => taken.includes('e'));
    over.abort();
    await reading;
  });
});

/** A timeline with heartbeats, and one segment in the body of its entry. */
async function append(log: WriterLog, count: number, from = 0): Promise<void> {
  if (from === 0) {
    await log.append(timelineOpened());
    await log.append(snapshot(0n));
    const body = Buffer.from(CANARY);
    await log.append(
      stored(0n, 100n, { object: objectRef({ key: null, size: body.length }) }),
      body,
    );
  }
  for (let at = 0; at < count; at++) {
    await log.append(heartbeat(100n, { atMs: START_MS + 10 + from + at }));
  }
}

function seqOf({ value }: BusDelivery): number {
  return (JSON.parse(value.toString()) as { readonly tmseq: number }).tmseq;
}

function lastSeq(store: MemoryStore, log: string): number {
  return Number(store.keys(log).at(-1)?.split('/').at(-1));
}

async function digestAt(store: MemoryStore, id: WriterLogId, seq: number): Promise<string> {
  for await (const batch of readWriterLog({ store, ...id, logKey: LOG_KEY })) {
    const found = batch.find((entry) => entry.seq === seq);
    if (found !== undefined) return found.digest;
  }
  throw new Error(`no entry ${seq}`);
}

/** A writer of a test: its name on the bus, and where its log lies. */
function place(iid: string): {
  readonly id: WriterLogId;
  readonly writer: string;
  readonly log: string;
} {
  const id = { ...LOG, iid };
  const writer = `${iid}/${LOG.shard}/${LOG.writer}`;
  return { id, writer, log: `v1/instance/${writer}/log/` };
}
