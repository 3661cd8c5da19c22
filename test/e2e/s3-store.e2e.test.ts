import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { expect, it } from 'vitest';
import { FaultProxy } from '../support/fault-proxy.ts';
import { diffRestored } from '../support/recorded-seconds.ts';
import { startRedis } from '../support/redis-server.ts';
import { describeWithS3, S3Server } from '../support/s3-servers.ts';
import { INSTANCE, Scenario } from '../support/scenario.ts';
import { TempDir } from '../support/temp-dir.ts';
import { iso, runTidemark, Tidemark } from '../support/tidemark-cli.ts';
import { chooseSeed } from '../support/workload.ts';

/** Arguments of `init` for a new store in the bucket. */
const storeFlags = (server: S3Server, prefix: string): string[] => [
  ...['--store', `s3://${server.bucket}/${prefix}`, '--endpoint', server.endpoint],
  ...['--region', 'us-east-1'],
];

// Servers differ in what the conformance suite asks of both; one is enough for the whole.
describeWithS3(
  'an archive in S3',
  (kind) => {
    it('is captured, restored, copied to another prefix and to a folder, and opens there', async () => {
      await using server = await S3Server.start({ kind });
      const seed = chooseSeed(`s3 ${kind}`);
      const init = storeFlags(server, 'first');
      await using scenario = await Scenario.start({ workload: { seed }, init });
      const { tidemark, workload, recorder } = scenario;
      await workload.open();
      await tidemark.serve();
      await recorder.record(workload, 2);
      const last = recorder.recorded.at(-1);
      if (last === undefined) throw new Error('nothing was recorded');
      await tidemark.untilProven(INSTANCE, last.second);
      for (const one of new Set([recorder.recorded[0], last])) {
        if (one !== undefined) await scenario.expectRestored(one);
      }
      const doctor = await tidemark.json<{
        readonly healthy: boolean;
        readonly findings: readonly { readonly check: string; readonly detail: string }[];
      }>('doctor');
      expect(doctor.healthy).toBe(true);
      expect(doctor.findings.find(({ check }) => check === 'store')?.detail).toContain(
        `s3://${server.bucket}/first: conditional create holds`,
      );

      // Beside the running archiver; a second run sends only what is new.
      const second = storeFlags(server, 'second').slice(1);
      const to = ['repo', 'copy', '--to', ...second];
      const copied = await tidemark.json<{ readonly copied: number; readonly kept: number }>(...to);
      expect(copied.copied).toBeGreaterThan(2);
      const again = await tidemark.json<{ readonly kept: number; readonly verified: number }>(
        ...[...to, '--verify'],
      );
      expect(again).toMatchObject({ kept: copied.copied + copied.kept });
      expect(again.verified).toBeGreaterThanOrEqual(copied.copied);

      await using folder = await TempDir.create();
      const folderUrl = pathToFileURL(join(folder.path, 'copy')).href;
      await tidemark.json('repo', 'copy', '--to', folderUrl);
      const ring = join(tidemark.dir, 'ring');
      for (const place of [second, [folderUrl]]) {
        const keyring = ['--adopt', ...place, '--keyring', ring];
        await using adopted = await Tidemark.init(keyring, '', 'ring');
        await using target = await startRedis({ aof: false, config: { databases: '16' } });
        await adopted.restore(INSTANCE, last.second, target);
        const differences = await diffRestored(last.oracle, target, await target.connect());
        expect(differences, iso(last.second)).toEqual([]);
      }
    });
  },
  ['versitygw'],
);

describeWithS3(
  'a store that cannot be used',
  (kind) => {
    it('is refused by init, with what is wrong, and nothing is left behind', async () => {
      await using server = await S3Server.start({ kind });
      await using dir = await TempDir.create();
      const init = (...flags: readonly string[]): ReturnType<typeof runTidemark> =>
        runTidemark(['init', '--dir', dir.path, ...flags, '-o', 'json']);
      const missing = await init('--store', 's3://not-there/x', '--endpoint', server.endpoint);
      expect(missing).toMatchObject({ code: 2, out: '' });
      expect(missing.err).toContain('TM_STORE_URL');
      await rm(join(dir.path, 'ring'), { recursive: true });

      // An old server knows no conditions; moto checks no signatures, so that one can be taken out.
      await using proxy = await FaultProxy.start(server.endpoint);
      proxy.dropHeader = 'if-none-match';
      const old = await init('--store', `s3://${server.bucket}/x`, '--endpoint', proxy.url);
      expect(old).toMatchObject({ code: 2, out: '' });
      expect(old.err).toContain('TM_STORE_FENCING');
    });

    it('ends an archiver before it claims anything, when it lost its conditions since', async () => {
      await using server = await S3Server.start({ kind });
      await using proxy = await FaultProxy.start(server.endpoint);
      const init = ['--store', `s3://${server.bucket}/x`, '--endpoint', proxy.url];
      await using tidemark = await Tidemark.init(init);
      await using source = await startRedis({});
      await tidemark.add('orders', source);
      proxy.dropHeader = 'if-none-match';
      const archiver = tidemark.spawnArchiver();
      expect(await archiver.exited).toBe(2);
      expect(archiver.log).toContain('TM_STORE_FENCING');
    });
  },
  ['moto'],
);
