import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { latchFilePath } from '@tidemark/catalog';
import { connectNode, type NodeAddress } from '@tidemark/client';
import { systemClock, systemRandom } from '@tidemark/system';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { RestoreEnvironment } from '../../../services/restorer/src/run/environment.ts';
import { restoreIntoScratch } from '../../../services/restorer/src/scratch/scratch-server.ts';
import { refuseOriginalAsTarget } from '../../../services/restorer/src/tde/instance-tde.ts';
import { startRedis, type RedisServer } from '../../support/redis-server.ts';
import { ARCHIVED, TestArchive } from '../../support/test-archive.ts';

const PASSWORD = 'of-the-original';
const DENIED = { code: 'TM_TDE_DENIED', context: { operation: 'original-restore' } };

let archive: TestArchive;
let node: RedisServer;
let other: RedisServer;
let environment: RestoreEnvironment;
beforeAll(async () => {
  [archive, node, other] = await Promise.all([
    TestArchive.begun(),
    startRedis({ aof: false, config: { requirepass: PASSWORD } }),
    startRedis({ aof: false }),
  ]);
  const { stateDir } = await archive.environment();
  // Only the archiver's file says that TDE is on; one that cannot be opened does as well.
  const latch = latchFilePath(stateDir, ARCHIVED);
  await mkdir(dirname(latch), { recursive: true });
  await writeFile(latch, 'damaged');
  environment = {
    ...(await archive.environment()),
    ...{ clock: systemClock, random: systemRandom },
  };
});
afterAll(async () => {
  for (const part of [archive, node, other]) await part[Symbol.asyncDispose]();
});

const tcp = ({ port }: RedisServer, host = '127.0.0.1'): NodeAddress => ({ host, port });
const unix = ({ socketPath }: RedisServer): NodeAddress => ({
  ...{ host: 'localhost', port: 6379, path: socketPath },
});

/** Asks as a restore into `target` does, with the node configured at `original`. */
async function ask(
  target: NodeAddress,
  original: RestoreEnvironment['original'],
  changes: Partial<RestoreEnvironment> = {},
): Promise<void> {
  await using client = await connectNode(target);
  const runId = (await client.info('server')).get('run_id') ?? '';
  await refuseOriginalAsTarget(
    ARCHIVED,
    { client, runId },
    { ...environment, original, ...changes },
  );
}

describe('a restore of an instance with TDE into a server that is named by its address', () => {
  const known = (address: NodeAddress): NodeAddress => ({ ...address, password: PASSWORD });

  it('is refused when the configured node has the same run id now, on whatever way', async () => {
    const ways = [tcp(node), tcp(node, 'localhost'), unix(node)].map(known);
    for (const target of ways) {
      for (const original of ways)
        await expect(ask(target, original)).rejects.toMatchObject(DENIED);
    }
    await node.restart();
    await expect(ask(known(tcp(node)), known(unix(node)))).rejects.toMatchObject(DENIED);
  });

  it('is refused when the configured node tells nothing and is at the same place', async () => {
    // Without the password the node cannot be asked.
    const closed = [tcp(node), tcp(node, 'localhost'), tcp(node, '0.0.0.0'), unix(node)];
    for (const original of closed) {
      for (const target of [tcp(node), tcp(node, 'localhost'), unix(node)]) {
        await expect(ask(known(target), original)).rejects.toMatchObject(DENIED);
      }
    }
  });

  it('goes into any other server, whether the configured node can be asked or not', async () => {
    const nobody = { host: '192.0.2.1', port: other.port, path: join(other.dir, 'no.sock') };
    for (const original of [known(tcp(node)), tcp(node), unix(node), nobody, null]) {
      for (const target of [tcp(other), unix(other)]) {
        await expect(ask(target, original)).resolves.toBeUndefined();
      }
    }
  });

  it('is refused for now while nobody tells where the configured node is', async () => {
    await expect(ask(tcp(other), 'unknown')).rejects.toMatchObject({
      ...{ code: 'TM_NODE_UNREACHABLE', context: { instance: ARCHIVED } },
      hint: expect.stringContaining('--to new') as unknown,
    });
  });

  it('asks no node of an instance without TDE', async () => {
    const stateDir = join(environment.stateDir, 'of another');
    await expect(ask(tcp(other), tcp(other), { stateDir })).resolves.toBeUndefined();
    await expect(ask(tcp(other), 'unknown', { stateDir })).resolves.toBeUndefined();
  });
});

describe('a restore into a scratch server', () => {
  const wish = { instance: ARCHIVED, point: { kind: 'backup', backup: 'bk-0' } } as const;

  it("heeds the archiver's word that TDE is on", async () => {
    // This process would feed it: an instance with TDE refuses that.
    await expect(restoreIntoScratch(wish, environment)).rejects.toMatchObject({
      code: 'TM_TDE_DENIED',
    });
  });

  it('leaves no record in the state folder', async () => {
    const stateDir = join(environment.stateDir, 'of a third');
    await mkdir(stateDir);
    await using scratch = await restoreIntoScratch(wish, { ...environment, stateDir });
    expect(scratch.report.keys).toBe(1);
    expect(existsSync(join(stateDir, 'restores'))).toBe(false);
  });
});
