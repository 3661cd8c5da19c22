import {
  openWriterLog,
  readWriterLog,
  type LogEntry,
  type LogStart,
  type RetryLimits,
  type WriterLog,
} from '@tidemark/catalog';
import { TidemarkError, type Clock } from '@tidemark/core';
import type { ObjectStore } from '@tidemark/store';
import { seededRandom, standingClock } from './crypto-ports.ts';
import { LOG, LOG_KEY, START_MS } from './log-events.ts';

/** Opens the writer log of the tests. */
export async function openTestLog(
  store: ObjectStore,
  options: {
    readonly clock?: Clock;
    readonly retry?: RetryLimits;
    readonly seed?: string;
    readonly from?: LogStart;
  } = {},
): Promise<WriterLog> {
  const { clock = standingClock(START_MS), retry, seed = 'log', from } = options;
  const random = seededRandom(seed);
  return openWriterLog({
    ...LOG,
    store,
    logKey: LOG_KEY,
    clock,
    random,
    ...(retry && { retry }),
    ...(from && { from }),
  });
}

/** Every entry of the writer log of the tests. */
export async function readTestLog(store: ObjectStore): Promise<LogEntry[]> {
  const entries: LogEntry[] = [];
  for await (const batch of readWriterLog(
    { ...LOG, store, logKey: LOG_KEY },
    { endCheck: 'list' },
  )) {
    entries.push(...batch);
  }
  return entries;
}

/** The typed error that work ends in. */
export async function rejection(work: Promise<unknown>): Promise<TidemarkError> {
  try {
    await work;
  } catch (error) {
    if (error instanceof TidemarkError) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
}
