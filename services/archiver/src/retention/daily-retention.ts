import { join } from 'node:path';
import { openCatalog } from '@tidemark/catalog';
import { TidemarkError, type Clock, type Random } from '@tidemark/core';
import type { KeyProvider } from '@tidemark/crypto';
import type { ObjectStore } from '@tidemark/store';
import type { Logger } from '../logger.ts';
import type { RetentionRules } from './retention-ports.ts';
import { runRetention, type RetentionReport } from './run-retention.ts';

/** The start of an archiver has other things to do. */
const FIRST_AFTER_MS = 10 * 60_000;
const EVERY_MS = 24 * 3_600_000;
const AGAIN_MS = 3_600_000;
/** A tombstone is looked at when its grace is over, and not a moment before. */
const BEHIND_DUE_MS = 60_000;

/** What the retention of an archiver runs on. */
export interface DailyRetentionOptions {
  readonly rules: RetentionRules;
  readonly stateDir: string;
  readonly store: ObjectStore;
  readonly keys: Pick<KeyProvider, 'logKey'>;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  /** The instances that are captured now. */
  readonly instances: () => readonly string[];
  /** Default: ten minutes. */
  readonly firstAfterMs?: number;
}

/**
 * Lets go of what the policy keeps no longer, once a day for each instance, until the signal is
 * aborted. What it fails with is logged and tried again: capturing never waits for it.
 */
export async function keepRetention(
  options: DailyRetentionOptions,
  signal: AbortSignal,
): Promise<void> {
  const { clock, instances, firstAfterMs = FIRST_AFTER_MS } = options;
  const nextMs = new Map<string, number>();
  const begun = clock.monotonicMs() + firstAfterMs;
  while (!signal.aborted) {
    for (const instance of instances()) {
      if (!nextMs.has(instance)) nextMs.set(instance, begun);
      if (clock.monotonicMs() < (nextMs.get(instance) ?? 0)) continue;
      const pauseMs = await retainOnce(instance, options, signal);
      nextMs.set(instance, clock.monotonicMs() + pauseMs);
    }
    const next = Math.min(...nextMs.values(), clock.monotonicMs() + AGAIN_MS);
    const pauseMs = Math.max(1_000, next - clock.monotonicMs());
    await clock.sleep(pauseMs, signal).catch(() => undefined);
  }
}

/** @returns When to look again, in milliseconds from now. */
async function retainOnce(
  instance: string,
  options: DailyRetentionOptions,
  signal: AbortSignal,
): Promise<number> {
  const { rules, stateDir, store, keys, clock, random, logger } = options;
  try {
    using catalog = openCatalog({ path: join(stateDir, 'catalog.db') });
    const ports = { store, keys, catalog, clock, random, signal };
    const request = { ...rules, instance, stateDir, dryRun: false };
    const report = await runRetention(request, ports);
    logger.info('retention', fieldsOf(report));
    const { standing } = report;
    const dueMs = standing === null ? Infinity : standing.dueMs - clock.nowMs() + BEHIND_DUE_MS;
    return Math.max(BEHIND_DUE_MS, Math.min(EVERY_MS, dueMs));
  } catch (cause) {
    if (signal.aborted) return AGAIN_MS;
    const code = cause instanceof TidemarkError ? cause.code : 'TM_INTERNAL';
    const error = cause instanceof Error ? cause.message : String(cause);
    logger.warn('retention', { instance, code, error });
    return AGAIN_MS;
  }
}

function fieldsOf({ instance, marked, deleted, revoked, standing }: RetentionReport): {
  readonly [name: string]: string | number | boolean | null;
} {
  return {
    instance,
    marked: marked?.amount.objects ?? 0,
    markedBytes: marked?.amount.bytes ?? 0,
    limited: marked?.limited ?? false,
    deleted: deleted?.objects ?? 0,
    deletedBytes: deleted?.bytes ?? 0,
    deletedEntries: deleted?.logEntries ?? 0,
    revoked,
    due: standing === null ? null : new Date(standing.dueMs).toISOString(),
  };
}
