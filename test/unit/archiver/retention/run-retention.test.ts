import {
  openInstanceLog,
  type BackupPolicy,
  type InstanceLog,
  type LeaseTaken,
} from '@tidemark/catalog';
import { StoreError } from '@tidemark/core';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { revokeTombstone } from '../../../../services/archiver/src/retention/run-retention.ts';
import { verifyRepo } from '../../../../services/restorer/src/verify/verify-repo.ts';
import { seededRandom } from '../../../support/crypto-ports.ts';
import { LOG, LOG_KEY } from '../../../support/log-events.ts';
import {
  DAY_MS,
  ENDED_MS,
  expireAt,
  planAt,
  restorableSeconds,
  writeSeconds,
} from '../../../support/retention-run.ts';
import { steppingClock } from '../../../support/stepping-clock.ts';
import { ARCHIVED, FIRST, TestArchive } from '../../../support/test-archive.ts';

const LAST = FIRST + 99;

let archive: TestArchive;
beforeEach(async () => {
  archive = await TestArchive.begun();
  await writeSeconds(archive, FIRST, LAST);
});
afterEach(() => archive[Symbol.asyncDispose]());

const dataKeys = (): string[] => archive.store.keys().filter((key) => !key.includes('/log/'));
const seconds = (from: number): number[] =>
  Array.from({ length: Math.floor((LAST - from) / 4) + 1 }, (_, i) => from + 4 * i);

async function instanceLog(): Promise<InstanceLog> {
  const [clock, random] = [steppingClock(ENDED_MS), seededRandom('reader')];
  return openInstanceLog({ store: archive.store, iid: ARCHIVED, logKey: LOG_KEY, clock, random });
}

/** Destroys the data key of a backup. */
async function shred(backup: string): Promise<void> {
  const { catalog } = await archive.environment();
  const dekId = catalog.snapshots(ARCHIVED).find((one) => one.backup === backup)?.object.dekId;
  const dekIds = dekId === undefined ? [] : [dekId];
  const log = await instanceLog();
  await log.append(() => ({ type: 'KeyShredded', scope: 'snapshot', dekIds, atMs: ENDED_MS }));
}

async function setPolicy(policy: BackupPolicy): Promise<void> {
  const log = await instanceLog();
  await log.append(() => ({ type: 'PolicySet', policy, atMs: ENDED_MS }));
}

async function takeLease(over: Partial<LeaseTaken> = {}): Promise<InstanceLog> {
  const log = await instanceLog();
  await log.append(() => ({
    ...{ type: 'LeaseTaken', lease: 'ls-1', purpose: 'restore', fromSecond: FIRST + 10 },
    ...{ untilMs: ENDED_MS + 2 * DAY_MS, atMs: ENDED_MS },
    ...over,
  }));
  return log;
}

async function faults(): Promise<readonly string[]> {
  const { store, keys, signal } = await archive.environment();
  const { faults: found } = await verifyRepo({ store, keys, signal, onProgress: () => undefined });
  return found.map(({ message }) => message);
}

