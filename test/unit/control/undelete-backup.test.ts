import { openInstanceLog, type InstanceEvent } from '@tidemark/catalog';
import type { Config } from '@tidemark/workspace';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { labelBackup } from '../../../services/control/src/queries/backup-labels.ts';
import { backupDocuments } from '../../../services/control/src/queries/backups.ts';
import { deleteBackup } from '../../../services/control/src/queries/delete-backup.ts';
import { holdBackup } from '../../../services/control/src/queries/hold-backup.ts';
import {
  undeleteBackup,
  type UndeletedBackup,
} from '../../../services/control/src/queries/undelete-backup.ts';
import { syncTest } from '../../support/catalog-harness.ts';
import { seededRandom } from '../../support/crypto-ports.ts';
import { LOG_KEY } from '../../support/log-events.ts';
import type { MemoryStore } from '../../support/memory-store.ts';
import { DAY_MS, ENDED_MS, expireAt, writeSeconds } from '../../support/retention-run.ts';
import { steppingClock } from '../../support/stepping-clock.ts';
import { ARCHIVED, FIRST, TestArchive } from '../../support/test-archive.ts';

/** All of it is kept. */
const KEPT = { retainSeconds: 3_600 };
const [OLD, ONE, OTHER] = ['bk-0', 'bk-t1-20', 'bk-t1-40'];

let archive: TestArchive;
beforeEach(async () => {
  archive = await TestArchive.begun();
  await writeSeconds(archive, FIRST, FIRST + 50);
});
afterEach(() => archive[Symbol.asyncDispose]());

async function parts(over: Partial<{ store: MemoryStore; retainSeconds: number }> = {}) {
  const environment = await archive.environment(ENDED_MS);
  const { keys, catalog, clock, random, signal } = environment;
  const { store = environment.store, retainSeconds = KEPT.retainSeconds } = over;
  const config = {
    policy: { policy: { retainSeconds, keepLast: 1 } },
    graceMs: DAY_MS,
  } as unknown as Config;
  const sync = async (): Promise<number> => syncTest(catalog, archive.store);
  return [
    { store, keys, catalog, config, sync },
    { clock, random, signal },
  ] as const;
}

async function remove(backup: string): Promise<void> {
  const [workspace, ports] = await parts();
  await deleteBackup(backup, { by: 'ops', last: false, dryRun: false }, workspace, ports);
}

async function undelete(
  backup: string,
  over: Parameters<typeof parts>[0] = {},
): Promise<UndeletedBackup> {
  const [workspace, ports] = await parts(over);
  return undeleteBackup(backup, 'ops', workspace, ports);
}

async function log() {
  const [clock, random] = [steppingClock(ENDED_MS), seededRandom('caller')];
  const place = { store: archive.store, iid: ARCHIVED, logKey: LOG_KEY };
  return openInstanceLog({ ...place, clock, random });
}

async function say(event: InstanceEvent): Promise<void> {
  await (await log()).append(() => event);
}

async function shown(): Promise<readonly string[]> {
  const { catalog } = await archive.environment(ENDED_MS);
  return backupDocuments(catalog, ARCHIVED).map(({ id }) => id);
}

