import { once } from 'node:events';
import { lstat, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  checkRights,
  connectNode,
  readNodeFacts,
  startServer,
  takeSample,
  type NodeAddress,
  type NodeSample,
} from '@tidemark/client';
import { describe, expect, it } from 'vitest';
import { startRedis, type RedisServer } from '../support/redis-server.ts';
import { spawnTypeScript } from '../support/ts-child.ts';
import { TempDir } from '../support/temp-dir.ts';

const tcp = (server: RedisServer): NodeAddress => ({ host: '127.0.0.1', port: server.port });
const unix = (server: RedisServer): NodeAddress => ({ ...tcp(server), path: server.socketPath });

const containing = (part: string): unknown => expect.stringContaining(part);

describe('connectNode()', () => {
  it('knows both ends of a connection, over TCP and over a unix socket', async () => {
    await using server = await startRedis();
    await using over = await connectNode(tcp(server), { name: 'tm-test' });
    await using local = await connectNode(unix(server));
    expect(over).toMatchObject({ localAddress: '127.0.0.1', remoteAddress: '127.0.0.1' });
    expect(local).toMatchObject({ localAddress: '127.0.0.1', remoteAddress: '127.0.0.1' });
    expect(String(await over.call('CLIENT', 'LIST'))).toContain('name=tm-test');
    expect(await over.call('SET', Buffer.from([0, 255]), 'v')).toBe('OK');
    expect(await local.callBuffer('KEYS', '*')).toEqual([Buffer.from([0, 255])]);
    const replies = await local.pipeline([
      ['GET', 'none'],
      ['LPOP', Buffer.from([0, 255])],
      ['DBSIZE'],
    ]);
    expect(replies).toEqual([null, expect.objectContaining({ code: 'TM_NODE_REPLY' }), 1]);
  });

  it('logs in with a password, and says so when it is wrong, missing or not asked for', async () => {
    await using server = await startRedis({ config: { requirepass: 'pa ss"\\' } });
    const address = tcp(server);
    const refused = { code: 'TM_NODE_AUTH' };
    await using client = await connectNode({ ...address, password: 'pa ss"\\' });
    expect(await client.call('PING')).toBe('PONG');
    await expect(connectNode(address)).rejects.toMatchObject(refused);
    await expect(connectNode({ ...address, password: 'wrong' })).rejects.toMatchObject(refused);
    await expect(
      connectNode({ ...address, username: 'nobody', password: 'pa ss"\\' }),
    ).rejects.toMatchObject(refused);
    await client.configSet('requirepass', '');
    await using open = await connectNode({ ...address, password: 'anything' });
    expect(await open.call('PING')).toBe('PONG');
  });

  it('names the command that a user may not run', async () => {
    await using server = await startRedis({
      config: {
        user: ['watcher on >w ~* +ping +info +multi +exec', 'default on nopass ~* &* +@all'],
      },
    });
    await using client = await connectNode({ ...tcp(server), username: 'watcher', password: 'w' });
    await expect(client.configGet('*')).rejects.toMatchObject({
      code: 'TM_NODE_RIGHTS',
      context: { command: 'CONFIG GET' },
    });
    await expect(takeSample(client)).rejects.toMatchObject({
      code: 'TM_NODE_RIGHTS',
      context: { command: 'TIME' },
    });
    const facts = await readNodeFacts(client);
    expect(facts).toMatchObject({ config: null, databases: null, modules: [], role: 'master' });
  });

  it('counts a server that loads its data as connected', async () => {
    await using server = await startRedis({
      config: { 'key-load-delay': '1000', 'loading-process-events-interval-bytes': '1024' },
    });
    const fill = await server.connect();
    await fill.call('DEBUG', 'POPULATE', '2000');
    await fill.call('SAVE');
    await fill.call('BGREWRITEAOF');
    await expect
      .poll(async () => (await fill.info('persistence')).includes('aof_rewrite_in_progress:0'))
      .toBe(true);
    const restarted = server.restart();
    await expect
      .poll(
        async () => {
          await using client = await connectNode(tcp(server), { timeoutMs: 1_000 });
          return (await takeSample(client)).loading;
        },
        { timeout: 60_000, interval: 20 },
      )
      .toBe(true);
    await restarted;
  });
});

