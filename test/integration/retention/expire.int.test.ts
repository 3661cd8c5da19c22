import { snapshotKey } from '@tidemark/archive';
import type { Clock } from '@tidemark/core';
import { systemClock, systemRandom } from '@tidemark/system';
import { beforeAll, expect, it } from 'vitest';
import type { RetentionReport } from '../../../services/archiver/src/retention/run-retention.ts';
import { runRetention } from '../../../services/archiver/src/retention/run-retention.ts';
import { verifyRepo } from '../../../services/restorer/src/verify/verify-repo.ts';
import { buildAof } from '../../support/aof-run.ts';
import { INSTANCE } from '../../support/archiver-run.ts';
import { NodeLife } from '../../support/node-life.ts';

const DAY_MS = 86_400_000;

beforeAll(buildAof, 120_000);

/** Runs retention as it would run so many days from now. */
async function expireIn(
  days: number,
  life: NodeLife,
  retainSeconds: number,
): Promise<RetentionReport> {
  const clock: Clock = { ...systemClock, nowMs: () => systemClock.nowMs() + days * DAY_MS };
  const { store, keys } = life.bench;
  const { signal } = new AbortController();
  return life.bench.withCatalog((catalog) =>
    runRetention(
      {
        ...{ instance: INSTANCE, stateDir: life.bench.stateDir(), dryRun: false },
        ...{ retainSeconds, graceMs: DAY_MS, shareMax: 1 },
      },
      { store, keys, catalog, clock, random: systemRandom, signal },
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
  const { marked } = await expireIn(0, life, 2);
  const earliest = marked?.earliestAfter ?? 0;
  expect(marked?.earliestBefore).toBeLessThan(earliest);
  const hidden = await life.expectKeptFrom(earliest);
  expect(hidden.kept).toBeGreaterThan(1);
  expect(hidden.gone).toBeGreaterThan(3);

  await life.record(1); // the archiver goes on meanwhile
  await life.untilProven();
  const { deleted, revoked } = await expireIn(1, life, 2);
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
