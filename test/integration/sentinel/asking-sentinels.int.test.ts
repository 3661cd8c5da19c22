import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { freePort } from '../../support/tls/tls-server.ts';
import { MASTER, SentinelSet } from '../../support/sentinel-set/sentinel-set.ts';
import { describeWithServer } from '../../support/servers.ts';

const nobody = async (): Promise<{ host: string; port: number }> => ({
  host: '127.0.0.1',
  port: await freePort(),
});

describe('a locator that asks Sentinels', () => {
  let set: SentinelSet;
  beforeAll(async () => {
    set = await SentinelSet.start({ nodes: 2, sentinels: 2 });
  });
  afterAll(async () => {
    await set[Symbol.asyncDispose]();
  });

  it('passes over Sentinels that are gone, and learns of those that nobody named', async () => {
    const sentinels = [await nobody(), set.sentinel(1).address];
    await using locator = set.locator({ sentinels });
    const found = { host: '127.0.0.1', port: set.node(0).port };
    expect(await locator.locate()).toEqual(found);
    expect(locator.name).toContain(`${MASTER} of redis://127.0.0.1:`);
    await set.sentinel(1).kill();
    expect(await locator.locate()).toEqual(found);
    await set.sentinel(1).restart();
  });

  it('says so when no Sentinel answers', async () => {
    await using locator = set.locator({ sentinels: [await nobody(), await nobody()] });
    await expect(locator.locate()).rejects.toMatchObject({
      code: 'TM_SENTINEL_DOWN',
      retryable: true,
      context: { errno: 'ECONNREFUSED' },
    });
    expect(locator.latest).toBeNull();
  });

  it('lists the names that are known when the one it looks for is not', async () => {
    await using locator = set.locator({ master: 'other' });
    await expect(locator.locate()).rejects.toMatchObject({
      code: 'TM_SENTINEL_MASTER',
      retryable: false,
      context: { master: 'other', known: MASTER },
      hint: `it watches: ${MASTER}`,
    });
  });

  it('tells a node from a Sentinel', async () => {
    const { port } = set.node(0);
    await using locator = set.locator({ sentinels: [{ host: '127.0.0.1', port }] });
    await expect(locator.locate()).rejects.toMatchObject({
      code: 'TM_NODE_REPLY',
      context: { sentinel: `redis://127.0.0.1:${port}` },
    });
  });

  it('does not take a node for the primary that is a replica by its own word', async () => {
    await using client = await set.sentinel(0).connect();
    const replica = set.node(1).port;
    await client.call('SENTINEL', 'MONITOR', 'stale', '127.0.0.1', replica, 2);
    await using locator = set.locator({
      master: 'stale',
      sentinels: [set.sentinel(0).address],
      settleMs: 300,
    });
    await expect(locator.locate()).rejects.toMatchObject({
      code: 'TM_SENTINEL_STALE',
      context: { node: `redis://127.0.0.1:${replica}` },
    });
    await client.call('SENTINEL', 'REMOVE', 'stale');
  });

  it('gives up waiting at once when it is told to', async () => {
    const sleeping = set.sentinel(0);
    set.pause(sleeping);
    await using locator = set.locator({ sentinels: [sleeping.address] });
    const signal = AbortSignal.timeout(100);
    await expect(locator.locate(signal)).rejects.toThrow(/timeout/);
    set.resume(sleeping);
  });
});

describe('Sentinels with users of their own', () => {
  const RULE =
    'user tidemark on >s3cret resetchannels &+switch-master -@all +ping +subscribe +client|setname ' +
    '+sentinel|get-master-addr-by-name +sentinel|master +sentinel|masters +sentinel|replicas +sentinel|sentinels +sentinel|myid';
  let set: SentinelSet;
  beforeAll(async () => {
    set = await SentinelSet.start({
      nodes: 1,
      sentinels: 1,
      config: { requirepass: 'n0de', masterauth: 'n0de' },
      sentinelLines: [
        RULE,
        'user poor on >poor resetchannels -@all +ping',
        'user default on >admin ~* &* +@all',
        `sentinel auth-pass ${MASTER} n0de`,
      ],
      login: { password: 'admin' },
      nodeLogin: { password: 'n0de' },
    });
  });
  afterAll(async () => {
    await set[Symbol.asyncDispose]();
  });

  const as = (login: { username?: string; password?: string }) => {
    const { host, port } = set.sentinel(0).address;
    return set.locator({ sentinels: [{ host, port, ...login }] });
  };

  it('are asked with the rights that the documentation names', async () => {
    await using locator = as({ username: 'tidemark', password: 's3cret' });
    expect(await locator.locate()).toMatchObject({ port: set.node(0).port, password: 'n0de' });
    locator.onMoved(() => undefined);
    await using admin = await set.sentinel(0).connect();
    await expect
      .poll(async () => String(await admin.call('CLIENT', 'LIST')), { timeout: 30_000 })
      .toMatch(/name=tidemark-watch.* sub=1 /);
  });

  it('that refuse user, password or question are told from nodes that do', async () => {
    for (const login of [
      {},
      { password: 'wrong' },
      { username: 'tidemark', password: 'wrong' },
      { username: 'poor', password: 'poor' },
    ]) {
      await using locator = as(login);
      await expect(locator.locate()).rejects.toMatchObject({
        code: 'TM_SENTINEL_AUTH',
        retryable: false,
      });
    }
    await using locator = set.locator({ node: { password: 'wrong' } });
    await expect(locator.locate()).rejects.toMatchObject({ code: 'TM_NODE_AUTH' });
  });

  it('never let a password into an error', async () => {
    await using locator = as({ username: 'tidemark', password: 'wr0ng-0ne' });
    const error: unknown = await locator.locate().catch((fault: unknown) => fault);
    expect(JSON.stringify(error) + String(error)).not.toContain('wr0ng-0ne');
  });
});

for (const [product, line] of [
  ['redis', '6.0'],
  ['redis', '8.6'],
  ['valkey', '9.1'],
] as const) {
  describeWithServer(product, line, 'Sentinels of other versions', ({ binary }) => {
    it('name the primary', async () => {
      await using set = await SentinelSet.start({ binary, nodes: 1, sentinels: 1 });
      await using locator = set.locator();
      expect((await locator.locate()).port).toBe(set.node(0).port);
      await expect(set.locator({ master: 'other' }).locate()).rejects.toMatchObject({
        hint: `it watches: ${MASTER}`,
      });
    });
  });
}
