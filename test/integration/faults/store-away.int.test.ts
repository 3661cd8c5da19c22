import { beforeAll, expect, it } from 'vitest';
import { buildAof } from '../../support/aof-run.ts';
import { describeWithS3, S3Server } from '../../support/s3-servers.ts';
import { expectOutageSurvived } from '../../support/store-outage.ts';

beforeAll(buildAof, 120_000);

const OUTAGE_MS = 20_000;

describeWithS3(
  'a store that is away while its node is written to',
  (kind) => {
    it('is waited for: the spool holds what no pin holds, and drains in order', async () => {
      await using server = await S3Server.start({ kind });
      const report = await expectOutageSurvived(server, OUTAGE_MS);
      expect(report.backlogBytes).toBeGreaterThan(100_000);
      expect(report.backlogSeconds).toBeGreaterThan(OUTAGE_MS / 2_000);
    });
  },
  ['versitygw'],
);
