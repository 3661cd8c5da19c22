import { readdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  RestoreRecords,
  type RestoreRecord,
} from '../../../../services/restorer/src/run/restore-record.ts';
import { TempDir } from '../../../support/temp-dir.ts';

const RECORD: RestoreRecord = {
  ...{ version: 1, id: 'rs-01abc', instance: 'orders', state: 'running', startedMs: 5, at: 7 },
  ...{ timeline: 't1', offset: '12345678901234567890', backup: 'bk-1' },
  bounds: { notBeforeMs: 7_000, notAfterMs: null },
  ttl: { mode: 'remaining', atMs: 1, nowMs: 2 },
  ...{ promote: true, rdbVersion: null },
  commands: {
    target: { product: 'redis', versionNumber: 7_00_15, databases: 16, commands: ['set'] },
    guardFieldPersist: false,
  },
  path: {
    ...{ name: 'native', source: 'redis 7.0.15', target: 'redis 7.0.15' },
    ...{ snapshot: 'as stored', changedCommands: {} },
  },
  target: { url: 'redis://h:1', passwordFile: '/p', newDir: null },
  feed: {
    ...{ listenHost: '127.0.0.1', host: '127.0.0.1', port: 9, user: 'u', password: 'secret' },
    ...{ replicationId: 'ab'.repeat(20), baseOffset: '1' },
  },
  facts: { acl: true, defaultUser: false, config: true, atMs: 1_795_000_000_999 },
  replayedOffset: null,
  settings: { settings: [{ name: 'save', before: '', during: '' }] },
};

let temp: TempDir;
let dir: string;
let records: RestoreRecords;
beforeEach(async () => {
  temp = await TempDir.create();
  dir = join(temp.path, 'restores');
  records = new RestoreRecords(temp.path);
});
afterEach(() => temp[Symbol.asyncDispose]());

describe('RestoreRecords', () => {
  it('gives a record back to another process, and the latest of several', async () => {
    await records.write(RECORD);
    expect(await new RestoreRecords(temp.path).read(RECORD.id)).toEqual(RECORD);
    const replayed = { ...RECORD, state: 'replayed', replayedOffset: '77' } as const;
    await records.write(replayed);
    expect(await new RestoreRecords(temp.path).read(RECORD.id)).toEqual(replayed);
    expect(await readdir(dir)).toEqual(['rs-01abc.json']);
  });

  it('lets nobody else read the one-time password', async () => {
    await records.write(RECORD);
    expect((await stat(dir)).mode & 0o777).toBe(0o700);
    expect((await stat(join(dir, 'rs-01abc.json'))).mode & 0o777).toBe(0o600);
  });

  it('forgets a restore that is over, also twice', async () => {
    await records.write(RECORD);
    await records.remove(RECORD.id);
    await records.remove(RECORD.id);
    expect(await readdir(dir)).toEqual([]);
    await expect(records.read(RECORD.id)).rejects.toMatchObject({
      ...{ code: 'TM_NOT_FOUND', exitCode: 10 },
      hint: expect.stringContaining('over') as unknown,
    });
  });

  it('does not go on with a record that is torn', async () => {
    await records.write(RECORD);
    await writeFile(join(dir, 'rs-01abc.json'), '{"version":1,"id":"rs-');
    await expect(records.read(RECORD.id)).rejects.toMatchObject({ code: 'TM_NOT_FOUND' });
  });

  it.each(['', '..', '../../etc/passwd', 'rs/1', 'RS-1', 'a b', 'x'.repeat(64)])(
    'makes no path of %j',
    async (id) => {
      await expect(records.read(id)).rejects.toMatchObject({ code: 'TM_USAGE', exitCode: 2 });
      await expect(records.remove(id)).rejects.toMatchObject({ code: 'TM_USAGE' });
      await expect(records.write({ ...RECORD, id })).rejects.toMatchObject({ code: 'TM_USAGE' });
    },
  );
});
