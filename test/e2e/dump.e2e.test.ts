import { once } from 'node:events';
import { readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import { describe, expect, it } from 'vitest';
import { writeEveryType } from '../support/every-type.ts';
import { startRedis, type RedisServer } from '../support/redis-server.ts';
import { MASTER, SentinelSet } from '../support/sentinel-set/sentinel-set.ts';
import { TempDir } from '../support/temp-dir.ts';
import { runTidemark, Tidemark, type CliError } from '../support/tidemark-cli.ts';

const USER = 'dump';
const PASSWORD = 'only psync';
const RIGHTS = ['+psync', '+replconf', '+ping'];

async function startSource(config: Record<string, string> = {}): Promise<RedisServer> {
  const source = await startRedis({ aof: false, config });
  const client = await source.connect();
  await client.call('ACL', 'SETUSER', USER, 'on', `>${PASSWORD}`, '-@all', ...RIGHTS);
  return source;
}

/** The arguments for a server, with the password in a file of the folder. */
async function dumpOf(source: RedisServer, dir: string): Promise<string[]> {
  const passFile = join(dir, 'pass');
  await writeFile(passFile, `${PASSWORD}\n`, { mode: 0o600 });
  return ['dump', '-u', `redis://${USER}@127.0.0.1:${source.port}`, '--pass-file', passFile];
}

const errorOf = (err: string): CliError =>
  (JSON.parse(err.trim().split('\n').at(-1) ?? '') as { readonly error: CliError }).error;

describe('tidemark dump', () => {
  it('writes a file that a server loads, with three rights and no configuration', async () => {
    await using temp = await TempDir.create('tidemark-dump-');
    await using source = await startSource();
    const client = await source.connect();
    let next = 0;
    await writeEveryType(client, () => `value ${(next += 1)}`, 'lib');
    const dump = await dumpOf(source, temp.path);
    const file = join(temp.path, 'one.rdb');
    const { code, out, err } = await runTidemark([...dump, file, '-o', 'json']);
    expect({ code, err }).toEqual({ code: 0, err: '' });
    const keys = await client.dbsize();
    expect(JSON.parse(out)).toMatchObject({ file, keys, bytes: (await stat(file)).size });
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    expect((await readdir(temp.path)).sort()).toEqual(['one.rdb', 'pass']);
    expect((await runTidemark(['rdb', 'check', file])).code).toBe(0);

    await using target = await startRedis({ aof: false });
    await target.stop();
    await writeFile(join(target.dir, 'dump.rdb'), await readFile(file));
    await target.restart();
    const t = await target.connect();
    expect(await t.call('DEBUG', 'DIGEST')).toBe(await client.call('DEBUG', 'DIGEST'));

    // Nothing is written over, and the node is not asked in vain.
    const forks = async (): Promise<string> =>
      /^total_forks:(.*)$/m.exec(await client.info('stats'))?.[1]?.trim() ?? '';
    const before = await forks();
    const second = await runTidemark([...dump, file, '-o', 'json']);
    expect(second.code).toBe(2);
    expect(errorOf(second.err)).toMatchObject({
      code: 'TM_EXISTS',
      hint: expect.stringContaining('--force') as string,
    });
    expect(await forks()).toBe(before);
    await client.set('another', 1);
    const forced = await runTidemark([...dump, file, '--force', '-o', 'json']);
    expect(forced.code).toBe(0);
    expect(JSON.parse(forced.out)).toMatchObject({ keys: keys + 1 });
  });

  it('leaves nothing where it is refused or stopped', async () => {
    await using temp = await TempDir.create('tidemark-dump-');
    await using source = await startSource({ 'rdb-key-save-delay': '2000' });
    const client = await source.connect();
    await client.call('DEBUG', 'POPULATE', '20000', 'key', '1000');
    const dump = await dumpOf(source, temp.path);
    const file = join(temp.path, 'part.rdb');
    const files = async (): Promise<string[]> =>
      (await readdir(temp.path)).filter((name) => name !== 'pass');
    await using tidemark = await Tidemark.init();
    const child = tidemark.spawn(...dump, file);
    let err = '';
    child.stderr?.on('data', (text: Buffer) => (err += text.toString()));
    const exited = once(child, 'close');
    // The file is begun under another name.
    while ((await files()).length === 0) {
      expect(child.exitCode).toBeNull();
      await delay(20);
    }
    expect(await files()).toEqual([expect.stringMatching(/^\.part\.rdb\..*\.part$/)]);
    while (!(await client.info('replication')).includes('connected_slaves:1\r')) await delay(20);
    child.kill('SIGINT');
    expect((await exited)[0]).toBe(130);
    expect(err).toContain('TM_CANCELLED');
    expect(await files()).toEqual([]);

    await client.call('ACL', 'SETUSER', USER, '-psync');
    const denied = await runTidemark([...dump, file, '-o', 'json']);
    expect(denied.code).toBe(1);
    expect(errorOf(denied.err)).toMatchObject({
      code: 'TM_NODE_RIGHTS',
      hint: expect.stringContaining(RIGHTS.join(' ')) as string,
    });
    await writeFile(join(temp.path, 'pass'), 'wrong\n');
    const wrong = await runTidemark([...dump, file, '-o', 'json']);
    expect(errorOf(wrong.err)).toMatchObject({ code: 'TM_NODE_AUTH' });
    expect(await files()).toEqual([]);
  });

  it('finds the node behind Sentinels, a replica where one is wanted', async () => {
    await using temp = await TempDir.create('tidemark-dump-');
    await using set = await SentinelSet.start({ nodes: 2, sentinels: 2 });
    const [first, second] = [await set.node(0).connect(), await set.node(1).connect()];
    await first.set('a', 1);
    const syncs = async (client: Redis): Promise<string> =>
      /^sync_full:(.*)$/m.exec(await client.info('stats'))?.[1]?.trim() ?? '';
    const before = await syncs(first);
    const { port } = set.sentinel(0).address;
    const dump = ['dump', '-u', `redis+sentinel://127.0.0.1:${port}/${MASTER}`];
    const { code, err } = await runTidemark([
      ...dump,
      join(temp.path, 'replica.rdb'),
      '--prefer-replica',
    ]);
    expect({ code, err }).toEqual({ code: 0, err: '' });
    expect([await syncs(first), await syncs(second)]).toEqual([before, '1']);
    expect((await runTidemark([...dump, join(temp.path, 'primary.rdb')])).code).toBe(0);
    expect(await syncs(first)).toBe(String(Number(before) + 1));
    const direct = await runTidemark([
      ...['dump', '-u', 'redis://127.0.0.1:1', '--prefer-replica', join(temp.path, 'no.rdb')],
      ...['-o', 'json'],
    ]);
    expect(errorOf(direct.err).code).toBe('TM_CONFIG');
    expect((await readdir(temp.path)).sort()).toEqual(['primary.rdb', 'replica.rdb']);
  });

  it('makes no plain copy of an instance with TDE, nor of a replica of it', async () => {
    await using tidemark = await Tidemark.init([], '', 'ring');
    await using source = await startRedis();
    await using replica = await startRedis({ aof: false });
    await using other = await startRedis({ aof: false });
    await tidemark.add('vault', source);
    await tidemark.json('tde', 'enable', 'vault', '--confirm', 'vault');
    const r = await replica.connect();
    await r.call('REPLICAOF', '127.0.0.1', source.port);
    while (!(await r.info('replication')).includes('master_link_status:up\r')) await delay(20);
    const file = join(tidemark.dir, 'plain.rdb');
    const hosts = [
      `127.0.0.1:${source.port}`,
      `localhost:${source.port}`,
      `127.0.0.1:${replica.port}`,
    ];
    for (const host of hosts) {
      const refused = await tidemark.refused(1, 'dump', '-u', `redis://${host}`, file);
      expect(refused).toMatchObject({
        code: 'TM_TDE_DENIED',
        context: { instance: 'vault', operation: 'plain-copy' },
      });
    }
    expect((await readdir(tidemark.dir)).filter((name) => name.includes('plain'))).toEqual([]);
    // Another server is none of its business.
    await tidemark.json('dump', '-u', `redis://127.0.0.1:${other.port}`, file);
    expect((await stat(file)).size).toBeGreaterThan(0);
  });
});
