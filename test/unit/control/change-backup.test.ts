import { openInstanceLog } from '@tidemark/catalog';
import type { Config } from '@tidemark/workspace';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { checkLabels, labelBackup } from '../../../services/control/src/queries/backup-labels.ts';
import {
  backupDocuments,
  findBackupDocuments,
} from '../../../services/control/src/queries/backups.ts';
import {
  deleteBackup,
  type DeletedBackup,
  type DeleteOptions,
} from '../../../services/control/src/queries/delete-backup.ts';
import { holdBackup } from '../../../services/control/src/queries/hold-backup.ts';
import { syncTest } from '../../support/catalog-harness.ts';
import { seededRandom } from '../../support/crypto-ports.ts';
import { LOG_KEY } from '../../support/log-events.ts';
import { RdbBuilder } from '../../support/rdb-builder.ts';
import { writeSeconds } from '../../support/retention-run.ts';
import { ARCHIVED, FIRST, TestArchive } from '../../support/test-archive.ts';

const config = {
  policy: { policy: { retainSeconds: 3_600, keepLast: 1 } },
  graceMs: 86_400_000,
} as unknown as Config;
const [OLD, NEW] = ['bk-0', 'bk-t1-20'];

let archive: TestArchive;
beforeEach(async () => {
  archive = await TestArchive.begun();
  await writeSeconds(archive, FIRST, FIRST + 30);
});
afterEach(() => archive[Symbol.asyncDispose]());

async function parts(of = archive) {
  const { store, keys, catalog, clock, random, signal } = await of.environment();
  return [
    { store, keys, catalog, config },
    { clock, random, signal },
  ] as const;
}

async function remove(backup: string, over: Partial<DeleteOptions> = {}): Promise<DeletedBackup> {
  const [workspace, ports] = await parts();
  const options = { by: 'ops', last: false, dryRun: false, ...over };
  return deleteBackup(backup, options, workspace, ports);
}

async function hold(backup: string, isHeld: boolean): Promise<void> {
  const [workspace, ports] = await parts();
  await holdBackup(backup, isHeld, workspace, ports);
}

async function label(backup: string, change: Record<string, string | null>): Promise<void> {
  const [workspace, ports] = await parts();
  await labelBackup({ instance: ARCHIVED, backup }, change, 'ops', workspace, ports);
}

async function entries(): Promise<number> {
  const { store, clock, random } = await archive.environment();
  const log = await openInstanceLog({ store, iid: ARCHIVED, logKey: LOG_KEY, clock, random });
  return log.state.seq;
}