describe('checkRights()', () => {
  const wanted = [
    ['CONFIG', 'GET', 'x'],
    ['CONFIG', 'SET', 'appendonly', 'no'],
    ['GET', 'k'],
    ['FLUSHALL'],
    ['REPLICAOF', 'NO', 'ONE'],
    ['NOSUCHCOMMAND', 'x'],
    ['EXEC'],
  ];
  const missing = [wanted[1], wanted[3], wanted[4], wanted[5], wanted[6]];

  it.each([
    ['ACL DRYRUN', '+acl|whoami +acl|dryrun'],
    ['a discarded transaction', '+acl|whoami +multi +discard'],
    ['a discarded transaction without ACL', '+multi +discard'],
  ])('finds what is missing by %s, and executes nothing', async (_, extra) => {
    await using server = await startRedis({
      config: {
        user: [`u on >p ~* +ping +get +config|get ${extra}`, 'default on nopass ~* &* +@all'],
      },
    });
    const admin = await server.connect();
    await admin.set('k', 'v');
    await using client = await connectNode({ ...tcp(server), username: 'u', password: 'p' });
    expect(await checkRights(client, wanted)).toEqual(missing);
    expect(await client.call('GET', 'k')).toBe('v');
  });

  it('finds nothing missing for a user who may do everything', async () => {
    await using server = await startRedis();
    const admin = await server.connect();
    await admin.set('k', 'v');
    await using client = await connectNode(unix(server));
    expect(
      await checkRights(client, [...wanted.slice(0, 5), ['EXEC'], ['PSYNC', '?', '-1']]),
    ).toEqual([]);
    expect(await admin.get('k')).toBe('v');
    expect(await checkRights(client, [])).toEqual([]);
  });
});

describe('takeSample()', () => {
  it('pairs time and position of one moment while writers are busy', async () => {
    await using server = await startRedis();
    const writer = await server.connect();
    await using client = await connectNode(unix(server));
    const before = await takeSample(client);
    // Each write tells the time at which it ran and appends a record of always the same length.
    const work = { goesOn: true };
    const written: number[] = [];
    const busy = (async () => {
      while (work.goesOn) {
        const batch = await Promise.all(
          Array.from({ length: 20 }, () =>
            writer.multi().set('key', 'x'.repeat(100)).time().exec(),
          ),
        );
        for (const reply of batch) {
          const [seconds, micros] = (reply?.[1]?.[1] ?? []) as [string, string];
          written.push(Number(seconds) * 1e6 + Number(micros));
        }
      }
    })();
    const samples: NodeSample[] = [];
    for (let i = 0; i < 150; i++) samples.push(await takeSample(client));
    work.goesOn = false;
    await busy;
    const position = (s: NodeSample): number => s.aofCurrentSize + s.aofBufferLength;
    const end = position(await takeSample(client)) - position(before);
    // Annotations (`#TS:…`, 16 bytes) come between the records, at most one a second.
    const record = Math.floor(end / written.length);
    for (const sample of samples) {
      const earlier = written.filter((timeUs) => timeUs <= sample.timeUs).length;
      const bytes = position(sample) - position(before);
      expect(Math.abs(bytes - earlier * record)).toBeLessThan(record / 2 + 200);
    }
    expect(samples.some((s, i) => i > 0 && position(s) > position(samples[i - 1] ?? s))).toBe(true);
    expect(before).toMatchObject({ role: 'master', aofEnabled: true, loading: false });
    expect(before).toMatchObject({ lastWriteOk: true, aofRewrites: 0 });
    expect(before.runId).toMatch(/^[0-9a-f]{40}$/);
    expect(before.masterReplid).toMatch(/^[0-9a-f]{40}$/);
    expect(Math.abs(before.timeUs / 1000 - Date.now())).toBeLessThan(60_000);
  });

  it('tells rewrites, and that the append-only file is off', async () => {
    await using server = await startRedis();
    await using client = await connectNode(unix(server));
    const { runId } = await takeSample(client);
    await client.call('BGREWRITEAOF');
    await expect.poll(async () => (await takeSample(client)).aofRewrites).toBe(1);
    await client.configSet('appendonly', 'no');
    expect(await takeSample(client)).toMatchObject({
      runId,
      aofEnabled: false,
      aofCurrentSize: 0,
      aofBaseSize: 0,
      aofBufferLength: 0,
    });
  });
});

