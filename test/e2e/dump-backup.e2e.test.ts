import { once } from 'node:events';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { writeEveryType } from '../support/every-type.ts';
import { diffOracle, readOracle } from '../support/oracle.ts';
import { startRedis, type RedisServer } from '../support/redis-server.ts';
import { Tidemark } from '../support/tidemark-cli.ts';

const USER = 'dump';
const PASSWORD = 'only psync';
/** First bytes of every sealed object. */
const SEALED = Buffer.from('8b544445310d0a1a', 'hex');

interface Dumped {
  readonly backup: string;
  readonly keys: number;
}

interface Backups {
  readonly backups: readonly {
    readonly id: string;
    readonly mode: string;
    readonly from: string;
    readonly offset: string;
  }[];
}

async function startSource(config: Record<string, string> = {}): Promise<RedisServer> {
  const source = await startRedis({ aof: false, config });
  const client = await source.connect();
  const rights = ['-@all', '+psync', '+replconf', '+ping'];
  await client.call('ACL', 'SETUSER', USER, 'on', `>${PASSWORD}`, ...rights);
  return source;
}

/** The arguments for a backup of a server, with the password in a file. */
async function dumpOf(source: RedisServer, tidemark: Tidemark, id: string): Promise<string[]> {
  const passFile = join(tidemark.dir, 'pass');
  await writeFile(passFile, `${PASSWORD}\n`, { mode: 0o600 });
  const url = `redis://${USER}@127.0.0.1:${source.port}`;
  return ['dump', '-u', url, '--pass-file', passFile, 'backup', '--instance', id];
}

/** What waits in the spool of the dumps of an instance. */
async function waiting(tidemark: Tidemark, id: string): Promise<readonly string[]> {
  const names = await readdir(join(tidemark.dir, 'state', 'spool', `${id}.dump`)).catch(() => []);
  return names.filter((name) => /\.(sealed|json|note|tmp)$/.test(name));
}

