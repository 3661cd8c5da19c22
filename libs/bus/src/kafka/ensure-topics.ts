import { TOPICS, TOPIC_NAMES } from '../topics.ts';
import { openClient, REQUEST_MS, type ClientOptions } from './client.ts';
import { within } from './deadline.ts';
import { busError } from './errors.ts';

const REPLICAS_WANTED = 3;
const CLOSE_MS_MAX = 2_000;

/**
 * Makes the topics that are not there: with three replicas, or as many as there are brokers.
 * @throws BusError `TM_BUS_DOWN`; `TM_BUS_REFUSED` when they are missing and may not be made.
 */
export async function ensureTopics(options: ClientOptions): Promise<void> {
  const { settings, ports } = options;
  using client = openClient(options);
  const admin = client.kafka.admin();
  const make = async (): Promise<void> => {
    await admin.connect();
    const known = new Set(await admin.listTopics());
    const missing = TOPIC_NAMES.filter((name) => !known.has(`${settings.topicPrefix}${name}`));
    if (missing.length === 0) return;
    const { brokers } = await admin.describeCluster();
    await admin.createTopics({
      waitForLeaders: true,
      timeout: REQUEST_MS,
      topics: missing.map((name) => ({
        topic: `${settings.topicPrefix}${name}`,
        numPartitions: TOPICS[name].partitions,
        replicationFactor: Math.max(1, Math.min(REPLICAS_WANTED, brokers.length)),
        configEntries: [{ name: 'retention.ms', value: String(TOPICS[name].retentionMs) }],
      })),
    });
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
