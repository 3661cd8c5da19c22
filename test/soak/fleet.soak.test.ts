import { it } from 'vitest';
import { tellFleetStory } from '../support/fleet-story.ts';
import { describeWithKafka } from '../support/kafka.ts';
import { describeWithS3 } from '../support/s3-servers.ts';

const TIMEOUT_MS = 900_000;

describeWithS3(
  'archivers that share twelve servers',
  () => {
    describeWithKafka('over a broker that is away for a minute', () => {
      it(
        'take over within 30 seconds, and nothing is lost',
        () =>
          tellFleetStory({
            ...{ shards: 12, takeoverMsMax: 30_000 },
            ...{ brokerAwayMs: 60_000, brokerDies: true },
          }),
        TIMEOUT_MS,
      );
    });
  },
  ['versitygw'],
);
