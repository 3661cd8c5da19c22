import { openStore } from '@tidemark/store';
import { systemClock, systemRandom } from '@tidemark/system';
import { afterAll, beforeAll } from 'vitest';
import { describeWithS3, S3Server } from '../../support/s3-servers.ts';
import { describeObjectStore } from '../../conformance/object-store-suite.ts';

/** Several pages of a listing. */
const LISTED = 330;
const s3Limits = { pageKeys: 100 };

describeWithS3('a bucket', (kind) => {
  let server: S3Server;
  let stores = 0;
  beforeAll(async () => {
    server = await S3Server.start({ kind });
  }, 120_000);
  afterAll(() => server[Symbol.asyncDispose]());

  describeObjectStore(
    'it',
    async () => {
      // Every other store with checksums of the SDK, and one at the top of its bucket.
      const settings = server.settings({
        prefix: `store-${stores}/within`,
        checksum: stores % 2 === 0 ? 'when_required' : 'when_supported',
      });
      stores++;
      return {
        store: await openStore(settings, { random: systemRandom, clock: systemClock, s3Limits }),
        child: settings,
        dispose: () => Promise.resolve(),
      };
    },
    LISTED,
  );
});
