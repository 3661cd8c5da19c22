import { openInstanceLog, type Tombstone } from '@tidemark/catalog';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { deleteMarked } from '../../../../services/archiver/src/retention/delete-marked.ts';
import {
  revokeTombstone,
  runRetention,
  type RetentionReport,
} from '../../../../services/archiver/src/retention/run-retention.ts';
import { UnnamedFile } from '../../../../services/archiver/src/retention/unnamed-objects.ts';
import { seededRandom } from '../../../support/crypto-ports.ts';
import { heartbeat, LOG_KEY } from '../../../support/log-events.ts';
import { openTestLog } from '../../../support/log-harness.ts';
import {
  DAY_MS,
  ENDED_MS,
  expireAt,
  restorableSeconds,
  writeSeconds,
} from '../../../support/retention-run.ts';
import { steppingClock } from '../../../support/stepping-clock.ts';
import { ARCHIVED, FIRST, TestArchive } from '../../../support/test-archive.ts';

const LAST = FIRST + 99;
const DUE_MS = ENDED_MS + DAY_MS;

let archive: TestArchive;
beforeEach(async () => {
  archive = await TestArchive.begun();
  await writeSeconds(archive, FIRST, LAST);
});
afterEach(() => archive[Symbol.asyncDispose]());

const keys = (part: string): string[] => archive.store.keys().filter((key) => key.includes(part));

/** Runs retention, and a second one with the same catalog once the first deletes. */
async function runBeside(
  retainSeconds: number,
): Promise<{ readonly first: RetentionReport; readonly second: RetentionReport | null }> {
  let second: RetentionReport | null = null;
  let begun = false;
  const store = archive.store.through(({ op }) => {
    if (op !== 'delete' || begun) return undefined;
    begun = true;
    const before = async (): Promise<void> => {
      second = await expireAt(archive, DUE_MS, { retainSeconds });
    };
    return { before };
  });
  const first = await expireAt(archive, DUE_MS, { retainSeconds: 60, store });
  return { first, second };
}

