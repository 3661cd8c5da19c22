import { setTimeout as delay } from 'node:timers/promises';
import type { NodeClient } from '@tidemark/client';
import type { Redis } from 'ioredis';
import { describe, expect, it } from 'vitest';
import { NodeLife } from '../../support/node-life.ts';
import { nodeOf } from '../../support/scenario.ts';
import { iso, secondOf } from '../../support/tidemark-cli.ts';

const WRITES_PER_SECOND = 3_000;
const SECONDS = 6;
const RESTORED = 4;
const TICK_MS = 5;

/** Appends "sequence:seconds:microseconds"; every tenth also sets a counter, in one transaction. */
const STAMP = `
local now = redis.call('TIME')
redis.call('RPUSH', KEYS[1], ARGV[1] .. ':' .. now[1] .. ':' .. now[2])
if ARGV[1] % 10 == 0 then redis.call('SET', KEYS[2], ARGV[1]) end`;

describe('writes that carry the time of the server, without a pause, captured by replication', () => {
  it('are restored to T all that is of T, and later ones only within the printed bound', async () => {
    await using life = await NodeLife.start({ source: 'psync' });
    await using writer = await nodeOf(life.server);
    await writeFor(SECONDS, writer);
    const stamps = await readStamps(await life.server.connect());
    const first = secondAt(stamps[0]) + 1;
    await life.untilProven(first + RESTORED - 1);
    const late: number[] = [];
    for (let second = first; second < first + RESTORED; second++) {
      const { report, value: restored } = await life.restoreAndRead(second, async (client) => ({
        stamps: await readStamps(client),
        counter: Number(await client.get('counter')),
      }));
      const what = `${iso(second)}, ${restored.stamps.length} writes`;
      const different = restored.stamps.findIndex((text, i) => text !== stamps[i]);
      expect(different, `${what}: the first that is not the source's`).toBe(-1);
      expect(secondAt(stamps[restored.stamps.length]), `${what}: the next`).toBeGreaterThan(second);
      const whole = 10 * Math.floor((restored.stamps.length - 1) / 10);
      expect(restored.counter, `${what}: the newest transaction is whole`).toBe(whole);
      const newest = secondAt(restored.stamps.at(-1));
      expect(newest, what).toBeGreaterThanOrEqual(second);
      const { notAfter } = report.cut;
      if (newest > second) expect(secondOf(notAfter ?? ''), what).toBeGreaterThanOrEqual(newest);
      late.push(restored.stamps.filter((text) => secondAt(text) > second).length);
    }
    console.log(`${stamps.length} writes; of the next second came along: ${late.join(', ')}`);
  });
});

/** Sends writes at a steady rate over one connection. */
async function writeFor(seconds: number, writer: NodeClient): Promise<void> {
  const sha = String(await writer.call('SCRIPT', 'LOAD', STAMP));
  const startedMs = Date.now();
  let sent = 0;
  for (let now = startedMs; now < startedMs + seconds * 1_000; now = Date.now()) {
    const due = Math.floor(((now - startedMs) * WRITES_PER_SECOND) / 1_000);
    const batch = Array.from({ length: due - sent }, (_, i) => {
      return ['EVALSHA', sha, 2, 'stamps', 'counter', sent + i];
    });
    sent += batch.length;
    for (const reply of await writer.pipeline(batch)) if (reply instanceof Error) throw reply;
    await delay(TICK_MS);
  }
}

function readStamps(client: Redis): Promise<string[]> {
  return client.lrange('stamps', 0, -1);
}

function secondAt(stamp = ''): number {
  return Number(stamp.split(':')[1]);
}
