import { setTimeout as delay } from 'node:timers/promises';
import type { NodeClient } from '@tidemark/client';
import type { Redis } from 'ioredis';
import { describe, expect, it } from 'vitest';
import { INSTANCE, nodeOf, Scenario } from '../support/scenario.ts';
import { iso, secondOf, type ArchiverProcess, type Tidemark } from '../support/tidemark-cli.ts';
import { chooseSeed, Dice } from '../support/workload.ts';

const WRITES_PER_SECOND = 5_000;
const SECONDS = 22;
const SECONDS_RESTORED = 20;
const TICK_MS = 5;
/**
 * A unit belongs to the second it started in, by the clock that the server read when the script
 * began (docs/promises.md). TIME within it reads the clock anew, some microseconds later. So a script
 * that began at the very end of T may store a time of T + 1, but only just, and only one of them. Once
 * in a run the process may have lost the processor between the two.
 */
const SCRIPT_MICROS_MAX = 2_000;
const LOST_PROCESSOR_MICROS_MAX = 100_000;

/** Appends "sequence:seconds:microseconds"; every tenth also sets a counter, in one transaction. */
const STAMP = `
local now = redis.call('TIME')
redis.call('RPUSH', KEYS[1], ARGV[1] .. ':' .. now[1] .. ':' .. now[2])
if ARGV[1] % 10 == 0 then redis.call('SET', KEYS[2], ARGV[1]) end`;

interface Stamp {
  readonly sequence: number;
  readonly second: number;
  readonly micros: number;
}

describe('(a2) 5,000 writes a second that carry the time of the server, without a pause', () => {
  it('restores to T all that is of T and nothing that is later', async () => {
    const dice = new Dice(chooseSeed('every write stamped'));
    await using scenario = await Scenario.start({ workload: { seed: 0 } });
    const { tidemark, source, redis, target, targetRedis } = scenario;
    const archiver = await tidemark.serve();
    await using writer = await nodeOf(source);
    const until = Date.now() + SECONDS * 1_000;
    const restarting = restartAmidst(tidemark, archiver, dice);
    const sent = await writeUntil(until, writer, dice);
    expect(await restarting, 'caught up though the writes never pause').toBeLessThan(until);

    const stamps = await readStamps(redis);
    const first = parseStamp(stamps[0]).second + 1;
    const rate = stamps.length / SECONDS;
    console.log(`${stamps.length} writes, ${rate.toFixed(0)} a second`);
    expect(stamps.findIndex((text, i) => parseStamp(text).sequence !== i)).toBe(-1);
    expect(stamps).toHaveLength(sent);
    expect(rate).toBeGreaterThan(0.9 * WRITES_PER_SECOND);

    const windows = await tidemark.untilProven(INSTANCE, first + SECONDS_RESTORED - 1);
    expect(secondOf(windows.earliest ?? '')).toBeLessThanOrEqual(first);
    const late: number[] = [];
    for (let second = first; second < first + SECONDS_RESTORED; second++) {
      await tidemark.restore(INSTANCE, second, target);
      const restored = await readStamps(targetRedis);
      const counter = Number(await targetRedis.get('counter'));
      late.push(...expectCut(restored, stamps, second));
      expect(counter, 'the newest transaction is whole').toBe(
        10 * Math.floor((restored.length - 1) / 10),
      );
      await scenario.release();
    }
    console.log(`scripts that ran into the next second, and how far: ${late.join(', ')} us`);
    expect(late.length).toBeLessThan(SECONDS_RESTORED / 2);
    expect(late.filter((micros) => micros >= SCRIPT_MICROS_MAX).length).toBeLessThanOrEqual(1);
  });
});

/** Kills the archiver some seconds on and starts it again; when that one had caught up. */
async function restartAmidst(
  tidemark: Tidemark,
  archiver: ArchiverProcess,
  dice: Dice,
): Promise<number> {
  await delay(dice.between(5_000, 9_000));
  await archiver.kill();
  await tidemark.serve();
  return Date.now();
}

/** Sends writes at a steady rate over one connection; how many there were. */
async function writeUntil(untilMs: number, writer: NodeClient, dice: Dice): Promise<number> {
  const sha = String(await writer.call('SCRIPT', 'LOAD', STAMP));
  const startedMs = Date.now();
  let sent = 0;
  for (let now = startedMs; now < untilMs; now = Date.now()) {
    const due = Math.floor(((now - startedMs) * WRITES_PER_SECOND) / 1_000);
    const batch = Array.from({ length: due - sent }, (_, i) => stampCommand(sha, sent + i));
    sent += batch.length;
    for (const reply of await writer.pipeline(batch)) if (reply instanceof Error) throw reply;
    // Not always the same distance to the boundary of a second.
    await delay(dice.between(1, TICK_MS));
  }
  return sent;
}

function stampCommand(sha: string, sequence: number): readonly (string | number)[] {
  return ['EVALSHA', sha, 2, 'stamps', 'counter', sequence];
}

function readStamps(client: Redis): Promise<string[]> {
  return client.lrange('stamps', 0, -1);
}

function parseStamp(text = ''): Stamp {
  const [sequence = NaN, second = NaN, micros = NaN] = text.split(':').map(Number);
  return { sequence, second, micros };
}

/**
 * What was restored are the writes up to T, the next of the source's is later. Returns how many
 * microseconds into T + 1 the newest one stored its time, when it did.
 */
function expectCut(restored: readonly string[], all: readonly string[], second: number): number[] {
  const what = `${iso(second)}, ${restored.length} writes`;
  const different = restored.findIndex((text, i) => text !== all[i]);
  expect(different, `${what}: the first that is not the source's`).toBe(-1);
  const next = parseStamp(all[restored.length]);
  expect(next.second, `${what}: the next write`).toBeGreaterThan(second);
  const [before, newest] = restored.slice(-2).map(parseStamp);
  expect(before?.second, `${what}: the newest write but one`).toBe(second);
  if (newest?.second === second) return [];
  expect(newest?.second, `${what}: the newest write began in it`).toBe(second + 1);
  expect(newest?.micros, `${what}: and ended just after`).toBeLessThan(LOST_PROCESSOR_MICROS_MAX);
  return [newest?.micros ?? 0];
}
