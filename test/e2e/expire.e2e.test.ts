import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { runRetention, type RetentionReport } from '@tidemark/archiver';
import { openCatalog, readInstanceLog, type InstanceEvent } from '@tidemark/catalog';
import type { DeletedBackup } from '@tidemark/control';
import { openKeys } from '@tidemark/crypto';
import { openFileStore } from '@tidemark/store';
import { systemClock, systemRandom } from '@tidemark/system';
import type { Redis } from 'ioredis';
import { expect, it } from 'vitest';
import { diffOracle, readOracle } from '../support/oracle.ts';
import { startRedis } from '../support/redis-server.ts';
import { listStoreFiles } from '../support/store-files.ts';
import { secondOf, Tidemark } from '../support/tidemark-cli.ts';

const ID = 'shop';

interface ExpireDocument {
  readonly revoked: string | null;
  readonly standing: { readonly tombstone: string; readonly due: string } | null;
  readonly marked: {
    readonly tombstone: string | null;
    readonly objects: number;
    readonly bytes: number;
    readonly earliestBefore: string;
    readonly earliestAfter: string;
    readonly steps: readonly { readonly backups: readonly string[] }[];
  } | null;
}

async function openStore({ dir }: Tidemark) {
  const ports = { random: systemRandom, clock: systemClock };
  const keys = await openKeys({ provider: 'ring', ringDir: join(dir, 'ring') }, ports);
  return { keys, store: await openFileStore({ root: join(dir, 'store'), random: systemRandom }) };
}

/** As `expire --force`, but what is marked may be deleted at once: no configuration allows that. */
async function expireWithoutGrace(tidemark: Tidemark): Promise<RetentionReport> {
  const { keys, store } = await openStore(tidemark);
  using catalog = openCatalog({ path: join(tidemark.dir, 'of-the-test.db') });
  const { signal } = new AbortController();
  const rules = { retainSeconds: 1, graceMs: 0, shareMax: 1 };
  return await runRetention(
    { ...rules, instance: ID, stateDir: join(tidemark.dir, 'state'), dryRun: false },
    { store, keys, catalog, clock: systemClock, random: systemRandom, signal },
  );
}

/** The types of the events in the log of the instance. */
async function eventsOf(tidemark: Tidemark): Promise<readonly InstanceEvent['type'][]> {
  const { keys, store } = await openStore(tidemark);
  const source = { store, iid: ID, logKey: await keys.logKey(ID) };
  const types: InstanceEvent['type'][] = [];
  for await (const batch of readInstanceLog(source))
    types.push(...batch.map((one) => one.event.type));
  return types;
}

it('expire says what goes, hides it, takes it back, deletes it; a restore holds a lease', async () => {
  await using tidemark = await Tidemark.init(
    [],
    '\n[policy]\nretain = "1s"\ngrace = "1h"\n',
    'ring',
  );
  await using source = await startRedis();
  const redis = await source.connect();
  await tidemark.add(ID, source);
  await tidemark.serve();
  const write = async (times: number): Promise<void> => {
    for (let i = 0; i < times; i++) {
      await redis.incr('count');
      await delay(100);
    }
  };
  await write(20);
  await tidemark.json('backup', 'create', ID, '--wait');
  await write(30);
  const before = await tidemark.untilProven(ID, Math.floor(Date.now() / 1000));

  const dry = await tidemark.json<ExpireDocument>('expire', ID, '--dry-run', '--force');
  expect(dry).toMatchObject({
    ...{ deleted: null, standing: null },
    marked: { tombstone: null, earliestBefore: before.earliest },
  });
  const { out } = await tidemark.run('expire', ID, '--dry-run', '--force');
  expect(out).toContain('kept by the configuration of this host: 1s');
  expect(out).toMatch(/would be marked: \d+ objects of history .*hidden at once, deleted from/);
  expect(out).toMatch(/earliest restorable second: \S+Z before, \S+Z after/);

  const first = await tidemark.json<ExpireDocument>('expire', ID, '--force');
  const earliest = first.marked?.earliestAfter ?? '';
  expect(secondOf(earliest)).toBeGreaterThan(secondOf(before.earliest ?? ''));
  expect((await tidemark.windows(ID)).earliest).toBe(earliest);
  const refused = await tidemark.refused(
    13,
    ...['restore', ID, '--at', before.earliest ?? '', '--dry-run'],
  );
  expect(refused.code).toBe('TM_TIME_NOT_RESTORABLE');
  const back = await tidemark.json<{ revoked: string }>('expire', ID, '--revoke');
  expect(back.revoked).toBe(first.marked?.tombstone);
  expect((await tidemark.windows(ID)).earliest).toBe(before.earliest);

  await expireWithoutGrace(tidemark);
  const { deleted } = await expireWithoutGrace(tidemark);
  expect(deleted?.objects).toBeGreaterThan(0);
  await using target = await startRedis({ aof: false });
  await tidemark.restore(ID, secondOf(before.latest ?? ''), target);
  const events = await eventsOf(tidemark);
  expect(events.slice(-2)).toEqual(['LeaseTaken', 'LeaseReleased']);
  expect(events.filter((type) => type.startsWith('Expiry')).slice(0, 5)).toEqual([
    ...['ExpiryTombstoned', 'ExpiryRevoked', 'ExpiryTombstoned', 'ExpiryBegun', 'ExpiryDone'],
  ]);
  await deletesOne(tidemark, redis);
}, 240_000);

