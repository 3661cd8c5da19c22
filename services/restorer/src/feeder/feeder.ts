import type { FeedResult, FeedTls } from '@tidemark/replication';
import type { SelectorSpec } from '@tidemark/selector';
import type { SkipRange } from '../closure/skip-range.ts';
import type { CommandForm } from '../feed/command-source.ts';
import type { DyingKeys } from '../feed/dying-keys.ts';
import type { ExpectedFunctions } from '../feed/function-tally.ts';
import type { Vanishing } from '../feed/vanish-forecast.ts';
import type { LookInside, WriterPlace } from '../plan/look-inside.ts';
import type { RestorePlan } from '../plan/restore-plan.ts';
import type { SelectionReport } from '../run/selection-report.ts';
import type { TaintReport } from '../skip/tainted-keys.ts';

/** How far work on the data is. */
export interface FeederProgress {
  readonly phase: string;
  readonly bytes: number;
  readonly bytesTotal: number;
}

/** Who looks on, and who can end it. */
export interface FeederPorts {
  readonly signal: AbortSignal;
  readonly onProgress: (progress: FeederProgress) => void;
}

/** What is to be fed: a plan of everything, and what is wanted of it. Plain data. */
export interface FeederOrder {
  /** Made from the catalog, not narrowed: `closure` is null. */
  readonly plan: RestorePlan;
  /** Null: every key. */
  readonly selector: SelectorSpec | null;
  /** Commands that are left out. */
  readonly skip: SkipRange | null;
  /** With a selector: the functions as well. */
  readonly withFunctions: boolean;
}

/** What an order comes to. Nothing of the data is in it. */
export interface FeedOutline {
  /** What was selected; null: every key. */
  readonly selection: SelectionReport | null;
  /** Sealed bytes to be read, and bytes to be fed, as far as they are known. */
  readonly sealedBytes: number;
  readonly feedBytes: number;
  /** Commands of the segments that are read. */
  readonly commands: number;
}

/** Whether the target runs a command that is in no table. */
export type KnowsCommand = (name: string) => Promise<boolean>;

/** Where and in which form an order is fed. */
export interface FeedCall {
  readonly listenHost: string;
  /** The only address that may connect. */
  readonly allowFrom: string;
  /** 0: a free port. */
  readonly port: number;
  readonly user: string;
  readonly password: string;
  readonly replicationId: string;
  readonly baseOffset: bigint;
  /** Version of the RDB that is sent; null: as it is stored. */
  readonly rdbVersion: number | null;
  readonly form: CommandForm;
  /** Takes over from a feed of an earlier process. */
  readonly resume: boolean;
  /** Certificate, key, and whom to let in; null: without TLS. */
  readonly tls: FeedTls | null;
}

/** What was counted while all was fed. Names of keys may be in it, no values. */
export interface FedOutcome {
  readonly fed: FeedResult;
  /** Commands that were fed; SELECT, MULTI and EXEC count. */
  readonly commands: number;
  /** What functions the target must hold now; null = not known. */
  readonly functions: ExpectedFunctions | null;
  /** Keys that may have expired by now. */
  readonly dying: DyingKeys;
  /** What leaving commands out means for others; null when none were. */
  readonly taint: TaintReport | null;
}

/** A listening feed. Disposing closes link and listener. */
export interface RunningFeed extends AsyncDisposable {
  readonly port: number;
  /**
   * Waits until the target has applied the last byte. The link then stays up until disposal.
   * @throws NodeError `TM_FEED`, the error of what was read, `TM_FEEDER`; the signal's reason.
   */
  finished(): Promise<FedOutcome>;
}

/**
 * Opens what is sealed: the only one in a restore that holds data keys, and the only one that
 * bytes of the dataset pass through on their way into the target.
 *
 * `order` comes once, before all but `look`. Disposing zero-fills every key; it never fails.
 */
export interface Feeder extends AsyncDisposable {
  /** True: a process of its own, that opens no database and writes no file. */
  readonly isolated: boolean;
  /** Looks at commands of a log while the plan is made. */
  look(place: WriterPlace): LookInside;
  /**
   * Opens the data keys of a plan and finds out what of it is needed.
   * @throws KeyError; PlanError `TM_OFFSET_NO_COMMAND`; IntegrityError, FormatError or StoreError for
   *   damage.
   */
  order(order: FeederOrder): Promise<FeedOutline>;
  /** First phase of the verification. Throws what names the damaged object. */
  verify(depth: 'stream' | 'full'): Promise<void>;
  /**
   * Reads the log once for what must be fed in another form.
   * @returns How many commands of each name; none when the target knows all of it anyway.
   * @throws PlanError `TM_TARGET_COMMAND`, `TM_TARGET_DATABASES`.
   */
  changesFor(form: CommandForm, knows: KnowsCommand): Promise<Readonly<Record<string, number>>>;
  /** Whether anything that is fed may make a key. */
  mayGiveKeys(): Promise<boolean>;
  /** Keys that will vanish at once when they are handed over at `untilMs`, Unix milliseconds. */
  forecast(untilMs: number): Promise<Vanishing>;
  /** Reads all once for keys that have expired by `untilMs`, Unix milliseconds. */
  dyingKeys(untilMs: number): Promise<DyingKeys>;
  /** Listens and feeds. At most one feed at a time. Throws NodeError `TM_FEED_LISTEN`. */
  feed(call: FeedCall, knows: KnowsCommand): Promise<RunningFeed>;
}

/** Opens a feeder for one restore. What goes wrong with it is told at its order. */
export type OpenFeeder = (instance: string, ports: FeederPorts) => Feeder;