describe('readNodeFacts()', () => {
  it('tells what a master and its replica are', async () => {
    await using server = await startRedis({ config: { databases: '20' } });
    await using other = await startRedis({ aof: false });
    await using client = await connectNode(unix(server));
    await using replica = await connectNode(unix(other));
    await client.call('SET', 'k', 'v', 'EX', '1000');
    await replica.call('REPLICAOF', '127.0.0.1', server.port);
    await expect
      .poll(async () => (await readNodeFacts(replica)).master?.up, { timeout: 60_000 })
      .toBe(true);
    // The master hears of it a moment later.
    await expect
      .poll(async () => (await readNodeFacts(client)).replicas[0]?.state, { timeout: 60_000 })
      .toBe('online');
    const facts = await readNodeFacts(client);
    expect(facts).toMatchObject({
      product: 'redis',
      role: 'master',
      master: null,
      cluster: false,
      loading: false,
      modules: [],
      databases: 20,
      keyspace: [{ db: 0, keys: 1, expires: 1 }],
      tcpPort: server.port,
      processId: server.pid,
    });
    expect(facts.replicas).toEqual([{ ip: '127.0.0.1', port: other.port, state: 'online' }]);
    expect(facts.versionNumber).toBeGreaterThanOrEqual(60_000);
    expect(facts.config).toMatchObject({ appendonly: 'yes', dir: server.dir });
    expect((await readNodeFacts(replica)).master).toEqual({
      host: '127.0.0.1',
      port: server.port,
      up: true,
    });
  });
});

describe('startServer()', () => {
  it('keeps passwords off the command line and its files to itself', async () => {
    await using temp = await TempDir.create();
    await using server = await startServer({
      dir: join(temp.path, 'new'),
      unixSocket: true,
      config: { requirepass: 'hunter2', 'client-output-buffer-limit': 'replica 300mb 64mb 60' },
    });
    expect((await readFile(`/proc/${server.pid}/cmdline`)).includes('hunter2')).toBe(false);
    for (const name of ['server.conf', 'server.log']) {
      expect((await lstat(join(server.dir, name))).mode & 0o777).toBe(0o600);
    }
    expect((await lstat(server.dir)).mode & 0o777).toBe(0o700);
    await using client = await connectNode({
      host: server.host,
      port: server.port,
      password: 'hunter2',
    });
    expect(await client.configGet('client-output-buffer-limit')).toMatchObject({
      'client-output-buffer-limit': containing('slave 314572800 67108864 60'),
    });
    expect(await server.stop()).toEqual({ code: 0, signal: null });
    await client.closed;
  });

  it('goes without TCP, and with a folder whose path is too long for a socket', async () => {
    await using temp = await TempDir.create();
    await using hidden = await startServer({ dir: join(temp.path, 'hidden'), tcp: false });
    expect(hidden.port).toBe(0);
    await using client = await connectNode({
      host: 'localhost',
      port: 0,
      path: hidden.socketPath ?? '',
    });
    expect(await client.configGet('port')).toEqual({ port: '0' });
    const dir = join(temp.path, 'a'.repeat(90));
    await using deep = await startServer({ dir });
    await using over = await connectNode({ host: deep.host, port: deep.port });
    expect(await over.configGet('dir')).toEqual({ dir });
    expect(deep.socketPath).toBeNull();
    expect((await deep.kill()).signal).toBe('SIGKILL');
  });

  it('leaves a detached server running when its starter ends', async () => {
    await using temp = await TempDir.create();
    const starter = spawnTypeScript(new URL('../support/start-detached.ts', import.meta.url), [
      temp.path,
    ]);
    let facts = '';
    starter.stdout?.on('data', (chunk: Buffer) => (facts += chunk.toString()));
    const [code] = (await once(starter, 'close')) as [number | null];
    expect(code).toBe(0);
    const { port, pid } = JSON.parse(facts) as { port: number; pid: number };
    try {
      await using client = await connectNode({ host: '127.0.0.1', port });
      expect((await readNodeFacts(client)).processId).toBe(pid);
    } finally {
      process.kill(pid, 'SIGKILL');
    }
  });

  it('says why a server did not come up, with the end of its log', async () => {
    await using temp = await TempDir.create();
    const dir = temp.path;
    await expect(startServer({ dir, config: { maxmemory: 'nonsense' } })).rejects.toMatchObject({
      code: 'TM_SERVER_START',
      context: { code: 1, log: containing('maxmemory') },
    });
    await expect(startServer({ dir, binary: '/nonexistent/server' })).rejects.toMatchObject({
      code: 'TM_SERVER_START',
      hint: containing('not found'),
    });
    await using first = await startServer({ dir: join(dir, 'first') });
    await expect(startServer({ dir: join(dir, 'second'), port: first.port })).rejects.toMatchObject(
      {
        code: 'TM_SERVER_START',
        context: { log: containing('Address already in use') },
      },
    );
    await expect(
      startServer({ dir: join(dir, 'a'.repeat(90)), unixSocket: true }),
    ).rejects.toMatchObject({ code: 'TM_SERVER_START', context: { bytesMax: 107 } });
  });
});
