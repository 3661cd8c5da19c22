import { packsBeingUndone } from '@tidemark/catalog';
import { withLease } from '@tidemark/workspace';
import { expect, it } from 'vitest';
import { ENDED_MS, expireAt, writeSeconds } from '../../support/retention-run.ts';
import { ARCHIVED, FIRST, TestArchive } from '../../support/test-archive.ts';

it('an undo holds a lease that names its pack and keeps no history', async () => {
  await using archive = await TestArchive.begun();
  await writeSeconds(archive, FIRST, FIRST + 60);
  const { store, keys, catalog } = await archive.environment();
  const before = await expireAt(archive, ENDED_MS, { dryRun: true });
  const reading = { instance: ARCHIVED, fromSecond: null, isLong: true, undoes: 'rs-1' };
  const warn = (message: string): void => expect.fail(message);
  await withLease(reading, { store, keys, catalog }, { warn }, async () => {
    const during = await expireAt(archive, ENDED_MS, { dryRun: true });
    expect(during.marked?.steps).toEqual(before.marked?.steps);
    const { leases } = catalog.instance(ARCHIVED);
    expect(leases).toMatchObject([
      { lease: expect.stringMatching(/^undo-rs-1-[0-9a-f]{8}$/) as string, purpose: 'restore' },
    ]);
    expect(packsBeingUndone(leases, Date.now())).toEqual(['rs-1']);
    expect(packsBeingUndone(leases, Date.now() + 3_600_000)).toEqual([]);
  });
  await archive.environment();
  expect(catalog.instance(ARCHIVED).leases).toEqual([]);
  expect(before.marked?.steps).toHaveLength(1);
});
