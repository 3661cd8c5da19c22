import type { NodeClient } from '@tidemark/client';
import type { Clock } from '@tidemark/core';
import { openFeed, type Feed, type FeedProgress } from '@tidemark/replication';
import { commandSource, skipBytes } from '../feed/command-source.ts';
import { DyingKeys } from '../feed/dying-keys.ts';
import { FunctionTally, type ExpectedFunctions } from '../feed/function-tally.ts';
import { snapshotSource } from '../feed/snapshot-source.ts';
import type { RestorePlan } from '../plan/restore-plan.ts';
import { TaintedKeys, type TaintReport } from '../skip/tainted-keys.ts';
import { knowsCommand } from '../target/index.ts';
import type { PreparedPlan } from './prepared-plan.ts';
import type { RestoreRecord } from './restore-record.ts';

/** The replay takes time: what expires meanwhile vanishes too. */
const DYING_SOON_MS = 900_000;

/** A feed of a plan, with what is counted while it runs. */
export interface Replay extends AsyncDisposable {
  readonly feed: Feed;
  readonly dying: DyingKeys;
  /** Commands fed so far; SELECT, MULTI and EXEC count. */
  readonly commands: () => number;
  /** What functions the target must hold after what was fed. */
  readonly functions: () => ExpectedFunctions | null;
  /** What leaving commands out means for others; null when none were. */
  readonly taint: () => TaintReport | null;
}

/** How a replay is opened. */
export interface ReplayOptions {
  readonly listenHost: string;
  readonly allowFrom: string;
  readonly feed: RestoreRecord['feed'];
  readonly rdbVersion: number | null;
  readonly form: RestoreRecord['commands'];
  /** The target, to be asked what it knows. */
  readonly client: NodeClient;
  /** Takes over from a feed of an earlier process. */
  readonly resume: boolean;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  readonly onProgress: (progress: FeedProgress) => void;
}

/** Opens the feed of a plan: the same plan and record give the same bytes in any process. */
export async function openReplay(prepared: PreparedPlan, options: ReplayOptions): Promise<Replay> {
  const { plan, reader } = prepared;
  const { port, user, password, replicationId, baseOffset } = options.feed;
  const dying = new DyingKeys(plan.ttl.nowMs + DYING_SOON_MS, plan.ttl);
  let commands = 0;
  const functions = functionsFed(plan);
  let tally = new FunctionTally(functions);
  let taint = taintOf(plan);
  const feed = await openFeed({
    listenHost: options.listenHost,
    listenPort: port,
    user,
    password,
    allowFrom: options.allowFrom,
    replicationId,
    baseOffset: BigInt(baseOffset),
    snapshot: () => dying.tapRdb(snapshotSource(plan, reader, options.rdbVersion)),
    commands: (from) => {
      commands = 0;
      tally = new FunctionTally(functions);
      taint = taintOf(plan);
      const source = commandSource(plan, reader, options.form, {
        onBatch: (batch) => {
          commands += batch.count;
          tally.noteCommands(batch);
          dying.noteCommands(batch);
        },
        onRead: (batch) => taint?.push(batch),
        knowsCommand: (name) => knowsCommand(options.client, name),
      });
      return skipBytes(source, from);
    },
    clock: options.clock,
    signal: options.signal,
    onProgress: options.onProgress,
    resumable: true,
    resume: options.resume,
  });
  return {
    feed,
    dying,
    commands: () => commands,
    functions: () => tally.expected,
    taint: () => taint?.report() ?? null,
    [Symbol.asyncDispose]: () => feed[Symbol.asyncDispose](),
  };
}

/** Function libraries of the snapshot that are sent. */
function functionsFed({ closure, snapshot }: RestorePlan): number {
  const none = closure !== null && closure.everything === null && !closure.keepFunctions;
  return none || closure?.startsEmpty === true ? 0 : snapshot.summary.functions;
}

function taintOf({ closure }: RestorePlan): TaintedKeys | null {
  if (closure?.skip == null) return null;
  const { skip, selector } = closure;
  if (selector === null) return new TaintedKeys({ skip });
  return new TaintedKeys({
    skip,
    selects: (db, data, start, end) => selector.matches(db, data, start, end),
  });
}
