import type { Cluster } from 'kafkajs';
import type { ReadOptions } from '../bus.ts';
import { openClient, REQUEST_MS, type ClientOptions } from './client.ts';
import { clusterOf } from './cluster.ts';
import { within } from './deadline.ts';
import { deliveryOf } from './delivery.ts';
import { busError } from './errors.ts';

const FETCH_BYTES = 1024 * 1024;
const FETCH_WAIT_MS = 500;
const CLOSE_MS_MAX = 2_000;
/** Answers without a message before a partition is given up: its end was deleted meanwhile. */
const EMPTY_MAX = 20;

interface Stretch {
  readonly topic: string;
  readonly partition: number;
  next: bigint;
  readonly end: bigint;
}

/** What a fetch answers; kafkajs does not declare it. */
interface Fetched {
  readonly responses: readonly {
    readonly partitions: readonly {
      readonly messages: readonly {
        readonly offset: string;
        readonly key: Buffer | null;
        readonly value: Buffer | null;
        readonly headers?: Readonly<Record<string, unknown>>;
      }[];
    }[];
  }[];
}

/**
 * Reads topics from their oldest message to what was their end when it began.
 * @throws BusError `TM_BUS_DOWN`, `TM_BUS_REFUSED`; what `onMessage` throws; the signal's reason.
 */
export async function readTopics(shared: ClientOptions, options: ReadOptions): Promise<number> {
  const { settings, ports } = shared;
  using client = openClient(shared);
  const { cluster, disconnect } = clusterOf(client, `${settings.topicPrefix}reader`);
  const { clock } = ports;
  const ask = async <T>(doing: string, work: Promise<T>): Promise<T> => {
    try {
      return await within({ clock, ms: 4 * REQUEST_MS, doing }, work);
    } catch (cause) {
      throw busError(cause, doing);
    }
  };
  try {
    const topics = options.topics.map((name) => `${settings.topicPrefix}${name}`);
    const stretches = await ask('looking at topics', stretchesOf(cluster, topics));
    let count = 0;
    for (const stretch of stretches)
      count += await readStretch(cluster, stretch, { ...shared, options, ask });
    return count;
  } finally {
    const leaving = disconnect();
    await within({ clock, ms: CLOSE_MS_MAX, doing: 'leaving' }, leaving).catch(() => undefined);
  }
}

async function stretchesOf(cluster: Cluster, topics: readonly string[]): Promise<Stretch[]> {
  await cluster.connect();
  await cluster.addMultipleTargetTopics([...topics]);
  const stretches: Stretch[] = [];
  for (const topic of topics) {
    const partitions = cluster
      .findTopicPartitionMetadata(topic)
      .map(({ partitionId: partition }) => ({ partition }));
    const [oldest] = await cluster.fetchTopicsOffset([{ topic, partitions, fromBeginning: true }]);
    const [newest] = await cluster.fetchTopicsOffset([{ topic, partitions, fromBeginning: false }]);
    for (const { partition, offset } of oldest?.partitions ?? []) {
      const end = newest?.partitions.find((each) => each.partition === partition)?.offset ?? offset;
      stretches.push({ topic, partition, next: BigInt(offset), end: BigInt(end) });
    }
  }
  return stretches.sort((a, b) => a.partition - b.partition);
}

async function readStretch(
  cluster: Cluster,
  stretch: Stretch,
  work: ClientOptions & {
    readonly options: ReadOptions;
    readonly ask: <T>(doing: string, work: Promise<T>) => Promise<T>;
  },
): Promise<number> {
  const { topic, partition, end } = stretch;
  let count = 0;
  for (let empty = 0; stretch.next < end && empty < EMPTY_MAX; empty++) {
    work.options.signal.throwIfAborted();
    const fetched = await work.ask(`reading ${topic}`, fetchFrom(cluster, stretch));
    for (const message of fetched) {
      const offset = BigInt(message.offset);
      // A batch may begin before what was asked for.
      if (offset < stretch.next || offset >= end) continue;
      await work.options.onMessage(
        deliveryOf(topic, work.settings.topicPrefix, partition, message),
      );
      stretch.next = offset + 1n;
      empty = 0;
      count += 1;
    }
  }
  return count;
}

async function fetchFrom(
  cluster: Cluster,
  { topic, partition, next }: Stretch,
): Promise<Fetched['responses'][number]['partitions'][number]['messages']> {
  const [nodeId] = Object.keys(cluster.findLeaderForPartitions(topic, [partition]));
  if (nodeId === undefined) throw new Error(`partition ${partition} has no leader`);
  const broker = await cluster.findBroker({ nodeId });
  const { responses } = (await broker.fetch({
    maxWaitTime: FETCH_WAIT_MS,
    minBytes: 1,
    maxBytes: 4 * FETCH_BYTES,
    topics: [
      { topic, partitions: [{ partition, fetchOffset: String(next), maxBytes: FETCH_BYTES }] },
    ],
  })) as Fetched;
  return responses[0]?.partitions[0]?.messages ?? [];
}