describe('two runs at one time', () => {
  it('delete nothing that is only marked', async () => {
    await expireAt(archive, ENDED_MS, { retainSeconds: 60 });
    const { first, second } = await runBeside(1);
    expect(second?.deleted?.objects).toBeGreaterThan(0);
    expect(second?.marked?.tombstone).toMatch(/^ts-/);
    expect(first.standing).toMatchObject({ tombstone: second?.marked?.tombstone, begun: false });
    // What the second one marked can still be taken back, and is whole then.
    await revokeTombstone(ARCHIVED, await archive.environment(DUE_MS));
    const { catalog } = await archive.environment(DUE_MS);
    const shown = catalog.snapshots(ARCHIVED).map(({ object }) => object);
    expect(shown).toHaveLength(3);
    for (const { key, dekId } of shown) {
      expect(archive.store.objects.has(key ?? '')).toBe(true);
      expect(keys(dekId)).not.toEqual([]);
    }
    expect(await restorableSeconds(archive, FIRST, LAST)).toContain(FIRST + 40);
  });

  it('forget nothing that a mark hides which can be taken back', async () => {
    const random = seededRandom('ops');
    const ports = { store: archive.store, logKey: LOG_KEY, clock: steppingClock(ENDED_MS), random };
    const log = await openInstanceLog({ ...ports, iid: ARCHIVED });
    const [backup, by, atMs] = ['bk-t1-60', 'ops', ENDED_MS];
    await log.append(() => ({ type: 'BackupDeleted', backup, by, atMs }));
    const kept = { retainSeconds: 3_600 };
    await expireAt(archive, ENDED_MS - DAY_MS, kept);
    await expireAt(archive, ENDED_MS, kept);
    const before = await restorableSeconds(archive, FIRST + 40, LAST);
    // Both delete the next mark; the second one is done first, and hides all but the last backup.
    await expireAt(archive, ENDED_MS, { retainSeconds: 60 });
    const { first, second } = await runBeside(1);
    expect(second?.marked?.steps[0]?.backups).toEqual(['bk-t1-40']);
    expect(first.standing).toMatchObject({ tombstone: second?.marked?.tombstone, begun: false });
    await log.catchUp();
    expect(log.state).toMatchObject({ backups: [{ backup }], expiry: { dropped: [backup] } });
    const forgotten = { type: 'BackupsForgotten' as const, backups: [backup], atMs };
    await expect(log.append(() => forgotten)).rejects.toMatchObject({
      ...{ code: 'TM_LOG_STATE', context: { tombstone: second?.marked?.tombstone } },
    });
    await revokeTombstone(ARCHIVED, await archive.environment(DUE_MS));
    expect(await restorableSeconds(archive, FIRST + 40, LAST)).toEqual(before);
  });

  it('say of a mark that another one has deleted meanwhile that nothing was left to do', async () => {
    await expireAt(archive, ENDED_MS, { retainSeconds: 60 });
    let begun = false;
    const store = archive.store.through(({ op }) => {
      if (op !== 'put' || begun) return undefined;
      begun = true;
      const before = async (): Promise<void> => {
        await expireAt(archive, DUE_MS, { retainSeconds: 60 });
      };
      return { before };
    });
    const late = await expireAt(archive, DUE_MS, { retainSeconds: 60, store });
    expect(late).toMatchObject({ revoked: null, deleted: null, standing: null });
  });

  it('leave everything where it is once the mark stands no more', async () => {
    const { marked } = await expireAt(archive, ENDED_MS);
    const ports = await archive.environment(DUE_MS);
    const { tombstone } = ports.catalog.instance(ARCHIVED).expiry;
    expect(tombstone).toMatchObject({ tombstone: marked?.tombstone, begun: false });
    const before = archive.store.keys();
    const file = new UnnamedFile(ports.stateDir, ARCHIVED);
    for (const stands of [tombstone!, { ...tombstone!, tombstone: 'ts-other' }]) {
      const begun: Tombstone = { ...stands, begun: true };
      const deleted = await deleteMarked(ARCHIVED, begun, { file, isRead: false }, ports);
      expect(deleted).toMatchObject({ objects: 0, logEntries: 0, dataKeys: 0 });
    }
    expect(archive.store.keys()).toEqual(before);
  });
});

describe('a clock that is ahead', () => {
  /** The archiver writes a sign of life at an instant, of its clock, while the run looks on. */
  async function runBesideLive(atMs: number): Promise<RetentionReport> {
    const log = await openTestLog(archive.store);
    await log.claim({ ownerId: 'spool-a', takeOver: true });
    const { timeline, end } = log.state.timeline!;
    const clock = {
      ...steppingClock(DUE_MS),
      sleep: async (): Promise<void> => {
        await log.append(heartbeat(end, { timeline, atMs }));
      },
    };
    const ports = { ...(await archive.environment(DUE_MS)), clock };
    const rules = { retainSeconds: 30, graceMs: DAY_MS, shareMax: 1, dryRun: false };
    return runRetention({ ...rules, instance: ARCHIVED, stateDir: ports.stateDir }, ports);
  }

  it('ends no grace beside an archiver that writes now', async () => {
    await expireAt(archive, ENDED_MS);
    const before = archive.store.keys().filter((key) => !key.includes('/log/'));
    await expect(runBesideLive(DUE_MS - 601_000)).rejects.toMatchObject({
      ...{ code: 'TM_STORE_CLOCK', context: { instance: ARCHIVED, aheadMs: 601_000 } },
    });
    expect(archive.store.keys().filter((key) => !key.includes('/log/'))).toEqual(before);
    const { catalog } = await archive.environment();
    expect(catalog.instance(ARCHIVED).expiry.tombstone).toMatchObject({ begun: false });
  });

  it('that is right, or ahead by minutes, keeps nothing from being deleted', async () => {
    await expireAt(archive, ENDED_MS);
    expect((await runBesideLive(DUE_MS - 600_000)).deleted).toMatchObject({ objects: 3 });
  });
});
