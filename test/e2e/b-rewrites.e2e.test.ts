import { setTimeout as delay } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import { describe, expect, it } from 'vitest';
import { INSTANCE, Scenario } from '../support/scenario.ts';
import { chooseSeed, Dice } from '../support/workload.ts';

const SECONDS = 12;
const BASE_BYTES_MIN = 20 * 1024 * 1024;
const BASE_KEYS = 340;
const BASE_VALUE_BYTES = 64 * 1024;
/** The workload leaves this database alone, so that the base stays large. */
const BASE_DATABASE = 15;
const POLL_MS = 20;

interface BackupList {
  readonly backups: readonly {
    readonly id: string;
    readonly mode: string;
    readonly rdbBytes: number;
  }[];
}

describe('(b) the server rewrites its log all the time', () => {
  it('restores every recorded second as it was, without a hole', async () => {
    const seed = chooseSeed('rewrites');
    const workload = { seed, databases: BASE_DATABASE, bigOnceIn: 8 };
    await using scenario = await Scenario.start({ workload });
    const { tidemark, redis, recorder } = scenario;
    await fillBase(redis, new Dice(seed));
    await scenario.workload.open();
    const archiver = await tidemark.serve();

    const stop = new AbortController();
    const rewriting = rewriteAll(await scenario.source.connect(), stop.signal);
    await recorder.record(scenario.workload, SECONDS / 2);
    const backup = tidemark.json<{ readonly id: string }>('backup', 'create', INSTANCE, '--wait');
    await recorder.record(scenario.workload, SECONDS / 2);
    stop.abort();
    const { rewrites, baseBytes } = await rewriting;
    const { id } = await backup;
    console.log(
      `${rewrites} rewrites of at least ${baseBytes} bytes; ${scenario.workload.commands} commands, ` +
        `${recorder.recorded.length} seconds recorded`,
    );
    expect(baseBytes).toBeGreaterThan(BASE_BYTES_MIN);
    expect(rewrites).toBeGreaterThan(SECONDS / 2);

    const windows = await tidemark.untilProven(INSTANCE, recorder.recorded.at(-1)?.second ?? 0);
    expect(windows.shards[0]?.holes).toEqual([]);
    expect(windows.shards[0]?.ranges).toHaveLength(1);
    const { backups } = await tidemark.json<BackupList>('backup', 'list', INSTANCE);
    console.log(
      `backups: ${backups.map(({ mode, rdbBytes }) => `${mode} ${rdbBytes}`).join(', ')}`,
    );
    expect(backups.find((known) => known.id === id)?.mode).toBe('manual');
    for (const recorded of recorder.recorded) await scenario.expectRestored(recorded);
    expect(await archiver.stop()).toBe(0);
  });
});

/** Values that do not compress, so that the base is as large as they are. */
async function fillBase(redis: Redis, dice: Dice): Promise<void> {
  const pipeline = redis.pipeline().select(BASE_DATABASE);
  for (let i = 0; i < BASE_KEYS; i++) pipeline.set(`base:${i}`, dice.bytes(BASE_VALUE_BYTES));
  await pipeline.exec();
  await redis.select(0);
}

/** Asks for one rewrite after the other; how many ended, and the smallest base that came of it. */
async function rewriteAll(
  redis: Redis,
  signal: AbortSignal,
): Promise<{ readonly rewrites: number; readonly baseBytes: number }> {
  let [rewrites, baseBytes] = [0, Infinity];
  while (!signal.aborted) {
    // The archiver may have asked for one: then that one is waited for.
    await redis.call('BGREWRITEAOF').catch(() => undefined);
    let info: string;
    do {
      await delay(POLL_MS);
      info = await redis.info('persistence');
    } while (/aof_rewrite_(in_progress|scheduled):1/.test(info));
    rewrites += 1;
    baseBytes = Math.min(baseBytes, Number(/aof_base_size:(\d+)/.exec(info)?.[1]));
  }
  return { rewrites, baseBytes };
}
