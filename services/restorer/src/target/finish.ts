import type { NodeClient } from '@tidemark/client';
import { NodeError, type Clock } from '@tidemark/core';
import type { Feed, FeedResult } from '@tidemark/replication';
import { countKeys, type DatabaseCount } from './count-keys.ts';
import type { ExpectedFunctions } from '../feed/function-tally.ts';
import { checkFunctions } from './check-functions.ts';
import { newFailures, readFailures } from './command-failures.ts';
import { persistTarget, type Persisted } from './persist.ts';
import { readRole } from './role.ts';
import { restoreSettings } from './settings.ts';
import type { TargetRecord } from './target-record.ts';

/** How a replay is to end. */
export interface FinishOptions {
  readonly feed: Pick<Feed, 'finished'>;
  readonly record: TargetRecord;
  readonly replicationId: string;
  /** `false` leaves the target a frozen replica: `promoteTarget` or `abandonTarget` follow. */
  readonly promote: boolean;
  readonly clock: Clock;
  readonly persistTimeoutMs?: number;
  /** Asked when all was replayed: see `countKeys`. */
  readonly candidates?: () => ReadonlyMap<number, readonly Buffer[]> | null;
  /** Called when all was replayed, before it is counted. */
  readonly onReplayed?: () => Promise<void>;
  /** Asked when all was replayed: what functions it must hold; null = not known. */
  readonly functions?: () => ExpectedFunctions | null;
  /** Called when the target is a master of its own, before it writes its data to its disk. */
  readonly onPromoted?: () => void;
}

/** The target as it was handed over. */
export interface TargetOutcome {
  readonly fed: FeedResult;
  /** Counted before the promotion. */
  readonly databases: readonly DatabaseCount[];
  readonly promotion: Promotion | null;
}

/** What a promotion did. */
export interface Promotion {
  readonly persisted: Persisted | 'failed';
  /** Settings that somebody else changed meanwhile; they were left so. */
  readonly foreignSettings: readonly string[];
  readonly warnings: readonly string[];
}

/**
 * Ends a replay: all applied, nothing refused, counted, promoted, settings put back, written to
 * the target's own disk; in this order.
 * @throws NodeError `TM_TARGET_REPLAY` when the target refused a command, `TM_TARGET_LOST` when it
 *   left or is no longer what it was, `TM_FEED`; errors of the feed's sources. The target is then
 *   not promoted: `abandonTarget`.
 */
export async function finishTarget(
  client: NodeClient,
  options: FinishOptions,
): Promise<TargetOutcome> {
  const { feed, record, replicationId } = options;
  const lost = client.closed.then((): never => {
    throw new NodeError('TM_TARGET_LOST', 'the control connection to the target broke', {
      hint: "see the target's log",
    });
  });
  const fed = await Promise.race([feed.finished(), lost]);
  await checkReplay(client, { record, replicationId, offset: fed.offset });
  const functions = options.functions?.() ?? null;
  if (functions !== null) await checkFunctions(client, functions);
  await options.onReplayed?.();
  const databases = await countKeys(client, options.candidates?.() ?? null);
  if (options.promote) {
    return { fed, databases, promotion: await promoteTarget(client, options) };
  }
  // A frozen replica is there to be looked at, also when our link is gone.
  await restoreSettings(client, record, ['replica-serve-stale-data', 'tls-ca-cert-file']);
  return { fed, databases, promotion: null };
}

/**
 * Checks that the target holds all of the replay and nothing else.
 * @throws NodeError `TM_TARGET_REPLAY`, `TM_TARGET_LOST`.
 */
export async function checkReplay(
  client: NodeClient,
  wanted: {
    readonly record: TargetRecord;
    readonly replicationId: string;
    readonly offset: bigint;
  },
): Promise<void> {
  const { role, runId, replicationId, offset } = await readRole(client);
  if (runId !== wanted.record.runId) {
    throw new NodeError('TM_TARGET_LOST', 'the target was restarted during the replay');
  }
  if (role !== 'replica' || replicationId !== wanted.replicationId || offset < wanted.offset) {
    throw new NodeError('TM_TARGET_LOST', 'the target no longer follows the feed', {
      context: { role, offset, wanted: wanted.offset },
      hint: 'did somebody else run REPLICAOF on it',
    });
  }
  const { unexpectedErrors } = wanted.record;
  if (unexpectedErrors === null) return;
  const errors = (await client.info('stats')).number('unexpected_error_replies', unexpectedErrors);
  if (errors !== unexpectedErrors) {
    const refused = errors - unexpectedErrors;
    const commands = newFailures(wanted.record.failures, await readFailures(client));
    throw new NodeError(
      'TM_TARGET_REPLAY',
      `the target refused ${String(refused)} commands of the replay` +
        (commands === '' ? '' : ` (failed on it meanwhile: ${commands})`),
      { context: { refused, commands }, hint: "the target's log names them" },
    );
  }
}

/** Makes the target a master of its own, puts its settings back and has it write its data. */
export async function promoteTarget(
  client: NodeClient,
  options: Pick<FinishOptions, 'record' | 'clock' | 'persistTimeoutMs' | 'onPromoted'>,
): Promise<Promotion> {
  const { record, clock, persistTimeoutMs } = options;
  await client.call('REPLICAOF', 'NO', 'ONE');
  // From here on clients may use it: what fails is a warning, not a reason to take it back.
  const warnings: string[] = [];
  const attempt = async <T>(work: Promise<T>, otherwise: T): Promise<T> => {
    try {
      return await work;
    } catch (error) {
      if (!(error instanceof NodeError)) throw error;
      warnings.push(error.hint === undefined ? error.message : `${error.message} (${error.hint})`);
      return otherwise;
    }
  };
  const foreignSettings = await attempt(restoreSettings(client, record), []);
  options.onPromoted?.();
  const persisted = await attempt<Persisted | 'failed'>(
    persistTarget(client, {
      clock,
      ...(persistTimeoutMs === undefined ? {} : { timeoutMs: persistTimeoutMs }),
    }),
    'failed',
  );
  return { persisted, foreignSettings, warnings };
}
