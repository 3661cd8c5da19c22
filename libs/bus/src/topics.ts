import type { TopicName } from './bus.ts';
import { SLOTS } from './group/slots.ts';

/** How a topic is made. */
export interface TopicPlan {
  readonly partitions: number;
  readonly retentionMs: number;
}

const DAY_MS = 86_400_000;

/** A topic that is there already stays as it is. */
export const TOPICS: Readonly<Record<TopicName, TopicPlan>> = {
  events: { partitions: 6, retentionMs: 7 * DAY_MS },
  jobs: { partitions: 6, retentionMs: 7 * DAY_MS },
  'job-events': { partitions: 6, retentionMs: 7 * DAY_MS },
  'job-control': { partitions: 1, retentionMs: DAY_MS },
  writers: { partitions: SLOTS, retentionMs: DAY_MS },
  parked: { partitions: 1, retentionMs: 30 * DAY_MS },
};

/** Names of all topics. */
export const TOPIC_NAMES = Object.keys(TOPICS) as readonly TopicName[];
