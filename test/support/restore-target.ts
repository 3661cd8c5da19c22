import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { connectNode, type NodeClient } from '@tidemark/client';
import { openFeed, type Feed, type FeedOptions } from '@tidemark/replication';
import { systemClock } from '@tidemark/system';
import type { Redis } from 'ioredis';
import {
  abandonTarget,
  applySettings,
  attachTarget,
  finishTarget,
  makeTargetRecord,
  parseTargetRecord,
  preflightTarget,
  type TargetNeeds,
  type TargetRecord,
} from '../../services/restorer/src/target/index.ts';
import { readAofSource, rewriteAof } from './aof-source.ts';
import { inChunks } from './pattern.ts';
import { startRedis } from './redis-server.ts';

/** Replication offset before the first byte of the feeds. */
export const BASE = 0n;
/** What the restores of these tests need of a target. */
export const NEEDS: TargetNeeds = {
  databases: 16,
  rdb: {
    ...{ product: 'redis', version: 10, minVersion: 10, types: { 0: 1 } },
    ...{ fieldTtl: false, functions: 1 },
  },
  modules: [],
  dataBytes: 50e6,
  allowFlush: false,
};

/** Snapshot and log of a source. */
export interface Captured {
  readonly rdb: Buffer;
  readonly log: Buffer;
}

/** A source with some data in three databases, a log after its snapshot, and a function. */
export async function capture(fill: (s: Redis) => Promise<void> = () => Promise.resolve()) {
  const server = await startRedis({
    config: { 'aof-timestamp-enabled': 'no', 'auto-aof-rewrite-percentage': '0' },
  });
  const client = await server.connect();
  await client.call(
    'FUNCTION',
    'LOAD',
    '#!lua name=lib\nredis.register_function("f", function() return 1 end)',
  );
  for (const db of [0, 5, 15]) {
    await client.select(db);
    const pipeline = client.pipeline();
    for (let i = 0; i < 3000; i++) pipeline.set(`key:${i}`, 'x'.repeat(i % 200));
    await pipeline.exec();
  }
  await fill(client);
  await rewriteAof(client);
  await client.select(5);
  const pipeline = client.pipeline();
  for (let i = 0; i < 3000; i++) pipeline.append(`key:${i}`, 'y').incr(`counter:${i % 10}`);
  await pipeline.exec();
  const aof = await readAofSource(server, client);
  const captured: Captured = {
    rdb: await readFile(aof.basePath),
    log: await readFile(aof.logPath),
  };
  return {
    server,
    client,
    ...captured,
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}

/** An empty server with a control connection of the restorer and one of the test. */
export async function startTarget(config: Record<string, string> = {}, aof = false) {
  const server = await startRedis({ aof, config: { 'aof-timestamp-enabled': 'no', ...config } });
  const node = await connectNode({ host: '127.0.0.1', port: server.port });
  return {
    server,
    node,
    redis: await server.connect(),
    async [Symbol.asyncDispose](): Promise<void> {
      await node.close();
      await server[Symbol.asyncDispose]();
    },
  };
}

/** A target that replays. */
export interface Attached {
  readonly feed: Feed;
  readonly record: TargetRecord;
  readonly id: string;
  readonly credentials: { user: string; password: string };
}

/** The way of a restore up to the running replay; the record goes through JSON, as in real life. */
export async function replayInto(
  node: NodeClient,
  data: Captured,
  changes: Partial<FeedOptions> & { allowFlush?: boolean } = {},
): Promise<Attached> {
  const { allowFlush = false, ...feedChanges } = changes;
  const id = randomBytes(20).toString('hex');
  const credentials = { user: 'tidemark-restore', password: randomBytes(20).toString('hex') };
  const facts = await preflightTarget(node, { ...NEEDS, allowFlush });
  const made = await makeTargetRecord(node, facts, credentials);
  const record = parseTargetRecord(JSON.parse(JSON.stringify(made)));
  await applySettings(node, record);
  const feed = await openFeed({
    listenHost: node.localAddress,
    allowFrom: node.remoteAddress,
    ...credentials,
    replicationId: id,
    baseOffset: BASE,
    snapshot: () => inChunks(data.rdb, 65_536),
    commands: (from) => inChunks(data.log.subarray(Number(from)), 65_536),
    clock: systemClock,
    signal: new AbortController().signal,
    resumable: true,
    ...feedChanges,
  });
  await attachTarget(node, { record, host: feed.host, port: feed.port, allowFlush });
  return { feed, record, id, credentials };
}

export const finish = (
  node: NodeClient,
  at: Attached,
  promote = true,
): ReturnType<typeof finishTarget> =>
  finishTarget(node, {
    feed: at.feed,
    record: at.record,
    replicationId: at.id,
    promote,
    clock: systemClock,
  });

export const abandon = (node: NodeClient, at: Attached): ReturnType<typeof abandonTarget> =>
  abandonTarget(node, {
    record: at.record,
    replicationId: at.id,
    host: at.feed.host,
    port: at.feed.port,
    clock: systemClock,
  });

/** Waits up to ten seconds. */
export async function untilTrue(test: () => Promise<boolean>): Promise<void> {
  for (let i = 0; i < 400; i++) {
    if (await test()) return;
    await systemClock.sleep(25);
  }
  throw new Error('did not come true');
}

/** Everything CONFIG tells, less what the server changes by itself. */
export async function settingsOf(node: NodeClient): Promise<Record<string, string>> {
  const { ...settings } = await node.configGet('*');
  delete settings.replicaof;
  delete settings.slaveof;
  return settings;
}

export const role = async (node: NodeClient): Promise<string | undefined> =>
  (await node.info('replication')).get('role');
