import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, lstat, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { connect, createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { connectNode } from '@tidemark/client';
import type { Job, Json } from '@tidemark/control';
import { systemClock, systemRandom } from '@tidemark/system';
import { Redis } from 'ioredis';
import { refuseConfiguredNode } from '../../../services/control/src/provision/configured-nodes.ts';
import { endHostServer } from '../../../services/control/src/provision/end-host-server.ts';
import { availableMemory } from '../../../services/control/src/provision/host-memory.ts';
import { hostServers } from '../../../services/control/src/provision/host-servers.ts';
import { writeNote } from '../../../services/control/src/provision/local-folder.ts';
import { newServerOf } from '../../../services/control/src/provision/new-server.ts';
import { reserveServer } from '../../../services/control/src/provision/reserve-server.ts';
import { thisStarter } from '../../../services/control/src/provision/server-processes.ts';
import { waitFor } from '../../support/archiver-run.ts';
import { startRedis, type RedisServer } from '../../support/redis-server.ts';
import { JobBench, OPS, type RunningControl } from '../../support/control-jobs/job-bench.ts';

let bench: JobBench;
let worker: RunningControl;
let other: RedisServer;
let third: RedisServer;

beforeAll(async () => {
  other = await startRedis({ aof: false });
  third = await startRedis({ aof: false });
  bench = await JobBench.open({}, { source: 'psync' });
  const { port } = bench.clones.archive.server;
  const entry = (id: string, at: number): string =>
    `[[instance]]\nid = "${id}"\nurl = "redis://127.0.0.1:${at.toString()}"\nsource = "psync"\n`;
  await bench.clones.configure({
    allowTargets: ['127.0.0.0/8:1-65535', '[::1]:1-65535'],
    more: entry('orders', port) + entry('shop', other.port),
  });
  const client = await bench.clones.archive.server.connect();
  await client.set('mine', '1');
  await bench.clones.settled();
  worker = await bench.control();
});

afterAll(async () => {
  await worker[Symbol.asyncDispose]();
  await bench[Symbol.asyncDispose]();
  await other[Symbol.asyncDispose]();
  await third[Symbol.asyncDispose]();
});

async function ended(kind: Job['kind'], request: Json): Promise<Job> {
  const { id } = await bench.submit(worker.control, kind, request);
  return bench.ended(worker.control, id);
}

describe('a node of a configured instance is no target, whatever is allowed', () => {
  it.each(['orders', 'shop'])('%s keeps its data, however it is named', async (instance) => {
    const server = instance === 'shop' ? other : bench.clones.archive.server;
    const client = await server.connect();
    await client.set('stays', '1');
    for (const host of ['127.0.0.1', 'localhost']) {
      const url = `redis://${host}:${server.port.toString()}`;
      const job = await ended('restore', {
        ...{ point: { kind: 'latest' }, target: { kind: 'address', url }, allowFlush: true },
      });
      expect(job).toMatchObject({ state: 'failed', problem: { code: 'TM_TARGET_DENIED' } });
    }
    expect(await client.get('stays')).toBe('1');
    expect(await client.call('ROLE')).toContain('master');
  });

  it('nor of a clone, even an empty one', async () => {
    const client = await other.connect();
    await client.flushall();
    const url = `redis://127.0.0.1:${other.port.toString()}`;
    const job = await ended('clone', {
      ...{ source: { kind: 'latest' }, name: 'copy', target: { kind: 'address', url } },
    });
    expect(job).toMatchObject({ state: 'failed', problem: { code: 'TM_TARGET_DENIED' } });
    expect(await client.dbsize()).toBe(0);
  });
});

describe('nor is a server that replicates with such a node', () => {
  /** What a server is to an instance by the rules; null: it may be written into. */
  async function relationOf(server: RedisServer): Promise<unknown> {
    const { signal } = new AbortController();
    await using client = await connectNode({ host: '127.0.0.1', port: server.port });
    const runId = (await client.info('server')).get('run_id') ?? '';
    return await refuseConfiguredNode({ client, runId }, worker.control.workspace, signal).then(
      () => null,
      (cause: unknown) => (cause as { readonly context: unknown }).context,
    );
  }

  async function follows(replica: RedisServer, primary: RedisServer): Promise<void> {
    const client = await replica.connect();
    await client.replicaof('127.0.0.1', primary.port);
    await waitFor(async () => (await client.info('replication')).includes('link_status:up'));
  }

  it('as its replica, which keeps its data', async () => {
    const { server } = bench.clones.archive;
    await follows(third, server);
    const url = `redis://127.0.0.1:${third.port.toString()}`;
    const job = await ended('restore', {
      ...{ point: { kind: 'latest' }, target: { kind: 'address', url }, allowFlush: true },
    });
    expect(job).toMatchObject({ state: 'failed', problem: { code: 'TM_TARGET_DENIED' } });
    const client = await third.connect();
    expect(await client.get('mine')).toBe('1');
    expect(String(await client.role())).toMatch(/^slave/);
    expect(await relationOf(third)).toEqual({ instance: 'orders', relation: 'replica' });
  });

  it('as what took over from it, until its owner has emptied it', async () => {
    const client = await third.connect();
    await client.replicaof('NO', 'ONE');
    expect(await relationOf(third)).toEqual({ instance: 'orders', relation: 'history' });
    await client.flushall();
    expect(await relationOf(third)).toBeNull();
  });

  it('as a replica of its replica, or one that cannot reach it', async () => {
    await using between = await startRedis({ aof: false });
    await follows(between, other);
    await follows(third, between);
    expect(await relationOf(third)).toEqual({ instance: 'shop', relation: 'replica' });
    const client = await third.connect();
    await client.replicaof('127.0.0.1', other.port);
    await (await other.connect()).config('SET', 'requirepass', 'closed');
    // Now the node tells us nothing: what the target says of its primary is enough.
    expect(await relationOf(third)).toEqual({ instance: 'shop', relation: 'replica' });
    await (await other.connect({ password: 'closed' })).config('SET', 'requirepass', '');
  });

  it('as its primary: what is written there flows into it', async () => {
    const client = await third.connect();
    await client.replicaof('NO', 'ONE');
    await client.flushall();
    await follows(other, third);
    expect(await relationOf(third)).toEqual({ instance: 'shop', relation: 'primary' });
    await (await other.connect()).replicaof('NO', 'ONE');
    await client.flushall();
  });
});

describe('a new server', () => {
  it('asks for its password, which no answer holds, and takes a port of [clone] ports', async () => {
    const point = { kind: 'latest' };
    await expect(
      ended('restore', { point, target: { kind: 'new', port: 80 } }),
    ).rejects.toMatchObject({ code: 'TM_USAGE', context: { port: 80 } });
    const job = await ended('restore', { point, target: { kind: 'new' } });
    expect(job.state).toBe('succeeded');
    const { target } = job.result as { readonly target: string };
    const { from, to } = worker.control.workspace.config.clone.ports;
    const port = Number(new URL(target).port);
    expect(port >= from && port <= to, target).toBe(true);
    const stranger = new Redis(target, { lazyConnect: true, retryStrategy: () => null });
    stranger.on('error', () => undefined);
    await expect(stranger.call('DBSIZE')).rejects.toThrow('NOAUTH');
    stranger.disconnect();
    const owner = await bench.connectTo(job);
    expect(await owner.get('mine')).toBe('1');
    await owner.set('later', '2');
    owner.disconnect();
  });

  it('is the only one that its password is given to', async () => {
    const [server] = await hostServers(worker.control.workspace.config);
    const { address, passwordRef, job } = server ?? never();
    const [point, selector] = [{ kind: 'latest' }, null];
    const at = (port: number): Json => ({
      ...{ kind: 'address', url: `redis://localhost:${port.toString()}`, passwordRef },
    });
    const wishes = (port: number): readonly (readonly [Job['kind'], Json])[] => [
      ['restore', { point, selector, target: at(port), allowFlush: true }],
      ['clone', { source: point, name: 'twin', target: at(port) }],
    ];
    for (const [kind, wish] of wishes(third.port)) {
      await expect(bench.submit(worker.control, kind, wish), kind).rejects.toMatchObject({
        ...{ code: 'TM_TARGET_DENIED', context: { file: passwordRef } },
      });
    }
    for (const [kind, wish] of wishes(address?.port ?? 0)) {
      const { state, problem } = await ended(kind, wish);
      expect({ state, problem }, kind).toEqual({ state: 'succeeded', problem: null });
      const owner = await bench.connectTo(worker.control.jobs.get(job ?? ''));
      expect(await owner.get('mine')).toBe('1');
      expect(await owner.get('later')).toBeNull();
      await owner.flushall();
      owner.disconnect();
    }
  });

  it('nor is any given that others may read', async () => {
    const passwordRef = `127.0.0.1_${third.port.toString()}.pass`;
    const path = join(bench.clones.archive.dir, 'secrets', passwordRef);
    await writeFile(path, 'Stored-pass-1\n');
    await chmod(path, 0o644);
    const url = `redis://127.0.0.1:${third.port.toString()}`;
    const wish = { point: { kind: 'latest' }, target: { kind: 'address', url, passwordRef } };
    await expect(bench.submit(worker.control, 'restore', wish)).rejects.toMatchObject({
      ...{ code: 'TM_CONFIG', context: { mode: '0644' } },
    });
  });

  it('has no file that others may read, and is listed', async () => {
    const [server] = await hostServers(worker.control.workspace.config);
    const { name, state, instance, passwordRef, pid, job } = server ?? never();
    expect({ state, instance, passwordRef }).toEqual({
      ...{ state: 'running', instance: 'orders', passwordRef: `restore-${job ?? ''}.pass` },
    });
    expect(name).toMatch(/^rs-/);
    expect(bench.serversLeft()).toEqual([pid]);
    const dir = join(bench.stateDir, 'servers', name);
    const files = await readdir(dir, { recursive: true });
    expect(files.join()).toMatch(/incr\.aof/);
    for (const file of files) {
      const { mode } = await lstat(join(dir, file));
      expect(mode & 0o077, file).toBe(0);
    }
  });

  it('is not ended while it is the node of an instance, whatever that is spelled like', async () => {
    const { control } = worker;
    const path = control.workspace.config.path;
    const before = await readFile(path, 'utf8');
    const [server] = await hostServers(control.workspace.config);
    const { name, dir, address, passwordRef } = server ?? never();
    const port = address?.port ?? 0;
    // Who looks from afar sees another address.
    const relay = createServer((from) => {
      const to = connect(port, '127.0.0.1');
      for (const socket of [from, to]) socket.on('error', () => undefined);
      from.pipe(to).pipe(from);
    });
    await once(relay.listen(0, '127.0.0.1'), 'listening');
    const { port: afar } = relay.address() as AddressInfo;
    try {
      for (const url of [
        `redis://localhost:${port.toString()}`,
        `redis://127.0.0.9:${port.toString()}`,
        `unix://${dir}/server.sock`,
        `redis://127.0.0.1:${afar.toString()}`,
      ]) {
        const entry = { id: 'kept', url, source: 'psync', password_file: `secrets/${passwordRef}` };
        const lines = Object.entries(entry).map(([key, value]) => `${key} = "${value}"\n`);
        await writeFile(path, `${before}\n[[instance]]\n${lines.join('')}`);
        await expect(endHostServer(name, true, OPS, control), url).rejects.toMatchObject({
          ...{ code: 'TM_BUSY', context: { instance: 'kept' } },
        });
      }
    } finally {
      await writeFile(path, before);
      relay.close();
    }
    expect(await hostServers(control.workspace.config)).toMatchObject([{ state: 'running' }]);
  });

  it('is ended with its process alone, and its data when that is said; nothing else is', async () => {
    const { control } = worker;
    const [server] = await hostServers(control.workspace.config);
    const { name, dir } = server ?? never();
    // Somebody looks around in its folder.
    const guest = spawn('sleep', ['600'], { cwd: dir });
    try {
      await endHostServer(name, false, OPS, control);
      expect(bench.serversLeft()).toEqual([]);
      expect(await hostServers(control.workspace.config)).toMatchObject([{ state: 'ended' }]);
      expect(await readdir(dir)).toContain('appendonlydir');
      await endHostServer(name, true, OPS, control);
      expect(await hostServers(control.workspace.config)).toEqual([]);
      expect(await readdir(join(bench.clones.archive.dir, 'secrets'))).not.toContain(
        server?.passwordRef,
      );
      expect(guest.exitCode).toBeNull();
    } finally {
      guest.kill();
    }
    await expect(endHostServer(name, false, OPS, control)).rejects.toMatchObject({
      code: 'TM_NOT_FOUND',
    });
    const entries = control.audit.list({ pageSize: 10 }).entries;
    expect(entries.filter(({ action }) => action === 'server.end')).toHaveLength(2);
  });
});

describe('servers of restores on one host', () => {
  const promised = (restore: string, memoryBytes = 0): Promise<unknown> => {
    const { config } = worker.control.workspace;
    const asked = {
      ...{ job: `job-${restore}`, restore, instance: 'orders', port: null },
      memoryBytes,
    };
    const ports = { clock: systemClock, random: systemRandom };
    return newServerOf(asked, config, worker.control.secrets, ports);
  };
  const root = (): string => join(bench.stateDir, 'servers');

  afterEach(() => rm(root(), { recursive: true, force: true }));

  it('are 16 at most, however many ask at once', async () => {
    const asked = Array.from({ length: 24 }, (_, index) => promised(`rs-${index.toString()}`));
    const ends = await Promise.allSettled(asked);
    const refused = ends.filter((end) => end.status === 'rejected');
    expect(refused).toHaveLength(8);
    for (const { reason } of refused) expect(reason).toMatchObject({ code: 'TM_PROVISION' });
    expect(await readdir(root())).toHaveLength(16);
    // What its worker did not live to start does not count.
    const [name = ''] = await readdir(root());
    const note = join(root(), name, 'server.json');
    const kept = JSON.parse(await readFile(note, 'utf8')) as object;
    await writeFile(note, JSON.stringify({ ...kept, by: { pid: process.pid, start: '0' } }));
    await promised('rs-later');
  });

  it('and those of clones as many', async () => {
    const { config } = worker.control.workspace;
    const by = await thisStarter();
    const note = { version: 1, instance: 'orders', host: '127.0.0.1', port: 0 } as const;
    const reserved = (id: string): Promise<void> =>
      reserveServer({ kind: 'clone', id, memoryBytes: 0 }, config, () =>
        writeNote(join(config.clone.dir, id), {
          ...{ ...note, id, name: id, tls: false, state: 'loading', createdMs: 0, by },
        }),
      );
    try {
      for (let at = 0; at < 16; at++) await reserved(`job-${at.toString()}`);
      await expect(reserved('job-16')).rejects.toMatchObject({
        ...{ code: 'TM_PROVISION', context: { reason: 'servers', running: 16, most: 16 } },
      });
      await promised('rs-beside');
    } finally {
      await rm(config.clone.dir, { recursive: true, force: true });
    }
  });

  it('are not promised the same memory twice', async () => {
    const available = await availableMemory();
    const [first, second] = [Math.floor(available * 0.3), Math.floor(available * 0.85)];
    await promised('rs-first', first);
    await expect(promised('rs-second', second)).rejects.toMatchObject({
      ...{ code: 'TM_TARGET_MEMORY', context: { needed: second, promised: first } },
    });
    await promised('rs-first', first); // its own is no other's
    await expect(promised('rs-third', Number.MAX_SAFE_INTEGER)).rejects.toMatchObject({
      code: 'TM_TARGET_MEMORY',
    });
  });
});

function never(): never {
  throw new Error('no server is listed');
}
