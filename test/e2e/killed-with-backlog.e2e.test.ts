import { readdirSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { FaultProxy } from '../support/fault-proxy.ts';
import { describeWithS3, S3Server } from '../support/s3-servers.ts';
import { INSTANCE, Scenario } from '../support/scenario.ts';
import { secondOf, type Tidemark } from '../support/tidemark-cli.ts';
import { chooseSeed, Dice } from '../support/workload.ts';

const KILLS = 2;
const PATIENCE = { timeout: 60_000, interval: 50 };
const RESTORES = 3;

describeWithS3(
  'an archiver that is killed while sealed segments wait for the store',
  (kind) => {
    it('brings them in order and once, goes on, and every second restores equal', async () => {
      const seed = chooseSeed('killed with a backlog');
      const dice = new Dice(seed);
      await using server = await S3Server.start({ kind });
      await using proxy = await FaultProxy.start(server.endpoint);
      const init = [
        ...['--store', `s3://${server.bucket}/backlog`],
        ...['--endpoint', proxy.url, '--region', 'us-east-1'],
      ];
      const config = { 'auto-aof-rewrite-percentage': '0' };
      await using scenario = await Scenario.start({ workload: { seed }, init, config });
      const { tidemark, workload, recorder } = scenario;
      await rollOften(tidemark);
      await workload.open();
      let archiver = await tidemark.serve();
      await recorder.record(workload, 1);
      await tidemark.untilProven(INSTANCE, recorder.recorded.at(-1)?.second ?? Infinity);

      const over = new AbortController();
      const killing = (async (): Promise<void> => {
        for (let kills = 0; kills < KILLS; kills++) {
          proxy.down = true;
          await expect.poll(() => waiting(tidemark), PATIENCE).toBeGreaterThan(1);
          await archiver.kill();
          proxy.down = false;
          archiver = tidemark.spawnArchiver();
          // Before, while or after what waited is brought in.
          await delay(dice.between(0, 3_000));
          await archiver.kill();
          archiver = await tidemark.serve();
        }
      })().finally(() => over.abort());
      killing.catch(() => undefined); // it is awaited below
      while (!over.signal.aborted) await recorder.recordOne(workload);
      await killing;
      await recorder.record(workload, 2);

      const { recorded } = recorder;
      const windows = await tidemark.untilProven(INSTANCE, recorded.at(-1)?.second ?? Infinity);
      expect(secondOf(windows.earliest ?? '')).toBeLessThanOrEqual(recorded[0]?.second ?? 0);
      expect(windows.shards[0]?.holes).toEqual([]);
      expect(windows.shards[0]?.ranges).toHaveLength(1);
      const some = Array.from({ length: RESTORES - 1 }, () =>
        recorded.at(dice.between(0, recorded.length - 1)),
      );
      for (const one of new Set([...some, recorded.at(-1)])) {
        if (one !== undefined) await scenario.expectRestored(one);
      }
    });
  },
  ['versitygw'],
);

/** Sealed objects that lie in the spool. */
function waiting(tidemark: Tidemark): number {
  const names = readdirSync(join(tidemark.dir, 'state', 'spool', INSTANCE));
  return names.filter((name) => name.endsWith('.json')).length;
}

/** Several segments wait, not one large one. */
async function rollOften({ config }: Tidemark): Promise<void> {
  const text = await readFile(config, 'utf8');
  const often = text.replace(/roll_max_bytes = "\w+"/, 'roll_max_bytes = "16KiB"');
  expect(often).not.toBe(text);
  await writeFile(config, often);
}
