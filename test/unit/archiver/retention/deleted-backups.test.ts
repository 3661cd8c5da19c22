import { openInstanceLog, type InstanceEvent, type InstanceLog } from '@tidemark/catalog';
import { bytesOf } from '@tidemark/core';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { revokeTombstone } from '../../../../services/archiver/src/retention/run-retention.ts';
import { preparePlan } from '../../../../services/restorer/src/run/prepared-plan.ts';
import { verifyRepo } from '../../../../services/restorer/src/verify/verify-repo.ts';
import { seededRandom } from '../../../support/crypto-ports.ts';
import { LOG_KEY } from '../../../support/log-events.ts';
import {
  DAY_MS,
  ENDED_MS,
  expireAt,
  restorableSeconds,
  writeSeconds,
} from '../../../support/retention-run.ts';
import { RdbBuilder } from '../../../support/rdb-builder.ts';
import { steppingClock } from '../../../support/stepping-clock.ts';
import { ARCHIVED, FIRST, TestArchive } from '../../../support/test-archive.ts';

const LAST = FIRST + 99;
/** All of it is kept. */
const KEPT = { retainSeconds: 3_600 };
const KEPT_HALF = { ...KEPT, shareMax: 0.5 };
/** More bytes than all the rest, and none of them compresses. */
const BIG = new RdbBuilder({ version: 10 })
  .selectDb(0)
  .string('old', seededRandom('big').bytes(262_144).toString('hex'))
  .build();
/** In the midst of what is kept; `bk-t1-60` stands before it. */
const MIDDLE = 'bk-t1-80';

let archive: TestArchive;
beforeEach(async () => {
  archive = await TestArchive.begun();
  await writeSeconds(archive, FIRST, LAST);
});
afterEach(() => archive[Symbol.asyncDispose]());

const snapshots = (): readonly string[] =>
  archive.store.keys().filter((key) => key.includes('/rdb/'));

async function instanceLog({ store } = archive): Promise<InstanceLog> {
  const [clock, random] = [steppingClock(ENDED_MS), seededRandom('caller')];
  return openInstanceLog({ store, iid: ARCHIVED, logKey: LOG_KEY, clock, random });
}

async function say(event: InstanceEvent, of = archive): Promise<void> {
  await (await instanceLog(of)).append(() => event);
}

const deleteOne = async (backup: string, of = archive): Promise<void> =>
  say({ type: 'BackupDeleted', backup, by: 'ops', atMs: ENDED_MS }, of);

async function faults(): Promise<readonly string[]> {
  const { store, keys, signal } = await archive.environment();
  const { faults: found } = await verifyRepo({ store, keys, signal, onProgress: () => undefined });
  return found.map(({ message }) => message);
}

async function shownBackups(): Promise<readonly string[]> {
  const { catalog } = await archive.environment();
  return catalog.snapshots(ARCHIVED).map(({ backup }) => backup);
}

