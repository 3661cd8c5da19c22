import { setTimeout as sleep } from 'node:timers/promises';
import { connectNode } from '@tidemark/client';
import type { Redis } from 'ioredis';
import { describe, expect, it } from 'vitest';
import { digestOfCode } from '../../../services/restorer/src/feed/function-tally.ts';
import { checkFunctions } from '../../../services/restorer/src/target/check-functions.ts';
import { diffOracle, readOracle, type Oracle } from '../../support/oracle.ts';
import { record, restoreInto, type Act } from '../../support/replay-run.ts';
import { startRedis } from '../../support/redis-server.ts';
import { describeWithServer } from '../../support/servers.ts';

const LIFE_MS = 1000;

async function all(
  client: Redis,
  commands: readonly (readonly (string | number)[])[],
): Promise<void> {
  const pipeline = client.pipeline();
  for (const [name, ...args] of commands) pipeline.call(String(name), ...args);
  for (const [error] of (await pipeline.exec()) ?? []) if (error !== null) throw error;
}

describe('a replay', () => {
  it('writes on keys whose time has passed by then as it was at the time', async () => {
    await using recorded = await record({
      during: [
        (client) =>
          all(client, [
            ...['incr', 'append', 'from', 'copy', 'set', 'z', 'gt'].flatMap((key) => [
              key === 'z' ? ['ZADD', key, 1, 'm'] : ['SET', key, 5],
              ['PEXPIRE', key, LIFE_MS],
            ]),
            ['INCR', 'incr'],
            ['APPEND', 'append', 'x'],
            ['RENAME', 'from', 'to'],
            ['COPY', 'copy', 'copied'],
            ['SETRANGE', 'set', 3, 'abc'],
            ['ZINCRBY', 'z', 2, 'm'],
            ['PEXPIRE', 'gt', 3_600_000, 'GT'],
            ['SETNX', 'incr', 'no'],
            ['ZUNIONSTORE', 'union', 1, 'z'],
            ...['incr', 'append', 'to', 'copy', 'copied', 'set', 'z'].map((key) => [
              'PERSIST',
              key,
            ]),
          ]),
      ],
    });
    await using target = await startRedis({ aof: false });
    const wanted = await readOracle(recorded.client);
    expect(wanted.databases.get(0)?.keys.size).toBe(9);
    await sleep(LIFE_MS);
    await restoreInto(recorded.archive, target);
    expect(diffOracle(wanted, await readOracle(await target.connect()))).toEqual([]);
  });

  it('keeps the cache in a HyperLogLog that a PFCOUNT has refreshed', async () => {
    await using recorded = await record({
      before: (client) => client.pfadd('hll', 'a', 'b', 'c'),
      during: [async (client) => expect(await client.pfcount('hll')).toBe(3)],
    });
    expect(recorded.archive.end).toBeGreaterThan(0n); // PFCOUNT stands in the log
    await using target = await startRedis({ aof: false });
    const { commands } = await restoreInto(recorded.archive, target);
    expect(commands).toBeGreaterThan(1);
    const wanted = await readOracle(recorded.client);
    expect(diffOracle(wanted, await readOracle(await target.connect()))).toEqual([]);
  });

  it('trims a stream to what was left, with a limit that only a master may send', async () => {
    const nodes = (entries: number) => ({ 'stream-node-max-entries': String(entries) });
    await using recorded = await record({
      config: nodes(100),
      during: [
        (client) =>
          all(
            client,
            Array.from({ length: 350 }, (_, i) => ['XADD', 's', `${String(i + 1)}-0`, 'f', i]),
          ),
        (client) => client.call('XADD', 's', 'MAXLEN', '~', 50, 'LIMIT', 100, '1000-0', 'f', 'v'),
        (client) => client.call('XTRIM', 's', 'MINID', '~', '260-0', 'LIMIT', 100),
      ],
    });
    expect(await recorded.client.xlen('s')).toBe(151);
    await using target = await startRedis({ aof: false, config: nodes(70) });
    await restoreInto(recorded.archive, target);
    const wanted = await readOracle(recorded.client);
    expect(diffOracle(wanted, await readOracle(await target.connect()))).toEqual([]);
  });

  it('leaves the functions that there were, whatever was loaded, replaced and deleted', async () => {
    const library = (name: string, answer: number): string =>
      `#!lua name=${name}\nredis.register_function('${name}', function() return ${String(answer)} end)`;
    await using recorded = await record({
      before: (client) =>
        all(client, [
          ['FUNCTION', 'LOAD', library('kept', 1)],
          ['FUNCTION', 'LOAD', library('replaced', 1)],
          ['FUNCTION', 'LOAD', library('deleted', 1)],
        ]),
      during: [
        (client) => client.call('FUNCTION', 'LOAD', 'REPLACE', library('replaced', 2)),
        (client) => client.call('FUNCTION', 'DELETE', 'deleted'),
        (client) => client.call('FUNCTION', 'LOAD', library('early', 3)),
        async (client) => {
          const dump = await client.callBuffer('FUNCTION', 'DUMP');
          await client.call('FUNCTION', 'FLUSH');
          await client.call('FUNCTION', 'RESTORE', dump as Buffer);
          await client.call('FUNCTION', 'LOAD', library('late', 3));
        },
      ],
    });
    await using target = await startRedis({ aof: false });
    const client = await target.connect();
    await client.call('FUNCTION', 'LOAD', library('own', 9));
    // Up to here the names in the log tell what there must be; a payload tells none.
    const point = { kind: 'offset', offset: recorded.ends[2]!, timeline: null } as const;
    await restoreInto(recorded.archive, target, { point, allowFlush: true });
    expect([...(await readOracle(client)).functions.keys()]).toEqual(['early', 'kept', 'replaced']);
    await restoreInto(recorded.archive, target, { allowFlush: true });
    const { functions } = await readOracle(client);
    expect([...functions.keys()]).toEqual(['early', 'kept', 'late', 'replaced']);
    expect(diffOracle(await readOracle(recorded.client), await readOracle(client))).toEqual([]);
  });

  it('is not taken for whole when the functions are others than the source had', async () => {
    await using target = await startRedis({ aof: false });
    const client = await target.connect();
    const code = Buffer.from(
      "#!lua name=lib\nredis.register_function('f', function() end)--\xff",
      'latin1',
    );
    await client.call('FUNCTION', 'LOAD', code);
    await client.call(
      'FUNCTION',
      'LOAD',
      code.toString('latin1').replace('lib', 'two').replace("'f'", "'g'"),
    );
    await using node = await connectNode({ host: '127.0.0.1', port: target.port });
    const exactly = { loaded: new Map([['lib', digestOfCode(code)]]), deleted: new Set(['gone']) };
    await checkFunctions(node, { ...exactly, othersMin: 0, othersMax: 1 });
    for (const wrong of [
      { ...exactly, othersMin: 0, othersMax: 0 },
      { ...exactly, othersMin: 2, othersMax: 2 },
      { ...exactly, deleted: new Set(['two']), othersMin: 0, othersMax: 1 },
      {
        ...exactly,
        loaded: new Map([['lib', digestOfCode(Buffer.from('x'))]]),
        othersMin: 0,
        othersMax: 1,
      },
      { ...exactly, loaded: new Map([['none', 'x']]), othersMin: 0, othersMax: 2 },
    ]) {
      await expect(checkFunctions(node, wrong)).rejects.toMatchObject({ code: 'TM_TARGET_REPLAY' });
    }
  });

  it('has no message for those who listen now', async () => {
    await using recorded = await record({
      during: [(client) => client.set('a', 1)],
      forged: [['PUBLISH', 'news', 'old'], ['PING'], ['REPLCONF', 'GETACK', '*'], ['SET', 'b', 2]],
    });
    await using target = await startRedis({ aof: false });
    const heard: string[] = [];
    const listener = await target.connect();
    listener.on('message', (_channel: string, message: string) => heard.push(message));
    await listener.subscribe('news');
    await restoreInto(recorded.archive, target);
    const client = await target.connect();
    expect(await client.mget('a', 'b')).toEqual(['1', '2']);
    await client.publish('news', 'new');
    await sleep(50);
    expect(heard).toEqual(['new']);
  });
});

