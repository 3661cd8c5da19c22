import { snapshotKey } from '@tidemark/archive';
import { systemClock, systemRandom } from '@tidemark/system';
import { beforeAll, expect, it } from 'vitest';
import type { RetentionReport } from '../../../services/archiver/src/retention/run-retention.ts';
import { runRetention } from '../../../services/archiver/src/retention/run-retention.ts';
import { verifyRepo } from '../../../services/restorer/src/verify/verify-repo.ts';
import { buildAof } from '../../support/aof-run.ts';
import { INSTANCE } from '../../support/archiver-run.ts';
import { NodeLife } from '../../support/node-life.ts';

beforeAll(buildAof, 120_000);

/** Runs retention beside the archiver; what it marked is deleted by the next run. */
async function expire(life: NodeLife, retainSeconds: number): Promise<RetentionReport> {
  const { store, keys } = life.bench;
  const { signal } = new AbortController();
  return life.bench.withCatalog((catalog) =>
    runRetention(
      {
        ...{ instance: INSTANCE, stateDir: life.bench.stateDir(), dryRun: false },
        ...{ retainSeconds, graceMs: 1, shareMax: 1 },
      },
      { store, keys, catalog, clock: systemClock, random: systemRandom, signal },
    ),
  );
}

it('keeps what the policy keeps of several snapshots and timelines, every second equal', async () => {
  await using life = await NodeLife.start();
  const client = await life.server.connect();
  await life.record(2);
  await life.archiver.ask('backup');
  await life.record(2);
  await client.config('SET', 'appendonly', 'no');
  await client.config('SET', 'appendonly', 'yes');
  await life.untilTimeline(2);
  await life.record(2);
  await life.archiver.ask('backup');
  await life.record(3);
  await life.untilProven();
  const backups = await life.bench.withCatalog((catalog) => catalog.snapshots(INSTANCE));

  // The newest timeline alone, but not its beginning.
  const { marked } = await expire(life, 2);
  const earliest = marked?.earliestAfter ?? 0;
  expect(marked?.earliestBefore).toBeLessThan(earliest);
  const hidden = await life.expectKeptFrom(earliest);
  expect(hidden.kept).toBeGreaterThan(1);
  expect(hidden.gone).toBeGreaterThan(3);

  await life.record(1); // the archiver goes on meanwhile
  await life.untilProven();
  const { deleted, revoked } = await expire(life, 2);
  expect(revoked).toBeNull();
  expect(deleted?.objects).toBeGreaterThan(1);
  const { store, keys } = life.bench;
  const isThere = await Promise.all(
    backups.map(
      async ({ backup, object: { shard, writer } }) =>
        (await store.head(snapshotKey(INSTANCE, shard, writer, backup))) !== null,
    ),
  );
  expect(isThere.filter((there) => !there).length).toBeGreaterThan(1);
  expect((await life.expectKeptFrom(earliest)).kept).toBe(hidden.kept + 1);
  const { signal } = new AbortController();
  const whole = await verifyRepo({ store, keys, signal, onProgress: () => undefined });
  expect(whole.faults).toEqual([]);
}, 120_000);
