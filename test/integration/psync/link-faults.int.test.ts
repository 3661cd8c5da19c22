import { readFile } from 'node:fs/promises';
import { systemClock } from '@tidemark/system';
import type { Redis } from 'ioredis';
import { describe, expect, it } from 'vitest';
import { CuttingProxy } from '../../support/cutting-proxy.ts';
import { patternBytes } from '../../support/pattern.ts';
import { startRedis, type RedisServer } from '../../support/redis-server.ts';
import { linkTo, StreamTaker, takeSnapshot } from '../../support/replica-link.ts';
import { newestServer, serverBinaries, type ServerBinary } from '../../support/servers.ts';

const start = (
  server: ServerBinary | null,
  config: Record<string, string> = {},
): Promise<RedisServer> =>
  startRedis({ ...(server === null ? {} : { binary: server.binary }), aof: false, config });

const replication = async (client: Redis, name: string): Promise<string> =>
  new RegExp(`^${name}:(.*?)\\r?$`, 'm').exec(await client.info('replication'))?.[1] ?? '';
const offsetOf = async (client: Redis): Promise<bigint> =>
  BigInt(await replication(client, 'master_repl_offset'));

async function until(what: string, test: () => Promise<boolean>): Promise<void> {
  const endMs = performance.now() + 60_000;
  while (!(await test())) {
    if (performance.now() > endMs) throw new Error(`not in time: ${what}`);
    await systemClock.sleep(20);
  }
}

/** Follows a server from a full resync on. */
async function follow(port: number): Promise<{ replid: string; taker: StreamTaker }> {
  const link = await linkTo(port);
  await takeSnapshot(link);
  return { replid: link.start.replid, taker: new StreamTaker(link) };
}

const cases = serverBinaries().map((server) => ({ server, name: server.name }));

describe.each(cases)('a $name that refuses', ({ server }) => {
  it('a user, a right, a command, a replica without primary: each by its code', async () => {
    await using node = await start(server);
    const client = await node.connect();
    await client.call('ACL', 'SETUSER', 'some', 'on', '>right', '-@all', '+replconf', '+ping');
    await client.call('ACL', 'SETUSER', 'less', 'on', '>right', '-@all', '+psync', '+ping');
    const as = (username: string, password: string): Promise<unknown> =>
      linkTo(node.port, { username, password });
    await expect(as('some', 'wrong')).rejects.toMatchObject({ code: 'TM_NODE_AUTH' });
    await expect(as('nobody', 'right')).rejects.toMatchObject({ code: 'TM_NODE_AUTH' });
    const noRight = { code: 'TM_NODE_RIGHTS', hint: expect.stringContaining('+psync') as string };
    await expect(as('some', 'right')).rejects.toMatchObject({
      ...noRight,
      context: { command: 'PSYNC' },
    });
    await expect(as('less', 'right')).rejects.toMatchObject({
      ...noRight,
      context: { command: 'REPLCONF' },
    });
    await client.config('SET', 'requirepass', 'right');
    await expect(linkTo(node.port)).rejects.toMatchObject({ code: 'TM_NODE_AUTH' });
    await using _ = await linkTo(node.port, { password: 'right' });

    // Nobody listens there.
    await client.call('REPLICAOF', '127.0.0.1', '1');
    await expect(linkTo(node.port, { password: 'right' })).rejects.toMatchObject({
      code: 'TM_REPLICA_LINK_DOWN',
      retryable: true,
    });
  });

  it.each(['PSYNC', 'REPLCONF'])('%s because it has another name', async (command) => {
    await using node = await start(server, { 'rename-command': `${command} hidden` });
    await expect(linkTo(node.port)).rejects.toMatchObject({
      code: 'TM_REPLICATION_PEER',
      context: { phase: 'handshake', command },
      retryable: false,
    });
  });
});

