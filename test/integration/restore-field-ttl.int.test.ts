import type { Redis } from 'ioredis';
import { describe, expect, it } from 'vitest';
import { type Act, record, restoreInto } from '../support/replay-run.ts';
import { startRedis } from '../support/redis-server.ts';
import { describeWithServer, findServer, type ServerBinary } from '../support/servers.ts';

/** Far enough that nothing expires during a test. */
const FAR_MS = 3_600_000;
const WIDE = 600;

/** A hash that is small enough for a listpack, and one that is not. */
function fill(prefix: string, at: number): Act {
  return async (client) => {
    await client.hset(`${prefix}:small`, { early: '1', late: 'v', none: '', text: 'x'.repeat(20) });
    await client.call('HPEXPIREAT', `${prefix}:small`, at, 'FIELDS', 1, 'early');
    await client.call('HPEXPIREAT', `${prefix}:small`, at + 5000, 'FIELDS', 2, 'late', 'text');
    const fields = Array.from({ length: WIDE }, (_, i): [string, string] => [`f${i}`, `v${i}`]);
    await client.hset(`${prefix}:wide`, Object.fromEntries(fields));
    await client.call('HPEXPIREAT', `${prefix}:wide`, at + 7, 'FIELDS', 2, 'f0', 'f500');
    await client.pexpireat(`${prefix}:wide`, at + 900);
  };
}

/** Every field of every hash with its expiry (-1 for none), and the key's own under "". */
async function read(client: Redis): Promise<Map<string, readonly [string, number]>> {
  const found = new Map<string, readonly [string, number]>();
  for (const key of (await client.keys('*')).sort()) {
    const all = await client.hgetall(key);
    const names = Object.keys(all);
    const times = (await client.call(
      'HPEXPIRETIME',
      key,
      'FIELDS',
      names.length,
      ...names,
    )) as number[];
    for (const [i, name] of names.entries()) {
      found.set(`${key} ${name}`, [all[name] ?? '', times[i] ?? NaN]);
    }
    found.set(key, ['', Number(await client.call('PEXPIRETIME', key))]);
  }
  return found;
}

const PAIRS = [
  ['redis', '8.0', 'redis', '8.0'],
  ['valkey', '9.1', 'valkey', '9.1'],
  ['redis', '8.0', 'valkey', '9.1'],
  ['valkey', '9.1', 'redis', '8.0'],
] as const;

const MODES = ['absolute', 'remaining', 'persist'] as const;

function tests(from: ServerBinary, to: ServerBinary): void {
  it('expire as each TTL mode says, in the snapshot, the log and restored payloads', async () => {
    const at = Date.now() + FAR_MS;
    await using source = await record({
      binary: from.binary,
      before: fill('snapshot', at),
      during: [
        fill('log', at + 3000),
        async (client) => {
          for (const name of ['small', 'wide']) {
            const payload = await client.dumpBuffer(`snapshot:${name}`);
            await client.restore(`payload:${name}`, at + 777, payload, 'ABSTTL');
          }
        },
      ],
    });
    const wanted = await read(source.client);
    expect(wanted.size).toBe(3 * (WIDE + 6));
    for (const ttl of MODES) {
      await using target = await startRedis({ binary: to.binary, aof: false });
      await restoreInto(source.archive, target, { ttl: { mode: ttl } });
      const found = await read(await target.connect());
      expect([...found.keys()].sort()).toEqual([...wanted.keys()].sort());
      const moves = new Set<number>();
      for (const [name, [value, expiryMs]] of wanted) {
        const [foundValue, foundMs] = found.get(name) ?? ['', NaN];
        expect([name, foundValue]).toEqual([name, value]);
        if (expiryMs < 0) expect([name, foundMs]).toEqual([name, -1]);
        else if (ttl === 'remaining') moves.add(foundMs - expiryMs);
        else expect([name, foundMs]).toEqual([name, ttl === 'absolute' ? expiryMs : -1]);
      }
      if (ttl !== 'remaining') continue;
      // All by the same time, fields as keys: from the instant of the cut to that of the plan.
      expect(moves.size).toBe(1);
      expect(Math.min(...moves)).toBeGreaterThan(0);
    }
  });
}

describe('fields of hashes', () => {
  for (const [product, line, toProduct, toLine] of PAIRS) {
    describeWithServer(product, line, `into ${toProduct} ${toLine}, from`, (from) => {
      const to = findServer(toProduct, toLine);
      if (to === null) describeWithServer(toProduct, toLine, 'the target', () => undefined);
      else tests(from, to);
    });
  }
});