describe('retention of a backup that somebody deleted', () => {
  it('takes it out of the midst of what is kept, and no second with it', async () => {
    const [before, all] = [await restorableSeconds(archive, FIRST, LAST), snapshots().length];
    expect((await expireAt(archive, ENDED_MS, KEPT)).marked).toBeNull();
    await deleteOne(MIDDLE);
    expect(await restorableSeconds(archive, FIRST, LAST)).toEqual(before);
    const dry = await expireAt(archive, ENDED_MS, { ...KEPT, dryRun: true });
    expect(dry.marked).toMatchObject({
      ...{ steps: [], dropped: [{ backup: MIDDLE, amount: { objects: 1 } }] },
      ...{ amount: { objects: 1 }, earliestBefore: FIRST, earliestAfter: FIRST },
    });
    expect(await shownBackups()).toContain(MIDDLE);
    await expireAt(archive, ENDED_MS, KEPT);
    expect(await shownBackups()).not.toContain(MIDDLE);
    expect(snapshots()).toHaveLength(all);
    const early = await expireAt(archive, ENDED_MS + DAY_MS - 1, KEPT);
    expect(early).toMatchObject({ deleted: null, standing: { backups: [MIDDLE], begun: false } });
    const { deleted, standing } = await expireAt(archive, ENDED_MS + DAY_MS, KEPT);
    expect([deleted, standing]).toEqual([expect.objectContaining({ objects: 1, locked: 0 }), null]);
    expect(snapshots()).toHaveLength(all - 1);
    expect(await restorableSeconds(archive, FIRST, LAST)).toEqual(before);
    expect(await faults()).toEqual([]);
    expect(await expireAt(archive, ENDED_MS + DAY_MS, KEPT)).toMatchObject({
      ...{ deleted: null, marked: null, standing: null },
    });
    // Another catalog, that reads the log from its beginning, says the same.
    const { catalog } = await archive.environment();
    catalog.clear();
    expect(await shownBackups()).not.toContain(MIDDLE);
    expect(await restorableSeconds(archive, FIRST, LAST)).toEqual(before);
  });

  it('takes the key of the newest one with it: it seals nothing else', async () => {
    const { catalog } = await archive.environment();
    const newest = catalog.snapshots(ARCHIVED).at(-1)!;
    await deleteOne(newest.backup);
    await expireAt(archive, ENDED_MS, KEPT);
    const { deleted } = await expireAt(archive, ENDED_MS + DAY_MS, KEPT);
    expect(deleted).toMatchObject({ objects: 1, dataKeys: 1 });
    expect(archive.store.keys().filter((key) => key.includes(newest.object.dekId))).toEqual([]);
    expect(await faults()).toEqual([]);
  });

  it('keeps the first of a history: without it its seconds could not be restored', async () => {
    await deleteOne('bk-0');
    expect((await expireAt(archive, ENDED_MS, KEPT)).marked).toBeNull();
    expect(await restorableSeconds(archive, FIRST, FIRST + 19)).not.toEqual([]);
  });

  it('looks again before it deletes: a reader that came meanwhile makes it take the mark back', async () => {
    await deleteOne(MIDDLE);
    await expireAt(archive, ENDED_MS, KEPT);
    const all = snapshots().length;
    await say({
      ...{ type: 'LeaseTaken', lease: 'ls-1', purpose: 'restore', fromSecond: FIRST + 90 },
      ...{ untilMs: ENDED_MS + 2 * DAY_MS, atMs: ENDED_MS },
    });
    const { revoked, deleted, marked } = await expireAt(archive, ENDED_MS + DAY_MS, KEPT);
    expect([typeof revoked, deleted, marked]).toEqual(['string', null, null]);
    expect(snapshots()).toHaveLength(all);
    expect(await shownBackups()).toContain(MIDDLE);
  });

  it('can be taken back like any mark, but the backup stays deleted', async () => {
    await deleteOne(MIDDLE);
    await expireAt(archive, ENDED_MS, KEPT);
    const ports = await archive.environment(ENDED_MS);
    expect(await revokeTombstone(ARCHIVED, ports)).not.toBeNull();
    expect(await shownBackups()).toContain(MIDDLE);
    expect((await expireAt(archive, ENDED_MS, KEPT)).marked?.dropped).toHaveLength(1);
  });

  it('does not count it among the newest ones that are kept', async () => {
    const rules = { retainSeconds: 30, keepLast: 4 };
    const before = await expireAt(archive, ENDED_MS, { ...rules, dryRun: true });
    expect(before.marked?.steps.flatMap(({ backups }) => backups)).toEqual(['bk-0']);
    await deleteOne('bk-t1-20');
    await deleteOne('bk-t1-40');
    const after = await expireAt(archive, ENDED_MS, { ...rules, keepLast: 2, dryRun: true });
    expect(after.marked?.steps.flatMap(({ backups }) => backups)).toEqual([
      ...['bk-0', 'bk-t1-20', 'bk-t1-40'],
    ]);
    // With what is before it kept, it goes alone.
    const alone = await expireAt(archive, ENDED_MS, { ...rules, keepLast: 3, dryRun: true });
    expect(alone.marked?.steps).toEqual([]);
    expect(alone.marked?.dropped.map(({ backup }) => backup)).toEqual(['bk-t1-20', 'bk-t1-40']);
  });

  it('goes however large it is: its bytes count on neither side of the share of one run', async () => {
    const half = { shareMax: 0.5, dryRun: true };
    const before = await expireAt(archive, ENDED_MS, half);
    await archive.snapshot('bk-big', BIG, LAST + 1);
    expect((await expireAt(archive, ENDED_MS, half)).marked?.steps).not.toEqual(
      before.marked?.steps,
    );
    await deleteOne('bk-big');
    const { marked } = await expireAt(archive, ENDED_MS, { ...half, dryRun: false });
    expect(marked).toMatchObject({ limited: true, dropped: [{ backup: 'bk-big' }] });
    expect(marked?.steps).toEqual(before.marked?.steps);
    const key = archive.store.keys().find((one) => one.includes('bk-big'))!;
    // The store holds it for a while: found again as an object without a name, it is not counted either.
    const sealed = archive.store.objects.get(key)!;
    await expireAt(archive, ENDED_MS + DAY_MS, { shareMax: 0.5 });
    expect(archive.store.objects.has(key)).toBe(false);
    await archive.store.putIfAbsent(key, bytesOf(sealed));
    const { marked: again } = await expireAt(archive, ENDED_MS + 2 * DAY_MS, KEPT_HALF);
    expect(again).toMatchObject({ limited: false, unnamed: { objects: 1 } });
  });

  it('goes by the share like the rest where its seconds are what is too old', async () => {
    await using other = await TestArchive.begun(BIG);
    await writeSeconds(other, FIRST, LAST);
    const half = { shareMax: 0.5, dryRun: true };
    expect((await expireAt(other, ENDED_MS, half)).marked).toMatchObject({
      ...{ limited: true, steps: [] },
    });
    await deleteOne('bk-0', other);
    expect((await expireAt(other, ENDED_MS, half)).marked).toMatchObject({
      ...{ limited: true, steps: [] },
    });
    // Kept as one of the newest ones it goes because somebody said so.
    const newest = { ...half, keepLast: 5 };
    const { marked } = await expireAt(other, ENDED_MS, newest);
    expect(marked?.steps.flatMap(({ backups }) => backups)).toEqual(['bk-0']);
  });

  it('forgets what was said of backups once they are below what is kept', async () => {
    await deleteOne('bk-t1-20');
    await say({
      ...{ type: 'BackupLabelled', backup: MIDDLE, by: 'ops', atMs: ENDED_MS },
      labels: [{ key: 'team', value: 'data' }],
    });
    await expireAt(archive, ENDED_MS);
    await expireAt(archive, ENDED_MS + DAY_MS);
    const { state } = await instanceLog();
    expect(state).toMatchObject({ backups: [{ backup: MIDDLE }], expiry: { dropped: [] } });
  });

  it('is the source of nothing new; the second right behind it still is one', async () => {
    await deleteOne(MIDDLE);
    const environment = await archive.environment();
    const ask = async (point: Parameters<typeof preparePlan>[0]['point']): Promise<unknown> => {
      await using prepared = await preparePlan(
        { instance: ARCHIVED, point, ttl: { mode: 'absolute' } },
        environment,
      );
      return prepared.plan.snapshot.backup;
    };
    await expect(ask({ kind: 'backup', backup: MIDDLE })).rejects.toMatchObject({
      ...{ code: 'TM_BACKUP_DELETED', exitCode: 10, context: { backup: MIDDLE, by: 'ops' } },
    });
    expect(await ask({ kind: 'second', second: FIRST + 80 })).toBe(MIDDLE);
    await expireAt(archive, ENDED_MS, KEPT);
    expect(await ask({ kind: 'second', second: FIRST + 80 })).toBe('bk-t1-60');
  });
});
