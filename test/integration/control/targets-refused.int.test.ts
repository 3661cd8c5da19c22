import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { connectNode } from '@tidemark/client';
import type { Job, Json } from '@tidemark/control';
import { Redis } from 'ioredis';
import { refuseConfiguredNode } from '../../../services/control/src/provision/configured-nodes.ts';
import { waitFor } from '../../support/archiver-run.ts';
import { startRedis, type RedisServer } from '../../support/redis-server.ts';
import { JobBench, type RunningControl } from '../../support/control-jobs/job-bench.ts';

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
    owner.disconnect();
    bench.endServers();
  });
});
