import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { startRedis, type RedisServer } from '../../support/redis-server.ts';
import { record, restoreError, restoreInto, type Recorded } from '../../support/replay-run.ts';
import { selecting } from '../../support/selected-log.ts';

/** Values of about three frames, which do not get smaller when packed. */
const VALUE_BYTES = 3 * 1024 * 1024;
const KEYS = ['first', 'second', 'third'] as const;

describe('a segment that is damaged in the frames of one key', () => {
  let recorded: Recorded;
  let target: RedisServer;
  let sound: Buffer;
  let segment = '';
  beforeAll(async () => {
    recorded = await record({
      during: [
        async (client) => {
          for (const key of KEYS) await client.set(key, randomBytes(VALUE_BYTES));
        },
        // The segment with the cut is read to find where a command ends.
        (client) => client.set('end', '1'),
      ],
    });
    target = await startRedis({ aof: false });
    const { store } = recorded.archive;
    segment = store.keys().find((key) => key.includes('/seg/')) ?? '';
    const parts: Uint8Array[] = [];
    for await (const part of store.get(segment)) parts.push(part);
    sound = Buffer.concat(parts);
  });
  beforeEach(() => {
    const damaged = Buffer.from(sound);
    const middle = damaged.length >> 1;
    damaged.writeUInt32LE(~damaged.readUInt32LE(middle) >>> 0, middle);
    recorded.archive.store.tamper(segment, damaged);
  });
  afterAll(async () => {
    await target[Symbol.asyncDispose]();
    await recorded[Symbol.asyncDispose]();
  });

  it.each(['first', 'third'])('gives %s, which lies elsewhere', async (key) => {
    const report = await restoreInto(recorded.archive, target, {
      ...{ selector: selecting(key), allowFlush: true, verify: 'stream' },
    });
    expect(report).toMatchObject({ state: 'succeeded', keys: 1 });
    const client = await target.connect();
    const wanted = await recorded.client.getBuffer(key);
    expect((await client.getBuffer(key))?.equals(wanted ?? Buffer.alloc(0))).toBe(true);
  });

  it.each(['stream', 'full'] as const)('refuses the key itself (%s)', async (verify) => {
    const client = await target.connect();
    await client.flushall();
    await client.set('mine', '1');
    const error = await restoreError(recorded.archive, target, {
      ...{ selector: selecting('second'), allowFlush: true, verify },
    });
    expect(error).toMatchObject({ code: 'TM_SEAL_CHUNK', exitCode: 14 });
    // A target that would be emptied is not, before it is known that there is something to be put in.
    expect(await client.keys('*')).toEqual(['mine']);
    expect(await client.role()).toEqual(['master', expect.any(Number), []]);
  });
});
