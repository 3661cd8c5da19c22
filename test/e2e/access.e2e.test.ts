import { execFileSync } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { createConnection } from 'node:net';
import { join } from 'node:path';
import type { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { diffOracle, readOracle } from '../support/oracle.ts';
import { startRedis, type RedisServer } from '../support/redis-server.ts';
import { Tidemark } from '../support/tidemark-cli.ts';

const ID = 'guarded';
const SECRETS = {
  admin: 'admin-secret-5c1d9e',
  capture: 'capture-secret-77ab02',
  restore: 'restore-secret-e1f6c3',
} as const;
/** The rules of docs/acl.md: what is tested here is what is documented there. */
const rules = async (role: string): Promise<string[]> => {
  const text = await readFile(new URL('../../docs/acl.md', import.meta.url), 'utf8');
  const rule = new RegExp(`ACL SETUSER ${role} on >PASSWORD (.*)`).exec(text)?.[1];
  if (rule === undefined) throw new Error(`docs/acl.md has no rule for ${role}`);
  return rule.trim().split(' ');
};

let tidemark: Tidemark;
let source: RedisServer;
let target: RedisServer;
let admin: Redis;
let archiverLog: () => string;
const files: Record<string, string> = {};

async function allow(server: RedisServer, role: string, secret: string): Promise<Redis> {
  const client = await server.connect();
  await client.call('ACL', 'SETUSER', role, 'on', `>${secret}`, ...(await rules(role)));
  await client.config('SET', 'requirepass', SECRETS.admin);
  return server.connect({ password: SECRETS.admin });
}

beforeAll(async () => {
  [tidemark, source, target] = await Promise.all([
    Tidemark.init(),
    startRedis({ config: { databases: '32' } }),
    startRedis({ aof: false, config: { databases: '32' } }),
  ]);
  for (const [name, secret] of Object.entries(SECRETS)) {
    files[name] = join(tidemark.dir, `${name}.pass`);
    await writeFile(files[name] ?? '', `${secret}\n`, { mode: 0o600 });
  }
  admin = await allow(source, 'capture', SECRETS.capture);
  await allow(target, 'restore', SECRETS.restore);
  await admin.set('key', 'value');
  await admin.select(20);
  await admin.hset('hash', { field: 'value' });
  await tidemark.json(
    ...['instance', 'add', ID, '-u', `redis://capture@127.0.0.1:${source.port}`],
    ...['--pass-file', files['capture'] ?? '', '--aof-dir', source.aofDir, '--yes'],
  );
  const archiver = await tidemark.serve();
  archiverLog = () => archiver.log;
  await tidemark.untilProven(ID, Math.floor(Date.now() / 1000));
});

afterAll(async () => {
  for (const part of [tidemark, source, target]) await part[Symbol.asyncDispose]();
});

const to = (server: RedisServer, user = ''): string =>
  `redis://${user === '' ? '' : `${user}@`}127.0.0.1:${server.port}`;

describe('users with the fewest rights', () => {
  it('are enough to capture, to back up and to restore', async () => {
    await tidemark.json('backup', 'create', ID, '--wait');
    const report = await tidemark.json<{ state: string; id: string }>(
      ...['restore', ID, '--at', 'latest', '--to', to(target, 'restore')],
      ...['--pass-file', files['restore'] ?? '', '--no-promote'],
    );
    const client = await target.connect({ password: SECRETS.admin });
    await admin.select(0);
    expect(diffOracle(await readOracle(admin), await readOracle(client))).toEqual([]);
    await tidemark.json('restore', ID, '--abort', report.id);
    expect(await client.dbsize()).toBe(0);
    expect(await client.config('GET', 'masterauth')).toEqual(['masterauth', '']);
  });

  it('a missing right is named before anything is sent', async () => {
    const client = await target.connect({ password: SECRETS.admin });
    await client.call('ACL', 'SETUSER', 'restore', '-replicaof');
    const error = await tidemark.refused(
      1,
      ...['restore', ID, '--at', 'latest', '--to', to(target, 'restore')],
      ...['--pass-file', files['restore'] ?? ''],
    );
    expect(error).toMatchObject({ code: 'TM_NODE_RIGHTS' });
    expect(error.message).toMatch(/replicaof/i);
    await client.call('ACL', 'SETUSER', 'restore', '+replicaof');
    expect(await client.dbsize()).toBe(0);
  });

  it('a wrong and a missing password are refused on both sides', async () => {
    const wrong = ['--pass-file', files['admin'] ?? ''];
    const add = ['instance', 'add', 'other', '--aof-dir', source.aofDir];
    const captures = [
      await tidemark.refused(1, ...add, '-u', to(source, 'capture'), ...wrong),
      await tidemark.refused(1, ...add, '-u', to(source)),
      await tidemark.refused(
        1,
        'restore',
        ID,
        '--at',
        'latest',
        '--to',
        to(target, 'restore'),
        ...wrong,
      ),
      await tidemark.refused(1, 'restore', ID, '--at', 'latest', '--to', to(target)),
    ];
    expect(captures.map(({ code }) => code)).toEqual(Array(4).fill('TM_NODE_AUTH'));
    const inUrl = await tidemark.refused(
      2,
      ...[...add, '-u', `redis://capture:${SECRETS.capture}@127.0.0.1:${source.port}`],
    );
    expect(inUrl.message + (inUrl.hint ?? '')).not.toContain(SECRETS.capture);
  });
});

describe('targets that cannot take the data are refused untouched', () => {
  const restoreInto = (server: RedisServer, code: number): ReturnType<Tidemark['refused']> =>
    tidemark.refused(code, 'restore', ID, '--at', 'latest', '--to', to(server));

  it('too few databases', async () => {
    await using small = await startRedis({ aof: false });
    expect(await restoreInto(small, 1)).toMatchObject({ code: 'TM_TARGET_DATABASES' });
    expect(await (await small.connect()).role()).toMatchObject(['master', 0, []]);
  });

  it('memory limits that would evict, data, replicas', async () => {
    const config = { databases: '32' };
    await using tight = await startRedis({
      aof: false,
      config: { ...config, maxmemory: '1mb', 'maxmemory-policy': 'allkeys-lru' },
    });
    expect(await restoreInto(tight, 1)).toMatchObject({ code: 'TM_TARGET_MEMORY' });
    await using full = await startRedis({ aof: false, config });
    const client = await full.connect();
    await client.set('mine', '1');
    expect(await restoreInto(full, 15)).toMatchObject({ code: 'TM_TARGET_NOT_EMPTY' });
    expect(await client.get('mine')).toBe('1');
    await client.del('mine');
    await using replica = await startRedis({ aof: false, config });
    await (await replica.connect()).replicaof('127.0.0.1', full.port);
    for (let i = 0; i < 100 && !(await client.info('replication')).includes('state=online'); i++) {
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    expect(await restoreInto(full, 1)).toMatchObject({ code: 'TM_TARGET_REPLICAS' });
  });
});

describe('secrets', () => {
  it('stand in no argument of a process, no log and no result', async () => {
    const commands = execFileSync('ps', ['-eo', 'args'], { encoding: 'utf8' });
    const status = await tidemark.run('status', '-o', 'json');
    const shown = await tidemark.run('instance', 'show', ID);
    for (const secret of Object.values(SECRETS)) {
      for (const text of [commands, archiverLog(), status.out, status.err, shown.out]) {
        expect(text).not.toContain(secret);
      }
    }
  });

  it('are needed by whoever connects to the feed of a restore', async () => {
    const client = await target.connect({ password: SECRETS.admin });
    const report = tidemark.json<{ id: string }>(
      ...['restore', ID, '--at', 'latest', '--to', to(target, 'restore')],
      ...['--pass-file', files['restore'] ?? '', '--no-promote'],
    );
    const answers: string[] = [];
    for (let i = 0; i < 400 && answers.length < 2; i++) {
      const info = await client.info('replication');
      const port = Number(/master_port:(\d+)/.exec(info)?.[1] ?? 0);
      if (port > 0) answers.push(await knock(port));
      else await new Promise((resolve) => setTimeout(resolve, 5));
    }
    const { id } = await report;
    expect(answers.join('')).not.toMatch(/REDIS00|FULLRESYNC|value/);
    await tidemark.json('restore', ID, '--abort', id);
  });
});

/** A stranger asks for the data; what it is answered until the connection ends. */
function knock(port: number): Promise<string> {
  return new Promise((resolve) => {
    let said = '';
    const socket = createConnection(port, '127.0.0.1');
    socket.setTimeout(2_000, () => socket.destroy());
    socket.on('data', (data) => (said += data.toString('latin1')));
    socket.on('error', () => socket.destroy());
    socket.on('close', () => resolve(said));
    socket.write('*1\r\n$4\r\nPING\r\n*3\r\n$5\r\nPSYNC\r\n$1\r\n?\r\n$2\r\n-1\r\n');
  });
}