describe('undeleteBackup()', () => {
  it('has a backup back with its labels, once, and it can be held or deleted again', async () => {
    const [workspace, ports] = await parts();
    const name = { instance: ARCHIVED, backup: ONE };
    await labelBackup(name, { team: 'data' }, 'ops', workspace, ports);
    await remove(ONE);
    expect(await shown()).toEqual([OLD, OTHER]);
    expect(await undelete(ONE)).toEqual({
      ...{ backup: ONE, instance: ARCHIVED, again: false, revoked: null, goesByAge: false },
    });
    const { seq } = (await log()).state;
    expect(await undelete(ONE)).toMatchObject({ again: true });
    expect((await log()).state.seq).toBe(seq);
    const { catalog } = await archive.environment(ENDED_MS);
    expect(backupDocuments(catalog, ARCHIVED)[1]).toMatchObject({
      ...{ id: ONE, state: 'complete', deleted: null, labels: { team: 'data' } },
    });
    await remove(ONE);
    await undelete(ONE);
    const [again, now] = await parts();
    await holdBackup(ONE, true, again, now);
    expect(await expireAt(archive, ENDED_MS, KEPT)).toMatchObject({ marked: null });
  });

  it('takes the mark back that hides it, and what else it marked is marked anew', async () => {
    await remove(ONE);
    await remove(OTHER);
    const { marked } = await expireAt(archive, ENDED_MS, KEPT);
    expect(await shown()).toEqual([OLD]);
    expect(await undelete(ONE)).toMatchObject({ again: false, revoked: marked?.tombstone });
    expect(await shown()).toEqual([OLD, ONE]);
    const next = await expireAt(archive, ENDED_MS, KEPT);
    expect(next.marked?.dropped.map(({ backup }) => backup)).toEqual([OTHER]);
    await expireAt(archive, ENDED_MS + DAY_MS, KEPT);
    const left = archive.store.keys().filter((key) => key.includes('/rdb/'));
    expect(left.map((key) => [key.includes(ONE), key.includes(OTHER)])).toEqual([
      ...[
        [false, false],
        [true, false],
      ],
    ]);
  });

  it('lifts the floor that stands over it, and says that it goes by its age all the same', async () => {
    // One of the newest three until it was deleted, and with it the floor rose.
    const rules = { retainSeconds: 5, keepLast: 3 };
    await remove(OLD);
    const { marked } = await expireAt(archive, ENDED_MS, { ...rules, keepLast: 2 });
    expect(marked?.steps.flatMap(({ backups }) => backups)).toEqual([OLD]);
    expect(await undelete(OLD, { retainSeconds: 5 })).toMatchObject({
      ...{ revoked: marked?.tombstone, goesByAge: true },
    });
    expect(await shown()).toEqual([OLD, ONE, OTHER]);
    expect((await expireAt(archive, ENDED_MS, rules)).marked).toBeNull();
  });

  it('comes too late once a deletion has begun, and changes nothing', async () => {
    await remove(ONE);
    const { marked } = await expireAt(archive, ENDED_MS, KEPT);
    const tombstone = marked?.tombstone ?? '';
    await say({ type: 'ExpiryBegun', tombstone, atMs: ENDED_MS });
    const late = { code: 'TM_BACKUP_DELETED', exitCode: 10, context: { backup: ONE } };
    await expect(undelete(ONE)).rejects.toMatchObject(late);
    await expireAt(archive, ENDED_MS + DAY_MS, KEPT);
    await expect(undelete(ONE)).rejects.toMatchObject(late);
    expect((await log()).state.expiry).toMatchObject({ dropped: [ONE], tombstone: null });
    await expect(undelete('bk-nobody')).rejects.toMatchObject({ code: 'TM_NOT_FOUND' });
  });

  it.each([
    ['marks it once more', ENDED_MS + 1, 'ExpiryTombstoned'],
    ['begins to delete it', ENDED_MS + DAY_MS, 'ExpiryBegun'],
  ])('of two hosts the log decides: a run that %s just before', async (_, atMs, outcome) => {
    await remove(ONE);
    const { marked: first } = await expireAt(archive, ENDED_MS, KEPT);
    let [puts, second]: [number, string | null | undefined] = [0, null];
    // With a mark that stands it is taken back first, and the run marks again before the second entry.
    const at = outcome === 'ExpiryTombstoned' ? 2 : 1;
    const store = archive.store.through(({ op }) => {
      if (op !== 'put' || ++puts !== at) return undefined;
      const before = async (): Promise<void> => {
        second = (await expireAt(archive, atMs, KEPT)).marked?.tombstone;
      };
      return { before };
    });
    const ended = undelete(ONE, { store });
    if (outcome === 'ExpiryBegun') {
      await expect(ended).rejects.toMatchObject({ code: 'TM_BACKUP_DELETED' });
      expect(archive.store.keys().filter((key) => key.includes(ONE))).toEqual([]);
      return;
    }
    expect(await ended).toMatchObject({ again: false, revoked: second });
    expect(second).not.toBe(first?.tombstone);
    expect(await shown()).toEqual([OLD, ONE, OTHER]);
  });

  it('gives none back whose key was destroyed', async () => {
    const { catalog } = await archive.environment(ENDED_MS);
    const { dekId } = catalog.snapshots(ARCHIVED).find(({ backup }) => backup === ONE)!.object;
    await remove(ONE);
    await say({ type: 'KeyShredded', scope: 'snapshot', dekIds: [dekId], atMs: ENDED_MS });
    await expect(undelete(ONE)).rejects.toMatchObject({
      ...{ code: 'TM_KEY_SHREDDED', context: { instance: ARCHIVED, backup: ONE } },
    });
    expect(await shown()).toEqual([OLD, OTHER]);
  });
});
