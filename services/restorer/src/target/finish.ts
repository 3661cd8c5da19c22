import type { NodeClient } from '@tidemark/client';
import { NodeError, type Clock } from '@tidemark/core';
import type { Feed, FeedResult } from '@tidemark/replication';
import { countKeys, type DatabaseCount } from './count-keys.ts';
import type { ExpectedFunctions } from '../feed/function-tally.ts';
import { checkFunctions } from './check-functions.ts';
import { checkReplay, detachTarget } from './detach.ts';
import { persistTarget, type Persisted } from './persist.ts';
import { restoreSettings } from './settings.ts';
import type { TargetRecord } from './target-record.ts';

/** How a replay is to end. */
export interface FinishOptions {
  readonly feed: Pick<Feed, 'finished'>;
  readonly record: TargetRecord;
  readonly replicationId: string;
  /**
   * `false` leaves the target a frozen replica of nobody: `promoteTarget` or `abandonTarget` follow.
   */
  readonly promote: boolean;
  readonly clock: Clock;
  readonly persistTimeoutMs?: number;
  /** Asked when all was replayed: see `countKeys`. */
  readonly candidates?: () => ReadonlyMap<number, readonly Buffer[]> | null;
  /** Called when all was replayed, before it is counted. */
  readonly onReplayed?: () => Promise<void>;
  /** Called when it is counted, while it still follows the feed. */
  readonly onCounted?: (fed: FeedResult, databases: readonly DatabaseCount[]) => Promise<void>;
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
 * Ends a replay: all applied, nothing refused, counted, taken off the feed, promoted, settings put
 * back, written to the target's own disk; in this order. The feed must be one that sends nothing after
 * its end (`resumable`).
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
  const wanted = { record, replicationId, offset: fed.sentOffset };
  await Promise.race([checkReplay(client, wanted, options.clock), lost]);
  const functions = options.functions?.() ?? null;
  if (functions !== null) await checkFunctions(client, functions);
  await options.onReplayed?.();
  const databases = await countKeys(client, options.candidates?.() ?? null);
  await options.onCounted?.(fed, databases);
  await detachTarget(client, wanted);
  return {
    ...{ fed, databases },
    promotion: options.promote ? await promoteTarget(client, options) : null,
  };
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
