import { describe, expect, it } from 'vitest';
import { record, restoreError, type Recorded } from '../../support/replay-run.ts';
import { startRedis, type RedisServer } from '../../support/redis-server.ts';
import { describeWithServer } from '../../support/servers.ts';

const THREE = { config: { databases: '3' }, aof: false };

/** A target with data of its own, which a restore may delete. */
async function inhabited(options: Parameters<typeof startRedis>[0] = {}): Promise<RedisServer> {
  const target = await startRedis({ aof: false, ...options });
  await (await target.connect()).set('own', 'data');
  return target;
}

const keysOf = async (target: RedisServer): Promise<string[]> =>
  (await (await target.connect()).keys('*')).sort();

/** The target is a master of its own, empty, and has its own settings. */
async function expectEmptied(target: RedisServer): Promise<void> {
  const client = await target.connect();
  expect(await client.info('keyspace')).not.toMatch(/^db/m);
  expect(await client.info('replication')).toMatch(/role:master/);
  expect(await client.config('GET', 'replica-serve-stale-data')).toContain('yes');
  expect(await client.config('GET', 'masterauth')).toContain('');
}

const writes = (): Promise<Recorded> =>
  record({ during: [(client) => client.mset('a', 1, 'b', 2)] });

describe('a restore is refused', () => {
  it('before a target with too few databases is touched', async () => {
    await using recorded = await record({
      during: [(client) => client.multi().select(7).set('a', 1).exec()],
    });
    await using target = await inhabited(THREE);
    const error = await restoreError(recorded.archive, target, { allowFlush: true });
    expect(error).toMatchObject({
      code: 'TM_TARGET_DATABASES',
      context: { databases: 3, needed: 8 },
    });
    expect(await keysOf(target)).toEqual(['own']);
  });

  it('at a command that the target has under another name, with the target emptied', async () => {
    await using recorded = await record({
      before: (client) => client.set('a', 1),
      during: [(client) => client.set('b', 2), (client) => client.swapdb(0, 1)],
    });
    await using target = await inhabited({ config: { 'rename-command': 'SWAPDB OTHER' } });
    const error = await restoreError(recorded.archive, target, { allowFlush: true });
    expect(error).toMatchObject({
      code: 'TM_TARGET_COMMAND',
      context: { command: 'SWAPDB', offset: recorded.ends[0] },
    });
    await expectEmptied(target);
  });

  it.each([
    ['TRIMSLOTS', ['TRIMSLOTS', 'RANGES', 1, 0, 5]],
    ['SFLUSH', ['SFLUSH', 0, 5]],
    ['CLUSTER', ['CLUSTER', 'SYNCSLOTS', 'FINISH', 'x']],
    ['MOD.WRITE', ['MOD.WRITE', 'k']],
  ])('at what a server that runs alone cannot do: %s', async (command, forged) => {
    await using recorded = await record({
      during: [(client) => client.set('a', 1)],
      forged: [forged],
    });
    await using target = await startRedis({ aof: false });
    expect(await restoreError(recorded.archive, target)).toMatchObject({
      code: 'TM_TARGET_COMMAND',
      context: { command, offset: recorded.ends[0] },
    });
    await expectEmptied(target);
  });

  it('when the target refuses a command, and says which', async () => {
    await using recorded = await record({
      before: (client) => client.lpush('list', 'x'),
      during: [(client) => client.set('a', 1)],
      forged: [
        ['INCR', 'list'],
        ['INCR', 'list'],
        ['SETBIT', 'a', 'x', 1],
      ],
    });
    await using target = await startRedis({ aof: false });
    expect(await restoreError(recorded.archive, target)).toMatchObject({
      code: 'TM_TARGET_REPLAY',
      context: { refused: 3, commands: 'incr 2, setbit 1' },
    });
    await expectEmptied(target);
  });
});

describeWithServer('redis', '8.0', 'a newer source', ({ binary }) => {
  it('is refused by name before the target is touched', async () => {
    await using recorded = await record({
      binary,
      during: [
        (client) => client.hset('h', 'f', 1),
        (client) => client.call('HPEXPIRE', 'h', 3_600_000, 'FIELDS', 1, 'f'),
      ],
    });
    await using target = await inhabited();
    expect(await restoreError(recorded.archive, target, { allowFlush: true })).toMatchObject({
      code: 'TM_TARGET_COMMAND',
      context: { command: 'HPEXPIREAT', offset: recorded.ends[0], product: 'redis' },
    });
    expect(await keysOf(target)).toEqual(['own']);
  });
});

describeWithServer('valkey', '9.1', 'a log that its own server has damaged', ({ binary }) => {
  it('is refused: HSETEX lost a key that is named like a condition', async () => {
    await using recorded = await record({
      binary,
      before: (client) => client.hset('fxx', 'f', 1),
      during: [
        (client) => client.call('HSETEX', 'fxx', 'FXX', 'PX', 3_600_000, 'FIELDS', 1, 'f', 2),
      ],
    });
    await using target = await startRedis({ binary, aof: false });
    expect(await restoreError(recorded.archive, target)).toMatchObject({
      code: 'TM_TARGET_COMMAND',
      context: { command: 'HSETEX', reason: expect.stringContaining('without a key') as unknown },
    });
    await expectEmptied(target);
  });
});

it('nothing of the above keeps a restore from being made', async () => {
  await using recorded = await writes();
  await using target = await startRedis({ aof: false });
  await expect(restoreError(recorded.archive, target)).rejects.toThrow('did not fail');
  expect(await keysOf(target)).toEqual(['a', 'b']);
});
