import type { Cluster } from 'kafkajs';
import { BusError } from '@tidemark/core';
import type { Client } from './client.ts';

/** The connections of a client to its brokers. */
export interface OpenCluster {
  readonly cluster: Cluster;
  readonly disconnect: () => Promise<void>;
}

const NAME = 'tidemark';

/**
 * What kafkajs gives to those who share partitions out: requests to the brokers themselves, for what
 * its consumer cannot do. Nothing is sent yet, and no group joined.
 */
export function clusterOf(client: Client, group: string): OpenCluster {
  const given: Cluster[] = [];
  const consumer = client.kafka.consumer({
    groupId: group,
    allowAutoTopicCreation: false,
    partitionAssigners: [
      ({ cluster }) => {
        given.push(cluster);
        return {
          name: NAME,
          version: 0,
          protocol: () => ({ name: NAME, metadata: Buffer.alloc(0) }),
          assign: () => Promise.resolve([]),
        };
      },
    ],
  });
  const [cluster] = given;
  if (cluster === undefined) throw new BusError('TM_INTERNAL', 'kafkajs made no assigner');
  return { cluster, disconnect: () => consumer.disconnect() };
}
