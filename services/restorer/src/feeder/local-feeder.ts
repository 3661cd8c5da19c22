import { UsageError } from '@tidemark/core';
import { openFeed } from '@tidemark/replication';
import { commandChanges } from '../feed/command-changes.ts';
import { commandSource, skipBytes, type CommandForm } from '../feed/command-source.ts';
import { DyingKeys } from '../feed/dying-keys.ts';
import { FunctionTally } from '../feed/function-tally.ts';
import { mayGiveKeys } from '../feed/may-give-keys.ts';
import { snapshotSource } from '../feed/snapshot-source.ts';
import { forecastVanishing, type Vanishing } from '../feed/vanish-forecast.ts';
import { objectsOf } from '../fetch/plan-keys.ts';
import type { LookInside, WriterPlace } from '../plan/look-inside.ts';
import type { RestorePlan } from '../plan/restore-plan.ts';
import { TaintedKeys } from '../skip/tainted-keys.ts';
import { verifyObjects } from '../verify/verify-objects.ts';
import type {
  FeedCall,
  Feeder,
  FeederOrder,
  FeederPorts,
  FeedOutline,
  KnowsCommand,
  RunningFeed,
} from './feeder.ts';
import { lookHere } from './opened-log.ts';
import { openOrder, outlineOf, type FeederSources, type OpenedOrder } from './opened-order.ts';

/** The replay takes time: what expires meanwhile vanishes too. */
const DYING_SOON_MS = 900_000;

/** Opens and feeds in this process. The feeding process is this one around a pipe. */
export class LocalFeeder implements Feeder {
  readonly isolated = false;
  readonly #sources: FeederSources;
  readonly #ports: FeederPorts;
  #opened: OpenedOrder | null = null;
  #feed: RunningFeed | null = null;
  #ended = false;

  constructor(sources: FeederSources, ports: FeederPorts) {
    this.#sources = sources;
    this.#ports = ports;
  }

  look(place: WriterPlace): LookInside {
    return lookHere(place, this.#sources, this.#ports.signal);
  }

  async order(order: FeederOrder): Promise<FeedOutline> {
    if (this.#opened !== null) throw new UsageError('TM_USAGE', 'a feeder takes one order');
    const opened = await openOrder(order, this.#sources, this.#ports.signal);
    this.#opened = opened;
    if (this.#ended) opened[Symbol.dispose]();
    return outlineOf(this.#order);
  }

  async verify(depth: 'stream' | 'full'): Promise<void> {
    const { plan, reader, keys } = this.#order;
    const { signal, onProgress } = this.#ports;
    await verifyObjects(objectsOf(plan), depth, {
      store: this.#sources.store,
      reader,
      keyOf: keys.of,
      signal,
      onProgress: (_, bytes) =>
        onProgress({ phase: 'verify', bytes, bytesTotal: plan.sealedBytes }),
    });
  }

  changesFor(form: CommandForm, knows: KnowsCommand): Promise<Readonly<Record<string, number>>> {
    return commandChanges(this.#order, form, knows);
  }

  mayGiveKeys(): Promise<boolean> {
    return mayGiveKeys(this.#order);
  }

  forecast(untilMs: number): Promise<Vanishing> {
    return forecastVanishing(this.#order, untilMs);
  }

  async dyingKeys(untilMs: number): Promise<DyingKeys> {
    const dying = dyingOf(this.#order.plan, untilMs);
    await dying.collect(this.#order);
    return dying;
  }

  async feed(call: FeedCall, knows: KnowsCommand): Promise<RunningFeed> {
    const feed = await runFeed(this.#order, call, knows, {
      ...this.#ports,
      clock: this.#sources.clock,
    });
    this.#feed = feed;
    if (this.#ended) await feed[Symbol.asyncDispose]();
    return feed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ended = true;
    await this.#feed?.[Symbol.asyncDispose]();
    this.#opened?.[Symbol.dispose]();
  }

  get #order(): OpenedOrder {
    if (this.#opened !== null && !this.#ended) return this.#opened;
    throw new UsageError('TM_USAGE', 'a feeder without an order, or after its end');
  }
}

/** Opens the feed of an order: the same order and call give the same bytes in any process. */
async function runFeed(
  { plan, reader }: OpenedOrder,
  call: FeedCall,
  knowsCommand: KnowsCommand,
  { signal, clock, onProgress }: FeederPorts & Pick<FeederSources, 'clock'>,
): Promise<RunningFeed> {
  const { listenHost, port, user, password, allowFrom, replicationId, baseOffset, resume } = call;
  const { tls } = call;
  const dying = dyingOf(plan, plan.ttl.nowMs + DYING_SOON_MS);
  const functions = functionsFed(plan);
  let commands = 0;
  let tally = new FunctionTally(functions);
  let taint = taintOf(plan);
  const feed = await openFeed({
    ...{ listenHost, listenPort: port, user, password, allowFrom, replicationId, baseOffset, tls },
    snapshot: () => dying.tapRdb(snapshotSource(plan, reader, call.rdbVersion)),
    commands: (from) => {
      commands = 0;
      tally = new FunctionTally(functions);
      taint = taintOf(plan);
      dying.beginCommands();
      const source = commandSource(plan, reader, call.form, {
        onBatch: (batch) => {
          commands += batch.count;
          tally.noteCommands(batch);
          dying.noteCommands(batch);
        },
        onRead: (batch) => taint?.push(batch),
        knowsCommand,
      });
      return skipBytes(source, from);
    },
    clock,
    signal,
    onProgress: ({ phase, rdbBytes, commandBytes }) =>
      onProgress({
        phase,
        bytes: rdbBytes + Number(commandBytes),
        bytesTotal: plan.feedBytes,
      }),
    resumable: true,
    resume,
  });
  return {
    port: feed.port,
    finished: async () => {
      const fed = await feed.finished();
      const report = taint?.report() ?? null;
      return { fed, commands, functions: tally.expected, dying, taint: report };
    },
    [Symbol.asyncDispose]: () => feed[Symbol.asyncDispose](),
  };
}

function dyingOf({ ttl, closure }: RestorePlan, untilMs: number): DyingKeys {
  return new DyingKeys(untilMs, ttl, closure?.skip != null);
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
