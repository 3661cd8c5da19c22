import type { TidemarkError } from '@tidemark/core';
import type { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { record, type Recorded } from '../../support/replay-run.ts';
import { startRedis } from '../../support/redis-server.ts';
import { HookedStore } from '../../support/write-back/hooked-store.ts';
import {
  originalOf,
  readBytes,
  realEnvironment,
  undo,
  writeBack,
} from '../../support/write-back/write-run.ts';

async function refusal(work: Promise<unknown>): Promise<TidemarkError> {
  return work.then(
    () => {
      throw new Error('nothing was refused');
    },
    (error: unknown) => error as TidemarkError,
  );
}

describe('an original that cannot be written to is refused before anything is written', () => {
  let recorded: Recorded;
  let client: Redis;
  let before: Map<string, string>;
  beforeAll(async () => {
    recorded = await record({
      during: [(redis) => redis.set('key', 'then'), (redis) => redis.set('key', 'now')],
    });
    ({ client } = recorded);
    before = await readBytes(client);
  });
  afterAll(async () => {
    expect(await readBytes(client)).toEqual(before);
    await recorded[Symbol.asyncDispose]();
  });

  it('a replica', async () => {
    await using replica = await startRedis({ aof: false });
    const other = await replica.connect();
    await other.replicaof('127.0.0.1', recorded.source.port);
    const error = await refusal(
      writeBack(recorded, { live: originalOf(recorded, { port: replica.port }) }),
    );
    expect(error).toMatchObject({ code: 'TM_WRITE_TARGET', context: { role: 'replica' } });
    expect(error.hint).toContain('master');
  });

  it('one with fewer replicas than it asks for', async () => {
    await client.config('SET', 'min-replicas-to-write', '1');
    const error = await refusal(writeBack(recorded));
    expect(error).toMatchObject({ code: 'TM_WRITE_TARGET' });
    expect(error.message).toContain('min-replicas-to-write');
    await client.config('SET', 'min-replicas-to-write', '0');
  });

  it('one without memory', async () => {
    await client.config('SET', 'maxmemory', '1');
    const error = await refusal(writeBack(recorded));
    expect(error).toMatchObject({ code: 'TM_TARGET_MEMORY' });
    await client.config('SET', 'maxmemory', '0');
  });

  it('a user without rights: all commands that are missing are named at once', async () => {
    await client.call(
      'ACL',
      'SETUSER',
      'reader',
      'on',
      '>secret',
      '~*',
      '+@all',
      '-restore',
      '-unlink',
      '-watch',
    );
    const error = await refusal(
      writeBack(recorded, {
        live: originalOf(recorded, { username: 'reader', password: 'secret' }),
      }),
    );
    expect(error).toMatchObject({
      code: 'TM_NODE_RIGHTS',
      context: { commands: 'WATCH, RESTORE, UNLINK' },
    });
    expect(error.hint).toContain('+watch +restore +unlink');
  });

  it('an undo of a pack that is not there', async () => {
    expect(await refusal(undo(recorded, 'rs-none'))).toMatchObject({ code: 'TM_NOT_FOUND' });
  });
});

describe('an original whose memory ends in the middle', () => {
  it('stops the work with what is written, which an undo puts back', async () => {
    const names = Array.from({ length: 300 }, (_, i) => `k${String(i)}`);
    const fill = (redis: Redis, text: string): Promise<unknown> =>
      redis.mset(Object.fromEntries(names.map((name) => [name, text])));
    await using recorded = await record({
      during: [(redis) => fill(redis, 'then'), (redis) => fill(redis, 'now')],
    });
    const { client } = recorded;
    const before = await readBytes(client);
    const { store } = await realEnvironment(recorded);
    const hooked = new HookedStore(store, {
      after: async (part) => part === 1 && client.config('SET', 'maxmemory', '1'),
    });
    const { report, failure } = await writeBack(recorded, { environment: { store: hooked } });
    expect(failure).toMatchObject({ code: 'TM_TARGET_MEMORY' });
    expect(report.state).toBe('interrupted');
    expect(report.restored).toBeGreaterThan(0);
    expect(report.restored).toBeLessThan(300);
    await client.config('SET', 'maxmemory', '0');
    const undone = await undo(recorded, report.id);
    expect(undone.report).toMatchObject({ restored: report.restored, conflicts: 0 });
    expect(await readBytes(client)).toEqual(before);
  });
});
