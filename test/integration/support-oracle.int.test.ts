import { describe, expect, it } from 'vitest';
import { diffOracle, readOracle } from '../support/oracle.ts';
import { startRedis } from '../support/redis-server.ts';

describe('the equality oracle', () => {
  it('finds two servers with the same data equal, and names each fact in which they differ', async () => {
    await using one = await startRedis();
    await using two = await startRedis({ aof: false });
    const clients = [await one.connect(), await two.connect()] as const;
    for (const client of clients) {
      await client.set(Buffer.from([0, 255, 92, 34]), 'binary');
      await client.set('ttl', 'x', 'PXAT', 4102444800000);
      await client.rpush('list', ...Array.from({ length: 700 }, (_, i) => String(i)));
      await client.select(3);
      await client.xadd('s', '1-1', 'name', 'bob');
      await client.xgroup('CREATE', 's', 'g', '0');
      await client.xreadgroup('GROUP', 'g', 'c', 'STREAMS', 's', '>');
      await client.call('XCLAIM', 's', 'g', 'c', '0', '1-1', 'TIME', '5', 'RETRYCOUNT', '1');
      await client.call('FUNCTION', 'LOAD', LIBRARY);
    }
    const before = await readOracle(clients[0]);
    expect(diffOracle(before, await readOracle(clients[1]))).toEqual([]);
    expect(before.databases.get(3)?.keys.get('s')?.stream).toContain('["name","bob"]');

    await clients[1].xgroup('SETID', 's', 'g', '5-5');
    await clients[1].call('FUNCTION', 'FLUSH');
    await clients[1].select(0);
    await clients[1].call('PEXPIREAT', 'ttl', 4102444800001);
    await clients[1].lset('list', 5, 'changed');
    const lines = diffOracle(before, await readOracle(clients[1]));
    expect(lines.map((line) => line.replace(/(expiryMs|digest|stream|DIGEST) .*/, '$1'))).toEqual([
      'db 0 key "list": digest',
      'db 0 key "ttl": expiryMs',
      'db 3 key "s": stream',
      'function library lib',
      'DEBUG DIGEST',
    ]);
  });

  it('counts keys of a replica that are expired but still there', async () => {
    await using master = await startRedis({ aof: false });
    await using replica = await startRedis({ aof: false });
    const [source, target] = [await master.connect(), await replica.connect()];
    await source.call('DEBUG', 'SET-ACTIVE-EXPIRE', '0');
    await source.set('gone', 'x', 'PX', 300);
    await target.call('REPLICAOF', '127.0.0.1', master.port);
    await expect.poll(() => target.dbsize(), { timeout: 60_000, interval: 20 }).toBe(1);
    await expect.poll(() => target.get('gone'), { timeout: 60_000, interval: 20 }).toBe(null);
    const oracle = await readOracle(target);
    expect(oracle.databases.get(0)?.dbSize).toBe(1);
    expect(oracle.databases.get(0)?.keys.size).toBe(0);
    expect(oracle.digest).not.toBe('0'.repeat(40));
  });
});

const LIBRARY = "#!lua name=lib\nredis.register_function('f', function() return 1 end)";
