import type { BusError } from '@tidemark/core';
import type { Admin } from 'kafkajs';
import type { TopicName } from '../bus.ts';
import { TOPICS, TOPIC_NAMES } from '../topics.ts';
import { openClient, REQUEST_MS, type ClientOptions } from './client.ts';
import { within } from './deadline.ts';
import { busError, isKafkaError } from './errors.ts';

const REPLICAS_WANTED = 3;
const CLOSE_MS_MAX = 2_000;
/** What a broker answers that does not yet serve what was made. */
const NOT_YET = ['UNKNOWN_TOPIC_OR_PARTITION', 'LEADER_NOT_AVAILABLE', 'NOT_LEADER_FOR_PARTITION'];
const LOOK_MS = 100;
const LOOKS_MAX = 100;

/**
 * Makes the topics that are not there: with three replicas, or as many as there are brokers.
 * @throws BusError `TM_BUS_DOWN`; `TM_BUS_REFUSED` when they are missing and may not be made.
 */
export async function ensureTopics(options: ClientOptions): Promise<void> {
  const { settings, ports } = options;
  using client = openClient(options);
  const admin = client.kafka.admin();
  const names = TOPIC_NAMES.map((name) => `${settings.topicPrefix}${name}`);
  const make = async (): Promise<void> => {
    await admin.connect();
    const known = new Set(await admin.listTopics());
    const missing = TOPIC_NAMES.filter((name) => !known.has(`${settings.topicPrefix}${name}`));
    // Another process may make some of them now: what counts is that they are there in the end.
    const refusal =
      missing.length === 0 ? null : await create(admin, settings.topicPrefix, missing);
    const isReady = (): Promise<boolean> =>
      missing.length === 0 ? Promise.resolve(true) : areReady(admin, names);
    for (let looks = 1; !(await isReady()); looks++) {
      if (looks >= LOOKS_MAX) throw refusal ?? new Error('they have no leaders yet');
      await ports.clock.sleep(LOOK_MS);
    }
  };
  const { clock } = ports;
  try {
    await within({ clock, ms: 4 * REQUEST_MS, doing: 'making topics' }, make());
  } catch (cause) {
    throw busError(cause, 'making topics');
  } finally {
    const leaving = admin.disconnect();
    await within({ clock, ms: CLOSE_MS_MAX, doing: 'leaving' }, leaving).catch(() => undefined);
  }
}

/** @returns Why it did not succeed; null when it did. */
async function create(
  admin: Admin,
  prefix: string,
  missing: readonly TopicName[],
): Promise<BusError | null> {
  const { brokers } = await admin.describeCluster();
  try {
    await admin.createTopics({
      waitForLeaders: false,
      timeout: REQUEST_MS,
      topics: missing.map((name) => ({
        topic: `${prefix}${name}`,
        numPartitions: TOPICS[name].partitions,
        replicationFactor: Math.max(1, Math.min(REPLICAS_WANTED, brokers.length)),
        configEntries: [{ name: 'retention.ms', value: String(TOPICS[name].retentionMs) }],
      })),
    });
    return null;
  } catch (cause) {
    return busError(cause, 'making topics');
  }
}

/** A broker may not yet know what the controller has made. */
async function areReady(admin: Admin, names: readonly string[]): Promise<boolean> {
  try {
    const { topics } = await admin.fetchTopicMetadata({ topics: [...names] });
    if (!topics.every(({ partitions }) => partitions.every(({ leader }) => leader >= 0)))
      return false;
    for (const name of names) await admin.fetchTopicOffsets(name);
    return true;
  } catch (cause) {
    if (isKafkaError(cause, ...NOT_YET)) return false;
    throw cause;
  }
}