describe.each([
  ['redis', null],
  ['valkey', newestServer('valkey')],
] as const)('a %s in the way', (_, server) => {
  it('is told apart while it loads its data', async () => {
    await using source = await start(server);
    await using node = await start(server, {
      'key-load-delay': '1000',
      // While it loads, it answers that often.
      'loading-process-events-interval-bytes': '1024',
    });
    const [s, client] = [await source.connect(), await node.connect()];
    await s.call('DEBUG', 'POPULATE', '20000');
    await client.call('REPLICAOF', '127.0.0.1', source.port);
    await until('it loads', async () => {
      return /^loading:1/m.test(await client.info('persistence'));
    });
    await expect(linkTo(node.port)).rejects.toMatchObject({
      code: 'TM_NODE_LOADING',
      retryable: true,
    });
  });

  it('breaks the RDB off when its child is killed, and gives it whole later', async () => {
    await using node = await start(server, {
      'repl-diskless-sync': 'yes',
      'rdb-key-save-delay': '500',
    });
    const client = await node.connect();
    await client.call('DEBUG', 'POPULATE', '20000', 'key', '500');
    await using link = await linkTo(node.port);
    const reading = (async () => {
      let bytes = 0;
      for await (const chunk of link.snapshot()) {
        // The first bytes are there, so is the child.
        if (bytes === 0) process.kill(await childOf(node.pid), 'SIGKILL');
        bytes += chunk.length;
      }
    })();
    await expect(reading).rejects.toMatchObject({
      code: 'TM_REPLICATION',
      context: { phase: 'snapshot' },
      retryable: true,
    });
    await client.config('SET', 'rdb-key-save-delay', '0');
    await using again = await linkTo(node.port);
    expect((await takeSnapshot(again)).length).toBeGreaterThan(20_000 * 10);
  });

  it('gives the same stream over a link that is cut again and again', async () => {
    await using node = await start(server, { 'repl-backlog-size': '64mb' });
    const client = await node.connect();
    const proxy = await CuttingProxy.to(node.port);
    try {
      const { replid, taker: whole } = await follow(node.port);
      const from = whole.offset;
      let parts = Buffer.alloc(0);
      const value = patternBytes(3000);
      for (let round = 0; round < 6; round++) {
        proxy.cuts.push(round === 2 ? 60 : 200_000); // one within the handshake
        const pipeline = client.pipeline();
        for (let i = 0; i < 300; i++) pipeline.set(`key:${round}:${i}`, value);
        await pipeline.exec();
        const resume = { replid, offset: from + BigInt(parts.length) };
        const link = await linkTo(proxy.port, { resume }).catch((error: unknown) => error);
        if (link instanceof Error) {
          expect(round).toBe(2);
          expect(link).toMatchObject({ code: 'TM_REPLICATION', context: { phase: 'handshake' } });
          continue;
        }
        const taker = new StreamTaker(link as Awaited<ReturnType<typeof linkTo>>);
        expect(await taker.ended).toMatchObject({
          code: 'TM_REPLICATION',
          context: { phase: 'stream' },
        });
        parts = Buffer.concat([parts, taker.taken]);
      }
      expect(parts.length).toBeGreaterThan(500_000);
      await whole.until(from + BigInt(parts.length));
      expect(parts.equals(whole.taken.subarray(0, parts.length))).toBe(true);
    } finally {
      await proxy[Symbol.asyncDispose]();
    }
  });

  it('starts anew when what is missing is no longer there, or never was', async () => {
    await using node = await start(server, { 'repl-backlog-size': '16kb' });
    await using other = await start(server);
    const [client, o] = [await node.connect(), await other.connect()];
    await using link = await linkTo(node.port);
    await takeSnapshot(link);
    const { replid, offset } = link.start;
    await link[Symbol.asyncDispose](); // 7.0 keeps what a replica has not taken yet
    await o.call('REPLICAOF', '127.0.0.1', node.port);
    await until('the replica is up', async () => {
      return (await replication(o, 'master_link_status')) === 'up';
    });
    await o.call('REPLICAOF', 'NO', 'ONE');
    await until('nobody is attached', async () => {
      return (await replication(client, 'connected_slaves')) === '0';
    });
    // What the former primary writes from here on, the new one never had.
    const value = patternBytes(20_000);
    for (let i = 0; i < 50; i++) await client.set('lost', value);
    const past = { replid, offset: await offsetOf(client) };
    await using branch = await linkTo(other.port, { resume: past });
    expect(branch.start.kind).toBe('full');
    expect(branch.start.replid).not.toBe(replid);
    await using overrun = await linkTo(node.port, { resume: { replid, offset } });
    expect(overrun.start).toEqual({ kind: 'full', replid, offset: expect.any(BigInt) as bigint });
    expect(overrun.start.offset).toBeGreaterThanOrEqual(past.offset);
    const unknown = { replid: 'f'.repeat(40), offset: 5n };
    await using strange = await linkTo(node.port, { resume: unknown });
    expect(strange.start).toMatchObject({ kind: 'full', replid });
  });

  it('cuts a reader that is too slow, which then has what came before', async () => {
    await using node = await start(server, {
      'client-output-buffer-limit': 'replica 1mb 1mb 1',
      'repl-backlog-size': '1mb',
    });
    const client = await node.connect();
    await using link = await linkTo(node.port);
    await takeSnapshot(link);
    const value = patternBytes(1 << 20);
    for (let i = 0; i < 48; i++) await client.set('key', value);
    await until('it is cut', async () => (await replication(client, 'connected_slaves')) === '0');
    const taker = new StreamTaker(link);
    expect(await taker.ended).toMatchObject({
      code: 'TM_REPLICATION',
      context: { phase: 'stream' },
      retryable: true,
    });
    expect(taker.offset).toBeLessThan(await offsetOf(client));
  });
});

/** The one child of a process. */
async function childOf(pid: number): Promise<number> {
  const children = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8');
  const [child = 0] = children.trim().split(' ').map(Number);
  if (child === 0) throw new Error(`process ${pid} has no child`);
  return child;
}
