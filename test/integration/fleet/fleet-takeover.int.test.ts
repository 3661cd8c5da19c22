import { it } from 'vitest';
import { tellFleetStory } from '../../support/fleet-story.ts';
import { describeWithKafka } from '../../support/kafka.ts';
import { describeWithS3 } from '../../support/s3-servers.ts';

/** Half of it on a machine that does nothing else. */
const TAKEOVER_MS_MAX = 45_000;
const BROKER_AWAY_MS = 20_000;
const TIMEOUT_MS = 300_000;

describeWithS3(
  'archivers that share six servers',
  () => {
    describeWithKafka('over a broker', () => {
      it(
        'go on where one is killed, frozen or cut off, from all, from the store or from the broker, and where the broker is away: no hole, one owner at a time',
        () =>
          tellFleetStory({
            shards: 6,
            heartbeat: '4s',
            brokerAwayMs: BROKER_AWAY_MS,
            brokerDies: false,
            takeoverMsMax: TAKEOVER_MS_MAX,
          }),
        TIMEOUT_MS,
      );
    });
  },
  ['versitygw'],
);
