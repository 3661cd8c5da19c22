import type { NodeClient } from '@tidemark/client';
import { NodeError } from '@tidemark/core';
import { readFailures, type CommandFailures } from './command-failures.ts';
import type { TargetFacts } from './target-facts.ts';

/** A setting of the target: its own value, and the one for the time of the replay. */
export interface ChangedSetting {
  readonly name: string;
  readonly before: string;
  readonly during: string;
}

/**
 * What is needed to put the target back, also from another process. Plain JSON.
 *
 * It holds the target's own `masterauth` and the one-time password: keep it as a secret.
 */
export interface TargetRecord {
  readonly version: 1;
  /** Life of the server process; after a restart nothing of ours is set any more. */
  readonly runId: string;
  readonly settings: readonly ChangedSetting[];
  /** `unexpected_error_replies` before the replay; null when the server does not count. */
  readonly unexpectedErrors: number | null;
  /** How often each command had failed before the replay. */
  readonly failures: CommandFailures;
}

/** A server that waits long is better than one that leaves amid a stall of ours. */
const REPL_TIMEOUT_SECONDS = 3600;
const VALKEY_FLUSH_BEFORE_LOAD_FROM = 8_01_00;
const REDIS_FLUSHDB_FROM = 8_06_00;

/** The value that keeps a snapshot off the target's disk, also when it has to be sent again. */
function disklessLoad(facts: Pick<TargetFacts, 'product' | 'versionNumber'>): string {
  const { product, versionNumber } = facts;
  if (product === 'valkey') {
    return versionNumber >= VALKEY_FLUSH_BEFORE_LOAD_FROM ? 'flush-before-load' : 'on-empty-db';
  }
  return versionNumber >= REDIS_FLUSHDB_FROM ? 'flushdb' : 'on-empty-db';
}

/** The settings of a replay: name and value, in the order they are set. */
export function replaySettings(
  facts: Pick<TargetFacts, 'product' | 'versionNumber'>,
  credentials: { readonly user: string; readonly password: string },
): readonly (readonly [name: string, value: string])[] {
  return [
    ['masteruser', credentials.user],
    ['masterauth', credentials.password],
    ['repl-diskless-load', disklessLoad(facts)],
    ['repl-timeout', String(REPL_TIMEOUT_SECONDS)],
    ['replica-read-only', 'yes'],
    // With the link down it then answers nothing: nobody reads half a dataset.
    ['replica-serve-stale-data', 'no'],
    ['replica-ignore-maxmemory', 'yes'],
    // A command that fails is found by the count of errors; the server need not end itself.
    ['propagation-error-behavior', 'ignore'],
    // No fork and no file of a half dataset amid the replay.
    ['save', ''],
    // The control connection is silent as long as the replay lasts.
    ['timeout', '0'],
  ];
}

/**
 * Reads what the replay will change. Nothing is changed yet: keep the record durably, then
 * `applySettings`.
 * @param more - Further settings of the replay; those that the server does not know are left out.
 */
export async function makeTargetRecord(
  client: NodeClient,
  facts: TargetFacts,
  credentials: { readonly user: string; readonly password: string },
  more: readonly (readonly [name: string, value: string])[] = [],
): Promise<TargetRecord> {
  const settings: ChangedSetting[] = [];
  for (const [name, during] of [...replaySettings(facts, credentials), ...more]) {
    const before = (await client.configGet(name))[name];
    if (before !== undefined && before !== during) settings.push({ name, before, during });
  }
  const stats = await client.info('stats');
  const errors = stats.get('unexpected_error_replies');
  return {
    version: 1,
    runId: facts.runId,
    settings,
    unexpectedErrors: errors === undefined ? null : Number(errors),
    failures: await readFailures(client),
  };
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null;

/**
 * Reads a record back from JSON.
 * @throws NodeError `TM_NODE_REPLY` when it is not one of ours.
 */
export function parseTargetRecord(value: unknown): TargetRecord {
  const settings = isRecord(value) && Array.isArray(value.settings) ? value.settings : null;
  const whole =
    isRecord(value) &&
    value.version === 1 &&
    typeof value.runId === 'string' &&
    (value.unexpectedErrors === null || typeof value.unexpectedErrors === 'number') &&
    isRecord(value.failures) &&
    Object.values(value.failures).every((count) => typeof count === 'number') &&
    settings?.every(
      (one: unknown) =>
        isRecord(one) &&
        typeof one.name === 'string' &&
        typeof one.before === 'string' &&
        typeof one.during === 'string',
    ) === true;
  if (!whole) {
    throw new NodeError('TM_NODE_REPLY', 'the record of the target is not readable');
  }
  return value as unknown as TargetRecord;
}
