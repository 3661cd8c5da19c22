import { beforeAll, expect, it } from 'vitest';
import { buildAof } from '../support/aof-run.ts';
import { describeWithS3, S3Server } from '../support/s3-servers.ts';
import { expectOutageSurvived } from '../support/store-outage.ts';

beforeAll(buildAof, 120_000);

const OUTAGE_MS = 600_000;
const TEST_MS = 1_200_000;
/** Of the process that holds archiver, client and test. */
const RSS_GROWTH_BYTES_MAX = 300 * 1024 * 1024;

describeWithS3(
  'a store that is away for ten minutes under load',
  (kind) => {
    it(
      'is waited for: nothing is lost, all is in order, and memory stays bounded',
      { timeout: TEST_MS },
      async () => {
        await using server = await S3Server.start({ kind });
        const before = process.memoryUsage().rss;
        let grown = 0;
        const watch = setInterval(() => {
          grown = Math.max(grown, process.memoryUsage().rss - before);
        }, 1_000);
        try {
          const report = await expectOutageSurvived(server, OUTAGE_MS);
          expect(report.backlogSeconds).toBeGreaterThan(OUTAGE_MS / 2_000);
        } finally {
          clearInterval(watch);
        }
        expect(grown).toBeLessThan(RSS_GROWTH_BYTES_MAX);
      },
    );
  },
  ['versitygw'],
);