/** Transactions that go from database to database, and plain writes that stay where those ended. */
const ACROSS_DATABASES: readonly Act[] = [
  (client) => client.multi().select(5).set('a', 1).select(6).set('b', 1).exec(),
  (client) => client.set('a', 2),
  (client) => client.multi().incr('n').select(0).incr('n').exec(),
  (client) => client.incr('n'),
  (client) => client.swapdb(0, 6),
  (client) => client.incr('n'),
  (client) => client.multi().select(9).move('nothing', 3).set('m', 1).move('m', 3).exec(),
];

describeWithServer('redis', '8.0', 'a SELECT within a transaction', ({ binary }) => {
  it('is minded at every cut', async () => {
    const oracles: Oracle[] = [];
    const during = ACROSS_DATABASES.map((act): Act => async (client) => {
      await act(client);
      oracles.push(await readOracle(client));
    });
    await using recorded = await record({ binary, during });
    await using target = await startRedis({ binary, aof: false });
    const client = await target.connect();
    for (const [part, offset] of recorded.ends.entries()) {
      const point = { kind: 'offset', offset, timeline: null } as const;
      await restoreInto(recorded.archive, target, { point, allowFlush: true });
      expect([part, ...diffOracle(oracles[part]!, await readOracle(client))]).toEqual([part]);
    }
  });
});