describe('deleteBackup()', () => {
  it('says what would go, and writes nothing, in a dry run', async () => {
    const before = await entries();
    const dry = await remove(NEW, { dryRun: true });
    expect(dry).toMatchObject({
      ...{ backup: NEW, instance: ARCHIVED, dryRun: true, again: false, keptFor: null },
      frees: { objects: 1, bytes: dry.size },
    });
    expect(dry.earliestAfter).toBe(dry.earliest);
    expect(await entries()).toBe(before);
    const first = await remove(OLD, { dryRun: true });
    expect(first).toMatchObject({ keptFor: 'seconds', frees: { objects: 0, bytes: 0 } });
  });

  it('is said once, however often it is asked for', async () => {
    const before = await entries();
    expect((await remove(NEW)).again).toBe(false);
    expect(await remove(NEW)).toMatchObject({ again: true, keptFor: null, frees: { objects: 1 } });
    expect(await entries()).toBe(before + 1);
    const { catalog } = await archive.environment();
    expect(backupDocuments(catalog, ARCHIVED).map(({ id }) => id)).toEqual([OLD]);
    expect(backupDocuments(catalog, ARCHIVED, { state: 'deleted' })).toMatchObject([
      { id: NEW, state: 'deleted', deleted: { by: 'ops' } },
    ]);
    expect(() => findBackupDocuments(catalog, NEW)).toThrow(
      expect.objectContaining({ code: 'TM_BACKUP_DELETED' }) as Error,
    );
    expect(findBackupDocuments(catalog, NEW, { deleted: true })[0].state).toBe('deleted');
  });

  it('refuses one that is held, until it is released', async () => {
    await hold(NEW, true);
    for (const dryRun of [true, false]) {
      await expect(remove(NEW, { dryRun })).rejects.toMatchObject({
        ...{ code: 'TM_BACKUP_HELD', context: { backup: NEW } },
      });
    }
    await hold(NEW, false);
    await remove(NEW);
    await expect(hold(NEW, true)).rejects.toMatchObject({ code: 'TM_BACKUP_DELETED' });
  });

  it('refuses the last good one of a shard, unless that is asked for', async () => {
    await remove(NEW);
    const refused = { code: 'TM_BACKUP_LAST', context: { backup: OLD, shard: 's0' } };
    await expect(remove(OLD)).rejects.toMatchObject(refused);
    expect((await remove(OLD, { last: true })).again).toBe(false);
  });

  it('of two that are deleted at once from two hosts, one stays', async () => {
    const [[one, ports], [other]] = [await parts(), await parts()];
    const options = { by: 'ops', last: false, dryRun: false };
    const both = await Promise.allSettled([
      deleteBackup(OLD, options, one, ports),
      deleteBackup(NEW, options, other, ports),
    ]);
    expect(both.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
    const { catalog } = await archive.environment();
    expect(backupDocuments(catalog, ARCHIVED)).toHaveLength(1);
  });

  it('says when it waits for history that goes by its age, more than one run may let go', async () => {
    const big = seededRandom('big').bytes(131_072).toString('hex');
    const rdb = new RdbBuilder({ version: 10 }).selectDb(0).string('old', big).build();
    await using other = await TestArchive.begun(rdb);
    await writeSeconds(other, FIRST, FIRST + 30);
    const [workspace, ports] = await parts(other);
    const options = { by: 'ops', last: false, dryRun: true };
    const policy = { policy: { ...config.policy.policy, retainSeconds: 5 } };
    const asOld = { ...workspace, config: { ...config, policy } as Config };
    expect(await deleteBackup(OLD, options, asOld, ports)).toMatchObject({ keptFor: 'share' });
    expect(await deleteBackup(OLD, options, workspace, ports)).toMatchObject({
      keptFor: 'seconds',
    });
  });

  it('knows no backup of that name', async () => {
    await expect(remove('bk-nobody')).rejects.toMatchObject({ code: 'TM_NOT_FOUND' });
  });
});

describe('labels of a backup', () => {
  it('are put, changed and taken away one by one; nothing new is not written', async () => {
    await label(NEW, { team: 'data', ticket: 'OPS-1' });
    await label(NEW, { ticket: null, seen: 'ja, "gestern"' });
    const before = await entries();
    await label(NEW, { seen: 'ja, "gestern"', nobody: null });
    expect(await entries()).toBe(before);
    const { catalog } = await archive.environment();
    const labels = { team: 'data', seen: 'ja, "gestern"' };
    const wanted = [{ key: 'team', value: 'data' }];
    expect(backupDocuments(catalog, ARCHIVED, { labels: wanted })).toMatchObject([
      { id: NEW, labels },
    ]);
    expect(backupDocuments(catalog, ARCHIVED, { labels: [{ key: 'team', value: 'x' }] })).toEqual(
      [],
    );
    // A catalog that is built anew says the same.
    catalog.clear();
    await syncTest(catalog, archive.store);
    expect(backupDocuments(catalog, ARCHIVED, { labels: wanted })).toHaveLength(1);
  });

  it.each([
    ['a key with a space', { 'a b': 'v' }],
    ['an empty key', { '': 'v' }],
    ['a key of 64 characters', { ['k'.repeat(64)]: 'v' }],
    ['a value of 256 characters', { k: 'v'.repeat(256) }],
    ['a line end', { k: 'a\nb' }],
    ['a sign that turns the direction of the text', { k: 'a\u202eb' }],
    [
      '17 of them',
      Object.fromEntries(Array.from({ length: 17 }, (_, i) => [`k${String(i)}`, 'v'])),
    ],
  ])('refuse %s', (_, change) => {
    expect(() => checkLabels(change)).toThrow(
      expect.objectContaining({ code: 'TM_BACKUP_LABELS', exitCode: 2 }) as Error,
    );
  });

  it('are at most 16 with those that are there', async () => {
    const ten = (letter: string): Record<string, string> =>
      Object.fromEntries(Array.from({ length: 10 }, (_, i) => [`${letter}${String(i)}`, 'v']));
    await label(NEW, ten('a'));
    await expect(label(NEW, ten('b'))).rejects.toMatchObject({ code: 'TM_BACKUP_LABELS' });
  });
});
