import { connectNode } from '@tidemark/client';
import { describe, expect, it } from 'vitest';
import {
  applySettings,
  attachTarget,
  makeTargetRecord,
  preflightTarget,
  type TargetNeeds,
} from '../../services/restorer/src/target/index.ts';
import { restoreSettings } from '../../services/restorer/src/target/settings.ts';
import { diffOracle, readOracle } from '../support/oracle.ts';
import {
  capture,
  finish,
  NEEDS,
  replayInto,
  role,
  settingsOf,
  startTarget,
  untilTrue,
} from '../support/restore-target.ts';
import { startSentinel } from '../support/sentinel.ts';

describe('a target that cannot be used', () => {
  it('is refused when it holds data, and emptied first when that is allowed', async () => {
    await using source = await capture();
    await using target = await startTarget();
    await target.redis.select(9);
    await target.redis.set('old', 1);
    await expect(replayInto(target.node, source)).rejects.toMatchObject({
      code: 'TM_TARGET_NOT_EMPTY',
      exitCode: 15,
      context: { keys: 1, functions: 0 },
    });
    expect(await target.redis.get('old')).toBe('1');
    const at = await replayInto(target.node, source, { allowFlush: true });
    await using feed = at.feed;
    await finish(target.node, at);
    expect(diffOracle(await readOracle(source.client), await readOracle(target.redis))).toEqual([]);
    expect(await target.server.log()).toMatch(
      /receiving streamed RDB from (master|PRIMARY) with EOF to parser/i,
    );
    await feed[Symbol.asyncDispose]();
  });

  it('is refused when somebody wrote to it after the preflight', async () => {
    await using target = await startTarget();
    const facts = await preflightTarget(target.node, NEEDS);
    const record = await makeTargetRecord(target.node, facts, { user: 'u', password: 'p' });
    await applySettings(target.node, record);
    await target.redis.set('late', 1);
    const attach = attachTarget(target.node, {
      record,
      host: '127.0.0.1',
      port: 1,
      allowFlush: false,
    });
    await expect(attach).rejects.toMatchObject({ code: 'TM_TARGET_NOT_EMPTY' });
    await restoreSettings(target.node, record);
    await target.redis.set('later', 2); // writes go on
    expect(await role(target.node)).toBe('master');
  });

  it('is refused with replicas, as a replica, under Sentinel and in cluster mode', async () => {
    await using target = await startTarget();
    await using other = await startTarget();
    await other.node.call('REPLICAOF', '127.0.0.1', target.server.port);
    await untilTrue(
      async () => (await target.node.info('replication')).number('connected_slaves') > 0,
    );
    for (const { node } of [target, other]) {
      await expect(preflightTarget(node, NEEDS)).rejects.toMatchObject({
        code: 'TM_TARGET_REPLICAS',
      });
    }
    await other.node.call('REPLICAOF', 'NO', 'ONE');
    await untilTrue(
      async () => (await target.node.info('replication')).number('connected_slaves') === 0,
    );
    await using sentinel = await startSentinel(target.server.port);
    expect(sentinel).toBeDefined();
    await untilTrue(async () => {
      const refusal: unknown = await preflightTarget(target.node, NEEDS).catch(
        (error: unknown) => error,
      );
      return (refusal as { code?: string }).code === 'TM_TARGET_REPLICAS';
    });
    await using cluster = await startTarget({ 'cluster-enabled': 'yes' });
    await expect(preflightTarget(cluster.node, { ...NEEDS, databases: 1 })).rejects.toMatchObject({
      code: 'TM_TARGET_CLUSTER',
    });
  });

  it('is refused when rights are missing, and they are named', async () => {
    await using target = await startTarget({ save: '3600 1' });
    await target.redis.call(
      'ACL',
      'SETUSER',
      'ops',
      'on',
      '>secret',
      '~*',
      '+@all',
      '-config|set',
      '-bgsave',
      '-flushall',
    );
    await using node = await connectNode({
      host: '127.0.0.1',
      port: target.server.port,
      username: 'ops',
      password: 'secret',
    });
    await expect(preflightTarget(node, NEEDS)).rejects.toMatchObject({
      code: 'TM_NODE_RIGHTS',
      context: { commands: 'CONFIG SET,FLUSHALL,BGSAVE' },
    });
  });

  it.each<[string, Record<string, string>, Partial<TargetNeeds>, string]>([
    ['databases', { databases: '4' }, {}, 'TM_TARGET_DATABASES'],
    [
      'expiries of fields',
      {},
      { rdb: { ...NEEDS.rdb, minVersion: 12, fieldTtl: true } },
      'TM_TARGET_RDB_VERSION',
    ],
    ['a module', {}, { modules: ['ReJSON-RL'] }, 'TM_TARGET_MODULES'],
    ['maxmemory', { maxmemory: '40mb', 'maxmemory-policy': 'allkeys-lru' }, {}, 'TM_TARGET_MEMORY'],
  ])('is refused for %s before anything is changed', async (_name, config, needs, code) => {
    await using target = await startTarget(config);
    const before = await settingsOf(target.node);
    await expect(preflightTarget(target.node, { ...NEEDS, ...needs })).rejects.toMatchObject({
      code,
    });
    expect(await settingsOf(target.node)).toEqual(before);
  });
});
