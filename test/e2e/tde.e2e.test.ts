import { existsSync } from 'node:fs';
import { mkdir, readFile, readlink, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { describeWithKms } from '../support/kms-server.ts';
import { startRedis, type RedisServer } from '../support/redis-server.ts';
import { TestCa } from '../support/tls/certificates.ts';
import { iso, Tidemark, type ArchiverProcess } from '../support/tidemark-cli.ts';

const ID = 'vault';
const PASSWORD = 'Clone-pass-1';
const EVERYWHERE = { log: 'on', marker: 'on', archiver: 'on' };
/** First bytes of every sealed object. */
const SEALED = '8b544445310d0a1a';

interface Status {
  readonly state: string;
  readonly enabled: boolean;
  readonly provider: string | null;
  readonly keyId: string | null;
  readonly mode: string | null;
  readonly backup: string | null;
  readonly backups: { readonly total: number; readonly sealedUnderTde: number };
  readonly allowOriginalRestore: boolean;
  readonly latch: Readonly<Record<string, string>>;
}
interface Key {
  readonly keyId: string;
  readonly encryptionKeyStatus: string;
  readonly inUse: boolean;
}

/** Whether a process runs; what nobody has waited for yet does not. */
async function isRunning(pid: number): Promise<boolean> {
  const place = `/proc/${pid.toString()}/cwd`;
  return readlink(place).then(
    () => true,
    () => false,
  );
}

const statusOf = (tidemark: Tidemark): Promise<Status> => tidemark.json('tde', 'status', ID);

describe('TDE with a local ring', () => {
  it('stays modifying until an archiver runs, and is on for good from the request on', async () => {
    await using tidemark = await Tidemark.init([], '', 'ring');
    await using source = await startRedis();
    await tidemark.add(ID, source);
    expect(await statusOf(tidemark)).toMatchObject({ state: 'disabled', keyId: null });
    const unconfirmed = await tidemark.refused(2, 'tde', 'enable', ID);
    expect(unconfirmed).toMatchObject({ code: 'TM_WRITE_CONSENT' });
    const weak = ['--algorithm', 'AES-CTR-256', '--confirm', ID];
    expect(await tidemark.refused(2, 'tde', 'enable', ID, ...weak)).toMatchObject({
      code: 'TM_USAGE',
    });
    expect(await statusOf(tidemark)).toMatchObject({ state: 'disabled' });
    const begun = await tidemark.json<Status>('tde', 'enable', ID, '--confirm', ID);
    expect(begun).toMatchObject({ state: 'modifying', mode: 'auto', latch: EVERYWHERE });
    const archiver = await tidemark.serve();
    await archiver.until('tde-enabled');
    // Asked again there is nothing to confirm and nothing to do.
    const again = await tidemark.json<Status>('tde', 'enable', ID);
    expect(again).toMatchObject({ state: 'enabled', provider: 'ring', keyId: begun.keyId });
    expect(again.backups.sealedUnderTde).toBe(1);
    expect(await tidemark.refused(1, 'tde', 'disable', ID)).toMatchObject({
      code: 'TM_TDE_CANNOT_BE_DISABLED',
    });
    // No key service is configured beside the ring: that is no reason not to answer.
    const { keys } = await tidemark.json<{ keys: readonly Key[] }>('tde', 'keys', 'list', ID);
    expect(keys).toMatchObject([{ keyId: begun.keyId, inUse: true }]);
    const check = await tidemark.json('tde', 'authorize-check', ID);
    expect(check).toMatchObject({ authorizationState: 1, failed: [], by: 'canary' });
  });

  it('does not capture its node, or a replica of it, under a second name', async () => {
    await using tidemark = await Tidemark.init([], '', 'ring');
    await using source = await startRedis();
    await using replica = await startRedis({ aof: false });
    await using other = await startRedis({ aof: false });
    await tidemark.add(ID, source);
    await tidemark.json('tde', 'enable', ID, '--confirm', ID);
    const archiver = await tidemark.serve();
    await archiver.stop();
    const r = await replica.connect();
    await r.call('REPLICAOF', '127.0.0.1', source.port);
    while (!(await r.info('replication')).includes('master_link_status:up\r')) await delay(20);
    const byLink = (id: string, { port }: RedisServer, host = '127.0.0.1'): string[] => [
      ...['instance', 'add', id, '-u', `redis://${host}:${port}`, '--source', 'psync'],
    ];
    const files = ['-u', `redis://127.0.0.1:${source.port}`, '--aof-dir', source.aofDir];
    const denied = {
      ...{ code: 'TM_TDE_DENIED', context: { instance: ID, operation: 'second-capture' } },
      hint: expect.stringContaining(`the name of this node is ${ID}`) as unknown,
    };
    for (const again of [
      byLink('leak', source),
      byLink('leak', source, 'localhost'),
      byLink('leak', replica),
      ['instance', 'add', 'leak', ...files],
    ]) {
      expect(await tidemark.refused(1, ...again)).toMatchObject(denied);
    }
    // The node is known when its instance is configured no more, and may come back as what it is.
    await tidemark.json('instance', 'remove', ID);
    expect(await tidemark.refused(1, ...byLink('leak', source))).toMatchObject(denied);
    await tidemark.add(ID, source);
    await tidemark.json(...byLink('other', other));
    const { instances } = await tidemark.json<{ instances: { id: string }[] }>('instance', 'list');
    expect(instances.map(({ id }) => id).sort()).toEqual(['other', ID]);
  });
});

describeWithKms('TDE with a key service', () => {
  let tidemark: Tidemark;
  let source: RedisServer;
  let target: RedisServer;
  let redis: Redis;
  let archiver: ArchiverProcess;
  let customKey = '';
  let backup = '';
  /** A second at whose end the values are those of before. */
  let good = 0;

  const toOriginal = (...flags: string[]): string[] => [
    ...['restore', ID, '--at', iso(good), '--to', 'original', '--glob', 'k:*', ...flags],
  ];

  beforeAll(async () => {
    [tidemark, source, target] = await Promise.all([
      Tidemark.init([], '', 'kms'),
      startRedis(),
      startRedis({ aof: false }),
    ]);
    redis = await source.connect();
    await tidemark.add(ID, source);
    archiver = await tidemark.serve();
    customKey = (await tidemark.kms?.server.createKey('of the owner')) ?? '';
  });
  afterAll(async () => {
    for (const part of [tidemark, source, target]) await part[Symbol.asyncDispose]();
  });

  it('is enabled with a key of the owner, which the running archiver uses at once', async () => {
    const { keys } = await tidemark.json<{ keys: readonly Key[] }>('tde', 'keys', 'list', ID);
    expect(keys.map(({ keyId }) => keyId)).toContain(customKey);
    const wanted = ['--kms-key', customKey, '--confirm', ID];
    const status = await tidemark.json<Status>('tde', 'enable', ID, ...wanted);
    expect(status).toMatchObject({
      ...{ state: 'enabled', provider: 'aws-kms', keyId: customKey, mode: 'custom' },
      ...{ latch: EVERYWHERE, allowOriginalRestore: false },
    });
    backup = status.backup ?? '';
    const shown = await tidemark.json<Key>('tde', 'keys', 'show', ID);
    expect(shown).toMatchObject({ keyId: customKey, encryptionKeyStatus: 'enabled', inUse: true });
    const other = (await tidemark.kms?.server.createKey()) ?? '';
    const refused = await tidemark.refused(2, 'tde', 'enable', ID, '--kms-key', other);
    expect(refused).toMatchObject({ code: 'TM_EXISTS', context: { keyId: customKey } });
  });

  it('downloads backups as ciphertext and shows no values', async () => {
    await redis.mset({ 'k:1': 'before', 'k:2': 'before' });
    good = Math.floor(Date.now() / 1000);
    await delay(1_100);
    await redis.mset({ 'k:1': 'after', 'k:2': 'after' });
    await tidemark.untilProven(ID, good + 1);
    const file = join(tidemark.dir, 'downloaded');
    await tidemark.json('backup', 'download', ID, backup, '--out', file);
    expect((await readFile(file)).subarray(0, 8).toString('hex')).toBe(SEALED);
    const span = ['--from', iso(good), '--to', 'live', '--glob', 'k:*'];
    const values = await tidemark.refused(1, 'diff', ID, ...span, '--values');
    expect(values).toMatchObject({ code: 'TM_TDE_DENIED', context: { operation: 'values' } });
    const { out } = await tidemark.run('diff', ID, ...span);
    expect(out).toMatch(/2 changed/);
    expect(out).not.toContain('before');
  });

  it('writes into the original only when that is allowed, and is fed over the loopback only', async () => {
    const denied = await tidemark.refused(1, ...toOriginal('--yes'));
    expect(denied).toMatchObject({
      ...{ code: 'TM_TDE_DENIED', context: { operation: 'original-restore' } },
      hint: expect.stringContaining(`tde allow-original-restore ${ID} on`) as unknown,
    });
    expect(await redis.get('k:1')).toBe('after');
    const here = `redis://127.0.0.1:${source.port.toString()}`;
    const byAddress = ['restore', ID, '--at', iso(good), '--to', here, '--yes', '--confirm', ID];
    expect(await tidemark.refused(1, ...byAddress)).toMatchObject({ code: 'TM_TDE_DENIED' });
    expect(await redis.get('k:1')).toBe('after');
    await tidemark.json('tde', 'allow-original-restore', ID, 'on');
    const written = await tidemark.json<{ id: string }>(...toOriginal('--yes'));
    expect(await redis.get('k:1')).toBe('before');
    await tidemark.json('undo', written.id, '--yes');
    expect(await redis.get('k:1')).toBe('after');
    await tidemark.json('tde', 'allow-original-restore', ID, 'off');
    expect(await tidemark.refused(1, ...toOriginal('--yes'))).toMatchObject({
      code: 'TM_TDE_DENIED',
    });
    const there = `redis://127.0.0.1:${target.port.toString()}`;
    const wide = ['--to', there, '--feed-listen', '0.0.0.0'];
    const refused = await tidemark.refused(1, 'restore', ID, '--at', iso(good), ...wide);
    expect(refused).toMatchObject({ context: { operation: 'clear-transport' } });
    await tidemark.restore(ID, good, target);
    const restored = await target.connect();
    expect(await restored.mget('k:1', 'k:2')).toEqual(['before', 'before']);
  });

  it('is cloned into a server of this host that speaks TLS only, and that is ended by its name', async () => {
    const ca = await TestCa.create('CA');
    const secrets = join(tidemark.dir, 'secrets');
    await mkdir(secrets, { mode: 0o700, recursive: true });
    const { cert, key } = await ca.issue();
    const files = { 'clone.pem': cert, 'clone.key': key, 'ca.pem': ca.cert, pass: PASSWORD };
    for (const [name, text] of Object.entries(files)) {
      await writeFile(join(secrets, name), text, { mode: 0o600 });
    }
    const tls = ['--tls-cert', 'clone.pem', '--tls-key', 'clone.key', '--tls-ca', 'ca.pem'];
    const wish = ['--to', 'local', '--name', 'copy', '--pass-file', join(secrets, 'pass')];
    const job = await tidemark.json<{ result: { url: string } }>(
      ...['clone', ID, '--at', iso(good), ...wish, ...tls, '--sample', '10'],
    );
    const { url } = job.result;
    expect(url).toMatch(/^rediss:/);
    const options = { password: PASSWORD, lazyConnect: true, retryStrategy: () => null };
    const secure = new Redis(url, { ...options, tls: { ca: ca.cert } });
    const plain = new Redis(url.replace('rediss:', 'redis:'), options);
    for (const client of [secure, plain]) client.on('error', () => undefined);
    try {
      await secure.connect();
      expect(await secure.mget('k:1', 'k:2')).toEqual(['before', 'before']);
      await expect(plain.connect()).rejects.toThrow();
    } finally {
      for (const client of [secure, plain]) client.disconnect();
    }
    const { servers } = await tidemark.json<{ servers: readonly { pid: number; dir: string }[] }>(
      ...['servers', 'list'],
    );
    expect(servers).toMatchObject([
      {
        ...{ name: 'copy', kind: 'clone', state: 'running', instance: ID, tls: true },
        address: url.slice('rediss://'.length),
      },
    ]);
    const [{ pid, dir } = { pid: 0, dir: '' }] = servers;
    const end = ['servers', 'end', 'copy', '--data', 'delete', '--confirm'];
    expect(await tidemark.refused(2, ...end, 'other')).toMatchObject({ code: 'TM_WRITE_CONSENT' });
    expect(await isRunning(pid)).toBe(true);
    await tidemark.json(...end, 'copy');
    expect([await isRunning(pid), existsSync(dir)]).toEqual([false, false]);
    expect(await tidemark.json('servers', 'list')).toEqual({ servers: [] });
  });

  it('knows the original by its address also after a restart that no archiver saw', async () => {
    await archiver.stop();
    await source.restart();
    redis = await source.connect();
    const here = `redis://localhost:${source.port.toString()}`;
    const byAddress = ['restore', ID, '--at', iso(good), '--to', here, '--yes', '--confirm', ID];
    expect(await tidemark.refused(1, ...byAddress)).toMatchObject({
      ...{ code: 'TM_TDE_DENIED', context: { operation: 'original-restore' } },
    });
    expect(await redis.get('k:1')).toBe('after');
    // A new server in the place of a lost original is another one.
    await source.stop();
    const anew = ['restore', ID, '--at', iso(good), '--to', 'new', '--no-promote'];
    const { id, state } = await tidemark.json<{ id: string; state: string }>(
      ...[...anew, '--port', source.port.toString()],
    );
    expect(state).toBe('replayed');
    await tidemark.json('restore', ID, '--abort', id);
    await source.restart();
    redis = await source.connect();
  });

  it('stays on without the catalog and with a configuration that names no key service', async () => {
    await archiver.stop();
    for (const name of ['catalog.db', 'catalog.db-wal', 'catalog.db-shm']) {
      await rm(join(tidemark.dir, 'state', name), { force: true });
    }
    const text = await readFile(tidemark.config, 'utf8');
    const ring = text.replace('"aws-kms"', '"ring"').replaceAll(/^kms_.*\n/gm, '');
    await writeFile(tidemark.config, ring);
    expect(await statusOf(tidemark)).toMatchObject({ state: 'enabled', keyId: customKey });
    const file = join(tidemark.dir, 'again');
    await tidemark.json('backup', 'download', ID, backup, '--out', file);
    expect((await readFile(file)).subarray(0, 8).toString('hex')).toBe(SEALED);
    // Nothing is sealed under another key instead: the capture does not go on.
    const { total } = (await statusOf(tidemark)).backups;
    await redis.set('k:3', 'more');
    const degraded = tidemark.spawnArchiver();
    expect(await degraded.exited).toBe(12);
    expect(degraded.log).toContain('TM_KEY_MISSING');
    expect((await statusOf(tidemark)).backups.total).toBe(total);
  });
});