describe('runRetention()', () => {
  it('says in a dry run what would go, and touches nothing', async () => {
    const before = archive.store.keys();
    const { marked, deleted } = await expireAt(archive, ENDED_MS, { dryRun: true });
    expect(archive.store.keys()).toEqual(before);
    expect(deleted).toBeNull();
    expect(marked).toMatchObject({
      ...{ tombstone: null, limited: false, earliestBefore: FIRST, earliestAfter: FIRST + 60 },
      steps: [
        {
          floor: { writer: LOG.writer, timeline: 't1' },
          backups: ['bk-0', 'bk-t1-20', 'bk-t1-40'],
        },
      ],
    });
    expect(marked?.amount.objects).toBeGreaterThan(3);
  });

  it('hides what it marked at once, and deletes it only after the grace', async () => {
    const before = dataKeys();
    await expireAt(archive, ENDED_MS);
    expect(dataKeys()).toEqual(before);
    expect(await restorableSeconds(archive, FIRST, LAST)).toEqual(seconds(FIRST + 60));
    await expect(planAt(archive, FIRST + 59)).rejects.toMatchObject({
      ...{ code: 'TM_TIME_NOT_RESTORABLE', exitCode: 13 },
      context: { second: FIRST + 59, nearestAfter: FIRST + 60 },
    });
    const early = await expireAt(archive, ENDED_MS + DAY_MS - 1);
    expect(early).toMatchObject({ deleted: null, marked: null, standing: { begun: false } });
    expect(dataKeys()).toEqual(before);
    const { deleted, standing } = await expireAt(archive, ENDED_MS + DAY_MS);
    expect(standing).toBeNull();
    expect(deleted).toMatchObject({ objects: 3, dataKeys: 3, locked: 0 });
    const gone = before.filter((key) => !archive.store.objects.has(key));
    expect(gone.filter((key) => key.includes('/rdb/'))).toHaveLength(3);
    expect(await restorableSeconds(archive, FIRST, LAST)).toEqual(seconds(FIRST + 60));
    expect(await faults()).toEqual([]);
    const again = await expireAt(archive, ENDED_MS + DAY_MS);
    expect(again).toMatchObject({ deleted: null, marked: null, standing: null });
  });

  it('says the same of a store that another catalog reads anew', async () => {
    await expireAt(archive, ENDED_MS);
    await expireAt(archive, ENDED_MS + DAY_MS);
    const { catalog } = await archive.environment();
    const shown = [catalog.windows(ARCHIVED), catalog.snapshots(ARCHIVED)];
    catalog.clear();
    await archive.environment();
    expect([catalog.windows(ARCHIVED), catalog.snapshots(ARCHIVED)]).toEqual(shown);
  });

  it('keeps what a reader holds, until its lease ends', async () => {
    await takeLease();
    const { marked } = await expireAt(archive, ENDED_MS);
    expect(marked).toBeNull();
    const later = await expireAt(archive, ENDED_MS + 2 * DAY_MS);
    expect(later.marked).toMatchObject({ earliestAfter: FIRST + 60 });
  });

  it('never lets the clock end a hold', async () => {
    const log = await takeLease({ purpose: 'hold', untilMs: ENDED_MS });
    expect((await expireAt(archive, ENDED_MS + 4_000 * DAY_MS)).marked).toBeNull();
    await log.append(() => ({ type: 'LeaseReleased', lease: 'ls-1', atMs: ENDED_MS }));
    expect((await expireAt(archive, ENDED_MS)).marked).not.toBeNull();
  });

  it('keeps the backup that serves in the place of one whose key was destroyed', async () => {
    await shred('bk-t1-60');
    const { marked } = await expireAt(archive, ENDED_MS);
    expect(marked?.steps).toMatchObject([{ backups: ['bk-0', 'bk-t1-20'] }]);
    await expireAt(archive, ENDED_MS + DAY_MS);
    expect(await restorableSeconds(archive, FIRST, LAST)).toEqual(seconds(FIRST + 40));
  });

  it('takes a mark back when the key of what served in its place was destroyed since', async () => {
    await expireAt(archive, ENDED_MS);
    await shred('bk-t1-60');
    const later = await expireAt(archive, ENDED_MS + DAY_MS);
    expect(later.deleted).toBeNull();
    expect(later.revoked).toMatch(/^ts-/);
    expect(await restorableSeconds(archive, FIRST + 40, LAST)).toEqual(seconds(FIRST + 40));
  });

  it('takes a mark back when somebody reads from it by the end of the grace', async () => {
    await expireAt(archive, ENDED_MS);
    await takeLease();
    const later = await expireAt(archive, ENDED_MS + DAY_MS);
    expect(later).toMatchObject({ deleted: null, marked: null, standing: null });
    expect(later.revoked).toMatch(/^ts-/);
    expect(await restorableSeconds(archive, FIRST, LAST)).toEqual(seconds(FIRST));
  });

  it('takes a mark back when it is told to, and when the policy keeps more by then', async () => {
    await expireAt(archive, ENDED_MS);
    const environment = await archive.environment(ENDED_MS);
    expect(await revokeTombstone(ARCHIVED, environment)).toMatch(/^ts-/);
    expect(await revokeTombstone(ARCHIVED, environment)).toBeNull();
    expect(await restorableSeconds(archive, FIRST, LAST)).toEqual(seconds(FIRST));
    await expireAt(archive, ENDED_MS);
    const later = await expireAt(archive, ENDED_MS + DAY_MS, { retainSeconds: 1_000 });
    expect(later).toMatchObject({ deleted: null, standing: null });
    expect(later.revoked).not.toBeNull();
  });

  it('keeps the newest backups that host or policy says, and takes a mark back for them', async () => {
    const all = await expireAt(archive, ENDED_MS, { dryRun: true });
    const gone = all.marked?.steps[0]?.backups ?? [];
    expect(gone.length).toBeGreaterThan(1);
    const { catalog } = await archive.environment();
    const whole = catalog.snapshots(ARCHIVED).length;
    const host = await expireAt(archive, ENDED_MS, { dryRun: true, keepLast: whole });
    expect(host).toMatchObject({ marked: null, keepLast: whole, retainedBy: 'host' });
    await expireAt(archive, ENDED_MS);
    await setPolicy({ days: ['mon'], hours: ['03:00'], retainSeconds: 30, keepLast: whole });
    const later = await expireAt(archive, ENDED_MS + DAY_MS);
    expect(later).toMatchObject({ deleted: null, keepLast: whole, retainedBy: 'instance' });
    expect(later.revoked).not.toBeNull();
    // A policy of an early release says nothing of it: then the host does.
    await setPolicy({ days: ['mon'], hours: ['03:00Z-04:00Z'], retainSeconds: 30 });
    const early = await expireAt(archive, ENDED_MS, { dryRun: true, keepLast: whole });
    expect(early).toMatchObject({ marked: null, keepLast: whole });
    expect((await expireAt(archive, ENDED_MS, { dryRun: true })).marked?.steps[0]?.backups).toEqual(
      gone,
    );
  });

  it('lets go of no more at one time than the share allows, and of the rest later', async () => {
    const all = await expireAt(archive, ENDED_MS, { dryRun: true });
    const { marked } = await expireAt(archive, ENDED_MS, { shareMax: 0.3 });
    expect(marked).toMatchObject({ limited: true, steps: [{ backups: ['bk-0'] }] });
    const next = await expireAt(archive, ENDED_MS + DAY_MS, { shareMax: 1 });
    expect(next.marked?.earliestAfter).toBe(all.marked?.earliestAfter);
    expect(next.marked?.steps[0]?.backups).toEqual(['bk-t1-20', 'bk-t1-40']);
  });

  it('does not believe a clock that stands ten years ahead', async () => {
    const now = await expireAt(archive, ENDED_MS, { dryRun: true });
    const ahead = await expireAt(archive, ENDED_MS + 3_650 * DAY_MS, { dryRun: true });
    expect(ahead.marked?.steps).toEqual(now.marked?.steps);
  });

  it.each([3_650, 1, -1])(
    'does nothing while the clock of the store is %i days off',
    async (days) => {
      const before = archive.store.keys();
      const store = archive.store.through();
      const tellTime = (): Promise<number> => Promise.resolve(ENDED_MS - days * DAY_MS);
      const refused = expireAt(archive, ENDED_MS, { store: Object.assign(store, { tellTime }) });
      await expect(refused).rejects.toMatchObject({
        ...{ code: 'TM_STORE_CLOCK', context: { aheadMs: days * DAY_MS } },
      });
      expect(archive.store.keys()).toEqual(before);
      const agreed = Object.assign(archive.store.through(), {
        tellTime: () => Promise.resolve(ENDED_MS - 300_000),
      });
      expect((await expireAt(archive, ENDED_MS, { store: agreed })).marked?.tombstone).toBeTruthy();
    },
  );

  it('takes no clock that was set while the archiver was away for time that passed', async () => {
    archive.sample(FIRST + 10_000_000);
    archive.write(['SET', 'later', 'v']);
    archive.sample(FIRST + 10_000_001);
    await archive.rollIfAny();
    expect((await expireAt(archive, ENDED_MS, { retainSeconds: 90 })).marked).toBeNull();
    const { marked, retainedBy } = await expireAt(archive, ENDED_MS, { retainSeconds: 70 });
    expect(marked?.steps).toMatchObject([{ backups: ['bk-0'] }]);
    expect(retainedBy).toBe('host');
  });

  it('deletes the same whenever it is killed, and goes on where it was', async () => {
    await expireAt(archive, ENDED_MS);
    const marked = archive.store.snapshot();
    const later = ENDED_MS + DAY_MS;
    const steps = archive.store.through();
    await expireAt(archive, later, { store: steps });
    const whole = dataKeys();
    const effects = steps.calls.filter(({ op }) => op === 'delete' || op === 'put');
    const { catalog } = await archive.environment();
    for (const { index: at } of effects) {
      for (const key of archive.store.keys()) archive.store.tamper(key, null);
      for (const [key, bytes] of marked.objects) archive.store.tamper(key, bytes);
      catalog.clear(); // its host is lost too
      const killed = archive.store.through(({ index, op }) =>
        index < at || (op !== 'delete' && op !== 'put') ? undefined : dies(),
      );
      await expireAt(archive, later, { store: killed }).catch(() => undefined);
      await expireAt(archive, later);
      expect(dataKeys(), `killed at call ${String(at)}`).toEqual(whole);
    }
  }, 60_000);

  it('says what it did when the store refuses to delete, and keeps the rest marked', async () => {
    await expireAt(archive, ENDED_MS);
    let deletes = 0;
    const store = archive.store.through(({ op, key }) =>
      op === 'delete' && ++deletes > 1
        ? {
            before: () => {
              throw new StoreError('TM_STORE_IO', 'AccessDenied', { context: { key } });
            },
          }
        : undefined,
    );
    await expect(expireAt(archive, ENDED_MS + DAY_MS, { store })).rejects.toMatchObject({
      code: 'TM_STORE_IO',
      message: expect.stringContaining('not everything could be deleted') as unknown,
      context: { objects: 1 },
    });
    const { catalog } = await archive.environment();
    expect(catalog.instance(ARCHIVED).expiry.tombstone).toMatchObject({ begun: true });
    expect(await restorableSeconds(archive, FIRST, LAST)).toEqual(seconds(FIRST + 60));
    expect((await expireAt(archive, ENDED_MS + DAY_MS)).deleted).toMatchObject({ objects: 3 });
  });
});

function dies(): { before: () => never } {
  return {
    before: () => {
      throw new Error('killed');
    },
  };
}
