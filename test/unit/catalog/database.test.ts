import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { openCatalog, type WriterLog } from '@tidemark/catalog';
import { TidemarkError } from '@tidemark/core';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openDatabase } from '../../../libs/catalog/src/projection/database.ts';
import { SCHEMA_VERSION } from '../../../libs/catalog/src/projection/schema.ts';
import { dumpCatalog, openTestInstance, syncTest } from '../../support/catalog-harness.ts';
import { heartbeat, LOG, opened, snapshot, START_MS, stored } from '../../support/log-events.ts';
import { MemoryStore } from '../../support/memory-store.ts';
import { TempDir } from '../../support/temp-dir.ts';

describe('the catalog file', () => {
  let dir: TempDir;
  let path: string;
  let store: MemoryStore;
  let log: WriterLog;
  beforeEach(async () => {
    dir = await TempDir.create();
    path = join(dir.path, 'catalog.db');
    store = new MemoryStore();
    log = await openTestInstance(store);
    await log.append(opened());
    await log.append(snapshot(0n));
    await log.append(stored(0n, 10n));
  });
  afterEach(() => dir[Symbol.asyncDispose]());

  const synced = async (): Promise<unknown> => {
    using catalog = openCatalog({ path });
    await syncTest(catalog, store);
    return dumpCatalog(catalog);
  };

  it('is private, and so are the files beside it', async () => {
    using catalog = openCatalog({ path });
    await syncTest(catalog, store);
    for (const suffix of ['', '-wal', '-shm']) {
      expect(statSync(path + suffix).mode & 0o777).toBe(0o600);
    }
  });

  it('waits for the disk, keeps foreign keys and trusts no schema', async () => {
    await synced();
    const db = openDatabase(path);
    expect(db.pragma('journal_mode', { simple: true })).toBe('wal');
    expect(db.pragma('synchronous', { simple: true })).toBe(2);
    expect(db.pragma('foreign_keys', { simple: true })).toBe(1);
    expect(db.pragma('trusted_schema', { simple: true })).toBe(0);
    expect(db.pragma('user_version', { simple: true })).toBe(SCHEMA_VERSION);
    db.close();
  });

  it('keeps what it knew from one opening to the next', async () => {
    const before = await synced();
    using catalog = openCatalog({ path });
    expect(dumpCatalog(catalog)).toEqual(before);
    expect(await syncTest(catalog, store)).toBe(0);
  });

  it.each([
    ['is no database', (file: string) => writeFileSync(file, 'x'.repeat(5000))],
    ['is cut off', (file: string) => writeFileSync(file, readFileSync(file).subarray(0, 5000))],
    [
      'has a page of noise where its schema stands',
      (file: string) => writeFileSync(file, readFileSync(file).fill(0xa5, 100, 4096)),
    ],
    [
      'has noise in a table',
      (file: string) => writeFileSync(file, readFileSync(file).fill(0xa5, 4096, 4096 * 12)),
    ],
  ])('that %s is built anew from the store', async (_, damage) => {
    const before = await synced();
    damage(path);
    expect(await synced()).toEqual(before);
    expect(existsSync(`${path}.damaged`)).toBe(true);
  });

  it('with a damaged fold in a row is built anew by the next sync', async () => {
    const before = await synced();
    const db = openDatabase(path);
    db.exec(`UPDATE writers SET state = replace(state, '"seq":', '"sek":')`);
    db.close();
    expect(await synced()).toEqual(before);
  });

  it('that is empty is made', async () => {
    writeFileSync(path, '');
    expect(await synced()).toMatchObject({ instance: { iid: LOG.iid } });
  });

  it('of another version is emptied and built anew', async () => {
    const before = await synced();
    const db = openDatabase(path);
    db.pragma('user_version = 99');
    db.exec('ALTER TABLE instances ADD COLUMN novelty TEXT');
    db.close();
    expect(await synced()).toEqual(before);
  });

  it('is left alone when it is another program’s database', () => {
    const db = openDatabase(path);
    db.exec('CREATE TABLE invoices (total INTEGER)');
    db.pragma('application_id = 7');
    db.close();
    let caught: unknown;
    try {
      openCatalog({ path });
    } catch (error) {
      caught = error;
    }
    expect(caught).toBeInstanceOf(TidemarkError);
    expect(caught).toMatchObject({ code: 'TM_CATALOG_DB', context: { path } });
    expect(readFileSync(path).includes('invoices')).toBe(true);
    expect(existsSync(`${path}.damaged`)).toBe(false);
  });

  it('in a folder that is not there is refused', () => {
    const missing = join(dir.path, 'no', 'catalog.db');
    expect(() => openCatalog({ path: missing })).toThrow(
      expect.objectContaining({ code: 'TM_CATALOG_DB' }) as Error,
    );
  });

  it('may be brought up to date by two at one time', async () => {
    for (let i = 0; i < 700; i++) await log.append(heartbeat(10n, { atMs: START_MS + i }));
    using first = openCatalog({ path });
    using second = openCatalog({ path });
    const slow = (): MemoryStore =>
      store.through(() => ({ before: () => new Promise((resolve) => setImmediate(resolve)) }));
    const counts = await Promise.all([
      syncTest(first, slow()),
      syncTest(second, slow()),
      syncTest(first, slow()),
    ]);
    expect(counts.reduce((sum, count) => sum + count, 0)).toBe(2 + 4 + 700);
    expect(dumpCatalog(first)).toEqual(dumpCatalog(second));
    expect(first.writers(LOG.iid)[0]?.state).toEqual(log.state);
  });

  it('may be cleared by one while another reads into it', async () => {
    for (let i = 0; i < 1500; i++) await log.append(heartbeat(10n, { atMs: START_MS + i }));
    using first = openCatalog({ path });
    using second = openCatalog({ path });
    let cleared = false;
    const handle = store.through(({ key }) => {
      if (!cleared && key.endsWith('1300')) {
        cleared = true;
        second.clear();
      }
      return undefined;
    });
    await syncTest(first, handle);
    expect(cleared).toBe(true);
    expect(first.writers(LOG.iid)[0]?.state).toEqual(log.state);
    expect(first.segments('t1')).toHaveLength(1);
  });
});