interface BackupRow {
  readonly id: string;
  readonly state: string;
  readonly labels: Readonly<Record<string, string>>;
}

/** A backup in the midst of what is kept is deleted: its object goes, and the seconds behind it stay. */
async function deletesOne(tidemark: Tidemark, redis: Redis): Promise<void> {
  const listed = async (...flags: readonly string[]): Promise<readonly BackupRow[]> =>
    (await tidemark.json<{ backups: readonly BackupRow[] }>('backup', 'list', ID, ...flags))
      .backups;
  const files = async (backup: string): Promise<number> => {
    const all = await listStoreFiles(join(tidemark.dir, 'store'));
    return all.filter(({ path }) => path.includes(backup)).length;
  };
  await tidemark.json('policy', 'set', ID, '--retain', '1h');
  const { id } = await tidemark.json<BackupRow>(
    ...['backup', 'create', ID, '--label', 'ticket=OPS-1', '--label', 'team=data'],
  );
  await redis.hset('cart', 'sum', 7);
  const then = await readOracle(redis);
  const at = Math.floor(Date.now() / 1000);
  // Whatever comes later belongs to a later second.
  await delay(1_100);
  await tidemark.untilProven(ID, at);
  await redis.set('later', 'yes');
  expect(await listed('--label', 'ticket=OPS-1')).toMatchObject([{ id, state: 'complete' }]);
  const label = await tidemark.json<{ shards: readonly BackupRow[] }>(
    ...['backup', 'label', id, 'team-', 'seen=yes'],
  );
  expect(label.shards[0]?.labels).toEqual({ seen: 'yes', ticket: 'OPS-1' });

  expect((await tidemark.refused(2, 'backup', 'delete', id)).code).toBe('TM_WRITE_CONSENT');
  const dry = await tidemark.json<DeletedBackup>('backup', 'delete', id, '--dry-run');
  expect(dry).toMatchObject({ ...{ dryRun: true, again: false, keptFor: null }, shards: ['0'] });
  expect(dry.frees).toEqual({ objects: 1, bytes: dry.size });
  expect(dry.earliestAfter).toBe(dry.earliest);
  const { out } = await tidemark.run('backup', 'delete', id, '--confirm', id);
  expect(out).toContain(`${id} of ${ID} is deleted`);
  expect((await listed()).map((one) => one.id)).not.toContain(id);
  expect(await tidemark.json('backup', 'undelete', id)).toMatchObject({ again: false });
  expect((await listed()).map((one) => one.id)).toContain(id);
  await tidemark.run('backup', 'delete', id, '--confirm', id);
  expect(await listed('--state', 'deleted')).toMatchObject([{ id, state: 'deleted' }]);
  const refused = await tidemark.refused(10, 'restore', ID, '--backup', id, '--dry-run');
  expect(refused.code).toBe('TM_BACKUP_DELETED');

  expect(await files(id)).toBe(1);
  await expireWithoutGrace(tidemark);
  expect(await files(id)).toBe(1);
  await expireWithoutGrace(tidemark);
  expect(await files(id)).toBe(0);
  await using target = await startRedis({ aof: false });
  await tidemark.restore(ID, at, target);
  expect(diffOracle(await readOracle(await target.connect()), then)).toEqual([]);
  await tidemark.run('backup', 'verify', ID);
}
