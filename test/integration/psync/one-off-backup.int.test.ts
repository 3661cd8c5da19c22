import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { makeOneOffBackup, type OneOffBackup } from '@tidemark/archiver';
import { openInstanceLog, openWriterLog, type WriterLog } from '@tidemark/catalog';
import { StoreError } from '@tidemark/core';
import { systemClock, systemRandom } from '@tidemark/system';
import { waitFor } from '../../support/archiver-run.ts';
import { FaultyStore } from '../../support/faulty-store.ts';
import { LOG_KEY } from '../../support/log-events.ts';
import { MemoryKeys } from '../../support/memory-keys.ts';
import { MemoryStore } from '../../support/memory-store.ts';
import { startRedis, type RedisServer } from '../../support/redis-server.ts';
import { TempDir } from '../../support/temp-dir.ts';

const INSTANCE = 'once';
const SLOW = { 'rdb-key-save-delay': '1000' };
const KEYS = 20_000;

interface Asked {
  readonly store: FaultyStore;
  readonly stateDir: string;
  readonly signal?: AbortSignal;
  /** Distance of signs of life. */
  readonly heartbeatMs?: number;
}

function dump(source: RedisServer, asked: Asked): Promise<OneOffBackup> {
  return makeOneOffBackup(
    { instance: INSTANCE, address: { host: '127.0.0.1', port: source.port } },
    {
      ...{ keys: new MemoryKeys(), clock: systemClock, random: systemRandom },
      ...{ heartbeatMs: 60_000, spoolBytesMax: 1e9, signal: new AbortController().signal },
      onProgress: () => undefined,
      mayCopy: () => Promise.resolve(),
      ...asked,
    },
  );
}

/** The log that the backups stand in; null before there is one. */
async function logOf(store: FaultyStore): Promise<WriterLog | null> {
  const ports = { store, iid: INSTANCE, logKey: LOG_KEY, clock: systemClock, random: systemRandom };
  const { state } = await openInstanceLog(ports);
  const [writer] = state.writers;
  if (writer === undefined) return null;
  expect(state.writers).toHaveLength(1);
  return openWriterLog({ ...ports, shard: writer.shard, writer: writer.writer });
}

/** What a backup that failed may leave: a log that is released, and nothing in the spool. */
async function expectNothingHalf({ store, stateDir }: Asked): Promise<void> {
  const log = await logOf(store);
  expect(log?.state.owner).toMatchObject({ released: true });
  expect(log?.state.timeline?.closed).not.toBeNull();
  expect(log?.rows.snapshots).toEqual([]);
  const names = await readdir(join(stateDir, 'spool', `${INSTANCE}.dump`));
  expect(names.filter((name) => !['lock.db', 'owner'].includes(name))).toEqual([]);
}

async function slowSource(): Promise<RedisServer> {
  const source = await startRedis({ aof: false, config: SLOW });
  const client = await source.connect();
  await client.call('DEBUG', 'POPULATE', String(KEYS), 'key', '1000');
  return source;
}

describe('a one-off backup', () => {
  it('leaves nothing half where the store refuses it, and succeeds once it does not', async () => {
    await using temp = await TempDir.create('tidemark-one-off-');
    await using source = await startRedis({ aof: false });
    await (await source.connect()).set('a', 1);
    const store = new FaultyStore(new MemoryStore());
    const asked = { store, stateDir: temp.path };
    for (const part of ['/rdb/', 'v1/keys/']) {
      store.onPut = (key) => {
        if (key.includes(part)) throw new StoreError('TM_STORE_DENIED', 'no', { context: { key } });
      };
      await expect(dump(source, asked)).rejects.toMatchObject({ code: 'TM_STORE_DENIED' });
      await expectNothingHalf(asked);
    }
    store.onPut = () => undefined;
    const { stored } = await dump(source, asked);
    expect(stored).toMatchObject({ offset: 0n, mode: 'manual', summary: { keys: 1 } });
    expect(stored.from).toBe(Number(stored.summary.aux['ctime']));
    const log = await logOf(store);
    expect(log?.state.timeline).toMatchObject({
      ...{ reason: 'attach', closed: { reason: 'detached' }, provenTo: null },
      snapshot: { backup: stored.backup },
    });
    expect(log?.state.owner).toMatchObject({ released: true });
  });

  it('shows life while it takes its time, and stands aside for nobody', async () => {
    await using temp = await TempDir.create('tidemark-one-off-');
    await using source = await slowSource();
    const store = new FaultyStore(new MemoryStore());
    const asked = { store, stateDir: join(temp.path, 'here'), heartbeatMs: 1 };
    const stop = new AbortController();
    const running = dump(source, { ...asked, signal: stop.signal });
    const ended = expect(running).rejects.toThrow('enough');
    const claimed = async (): Promise<number> =>
      (await logOf(store).catch(() => null))?.state.seq ?? 0;
    await waitFor(async () => (await claimed()) >= 2);
    const elsewhere = { store, stateDir: join(temp.path, 'there') };
    await expect(dump(source, elsewhere)).rejects.toMatchObject({ code: 'TM_LOG_OWNER' });
    await expect(dump(source, asked)).rejects.toMatchObject({ code: 'TM_BUSY' });
    stop.abort(new Error('enough'));
    await ended;
    await expectNothingHalf(asked);
  });

  it('is no backup when the link breaks in the middle, or the log is taken', async () => {
    await using temp = await TempDir.create('tidemark-one-off-');
    await using source = await slowSource();
    const client = await source.connect();
    const store = new FaultyStore(new MemoryStore());
    const asked = { store, stateDir: temp.path };
    const isReading = async (): Promise<boolean> => {
      const names = await readdir(join(temp.path, 'spool', `${INSTANCE}.dump`)).catch(() => []);
      return names.some((name) => name.endsWith('.sealed'));
    };
    const broken = dump(source, asked);
    const failed = expect(broken).rejects.toMatchObject({
      code: 'TM_REPLICATION',
      context: { phase: 'snapshot' },
    });
    await waitFor(isReading);
    await client.call('CLIENT', 'KILL', 'TYPE', 'REPLICA');
    await failed;
    await expectNothingHalf(asked);

    await client.call('CONFIG', 'SET', 'rdb-key-save-delay', '100');
    const deposed = dump(source, asked);
    const refused = expect(deposed).rejects.toMatchObject({ code: 'TM_LOG_OWNER' });
    await waitFor(isReading);
    const log = await logOf(store);
    await log?.claim({ ownerId: 'another', takeOver: true });
    await refused;
    expect((await logOf(store))?.state).toMatchObject({
      owner: { ownerId: 'another' },
      timeline: null,
    });
    expect(await isReading()).toBe(false);
  });
});