describe('tidemark dump … backup', () => {
  it('keeps a server as a sealed backup that restores to the same dataset', async () => {
    await using tidemark = await Tidemark.init();
    await using source = await startSource();
    const client = await source.connect();
    let next = 0;
    await writeEveryType(client, () => `value ${(next += 1)}`, 'lib');
    const dump = await dumpOf(source, tidemark, 'once');
    const { backup, keys } = await tidemark.json<Dumped>(...dump);
    expect(keys).toBe(await client.dbsize());
    expect(await waiting(tidemark, 'once')).toEqual([]);

    const { backups } = await tidemark.json<Backups>('backup', 'list', 'once');
    expect(backups).toMatchObject([{ id: backup, mode: 'manual', offset: '0' }]);
    expect((await tidemark.run('backup', 'verify', 'once')).code).toBe(0);
    expect((await tidemark.windows('once')).shards[0]?.ranges).toEqual([]);
    expect((await tidemark.run('windows', 'once')).out).toContain('only backups');

    await using target = await startRedis({ aof: false });
    const to = ['--to', `redis://127.0.0.1:${target.port}`];
    await tidemark.json('restore', 'once', '--backup', backup, ...to);
    const t = await target.connect();
    expect(await t.call('DEBUG', 'DIGEST')).toBe(await client.call('DEBUG', 'DIGEST'));
    expect(diffOracle(await readOracle(client), await readOracle(t))).toEqual([]);

    // Another one stands beside it, and the file of the first is still that of the first.
    await client.set('another', 1);
    const second = await tidemark.json<Dumped>(...dump);
    expect(second.keys).toBe(keys + 1);
    const listed = await tidemark.json<Backups>('backup', 'list', 'once');
    expect(listed.backups.map(({ id }) => id).sort()).toEqual([backup, second.backup].sort());
    const file = join(tidemark.dir, 'first.rdb');
    await tidemark.json('backup', 'download', 'once', backup, '--out', file);
    expect((await readFile(file)).includes('another')).toBe(false);
  });

  it('makes no instance of a server that refuses it, and is refused what belongs to a capture', async () => {
    await using tidemark = await Tidemark.init([], '', 'ring');
    await using source = await startSource();
    const dump = await dumpOf(source, tidemark, 'orders');
    const client = await source.connect();

    await client.call('ACL', 'SETUSER', USER, '-psync');
    expect(await tidemark.refused(1, ...dump)).toMatchObject({ code: 'TM_NODE_RIGHTS' });
    expect(await tidemark.json('instance', 'list')).toEqual({ instances: [] });
    await client.call('ACL', 'SETUSER', USER, '+psync');
    expect(await tidemark.refused(2, ...dump.slice(0, -2))).toMatchObject({ code: 'TM_USAGE' });

    await tidemark.addByReplication('orders', source);
    expect(await tidemark.refused(2, ...dump)).toMatchObject({
      code: 'TM_EXISTS',
      hint: expect.stringContaining('tidemark backup create orders') as string,
    });
    // It is no way around TDE: the same server under another name.
    await tidemark.json('tde', 'enable', 'orders', '--confirm', 'orders');
    const other = await dumpOf(source, tidemark, 'other');
    expect(await tidemark.refused(1, ...other)).toMatchObject({
      code: 'TM_TDE_DENIED',
      context: { instance: 'orders', operation: 'plain-copy' },
    });

    // Another host captures it: this configuration does not name it, and its archiver may be down.
    const archiver = await tidemark.serve();
    const config = await readFile(tidemark.config, 'utf8');
    await writeFile(tidemark.config, config.slice(0, config.indexOf('[[instance]]')));
    const owned = { code: 'TM_LOG_OWNER', context: { iid: 'orders' } };
    expect(await tidemark.refused(11, ...dump)).toMatchObject(owned);
    expect(await archiver.stop()).toBe(0);
    expect(await tidemark.refused(11, ...dump)).toMatchObject(owned);

    await writeFile(tidemark.config, config);
    await tidemark.json('instance', 'remove', 'orders');
    const { backup } = await tidemark.json<Dumped>(...dump);
    const file = join(tidemark.dir, 'orders.sealed');
    await tidemark.json('backup', 'download', 'orders', backup, '--out', file);
    expect((await readFile(file)).subarray(0, SEALED.length)).toEqual(SEALED);
  });

  it('leaves nothing half when it is stopped, and goes on after a kill', async () => {
    await using tidemark = await Tidemark.init();
    await using source = await startSource({ 'rdb-key-save-delay': '1000' });
    const client = await source.connect();
    await client.call('DEBUG', 'POPULATE', '20000', 'key', '1000');
    const dump = await dumpOf(source, tidemark, 'once');
    const begin = async (): Promise<ReturnType<Tidemark['spawn']>> => {
      const child = tidemark.spawn(...dump);
      child.stdout?.resume();
      child.stderr?.resume();
      while ((await waiting(tidemark, 'once')).length === 0) {
        expect(child.exitCode).toBeNull();
        await delay(20);
      }
      return child;
    };
    const stopped = await begin();
    expect(await tidemark.refused(11, ...dump)).toMatchObject({ code: 'TM_BUSY' });
    const exited = once(stopped, 'close');
    stopped.kill('SIGINT');
    expect((await exited)[0]).toBe(130);
    expect(await waiting(tidemark, 'once')).toEqual([]);

    const killed = await begin();
    const gone = once(killed, 'close');
    killed.kill('SIGKILL');
    await gone;
    expect(await waiting(tidemark, 'once')).not.toEqual([]);

    await client.call('CONFIG', 'SET', 'rdb-key-save-delay', '0');
    await client.flushall();
    await client.set('a', 1);
    const { backup } = await tidemark.json<Dumped>(...dump);
    const { backups } = await tidemark.json<Backups>('backup', 'list', 'once');
    expect(backups.map(({ id }) => id)).toEqual([backup]);
    expect(await waiting(tidemark, 'once')).toEqual([]);
    expect((await tidemark.run('repo', 'verify')).code).toBe(0);
  });
});
