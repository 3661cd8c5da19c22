import { NodeError } from '@tidemark/core';
import { shownKey } from '@tidemark/selector';
import {
  countKeys,
  detachTarget,
  findVanishing,
  finishTarget,
  parseTargetRecord,
  promoteTarget,
  readRole,
  trimTarget,
  type DatabaseCount,
  type Promotion,
} from '../target/index.ts';
import { ttlText } from '../plan/ttl-rule.ts';
import type { FactsReport } from '../facts/facts-report.ts';
import { removeFeedFiles } from '../feed-tls/new-server-tls.ts';
import { openFacts } from '../facts/open-facts.ts';
import { factsReport } from '../facts/restore-facts.ts';
import { writeAcl } from '../facts/write-acl.ts';
import { writeConfig } from '../facts/write-config.ts';
import { callOff } from './call-off.ts';
import type { Vanishing } from '../feed/vanish-forecast.ts';
import type { FedOutcome, RunningFeed } from '../feeder/feeder.ts';
import type { RestoreEnvironment } from './environment.ts';
import { switchLogOn, type OpenTarget } from './open-target.ts';
import type { PhaseTimer } from './phase-timer.ts';
import type { PreparedPlan } from './prepared-plan.ts';
import { RestoreRecords, type RestoreRecord } from './restore-record.ts';
import { skipReport, skipWarnings, type SkipReport } from './skip-report.ts';
import { planWarnings, reportCut, reportSecond, type RestoreReport } from './restore-report.ts';

/** Names of vanishing keys that a report holds at most, and keys that are asked for to find them. */
const SAMPLE_MAX = 20;
const ASKED_MAX = 2_000;
/** The clock of the target decides what is expired; it may be so much ahead of ours. */
const CLOCKS_APART_MS = 300_000;

/** Where a restore goes, and the clock that measures it. */
export interface RestorePlace {
  readonly target: OpenTarget;
  readonly timer: PhaseTimer;
}

/** Waits for the replay to end, then counts, promotes and persists the target. */
export async function complete(
  record: RestoreRecord,
  prepared: PreparedPlan,
  feed: RunningFeed,
  place: RestorePlace,
  environment: RestoreEnvironment,
): Promise<RestoreReport> {
  const { target } = place;
  const { client } = target;
  const { databases, outcome, vanishingSample } = await replayed(
    ...([record, prepared, feed, place, environment] as const),
  );
  const { fed, taint } = outcome;
  const counted = {
    skip: taint && (await skipReport(taint, record, client)),
    commands: outcome.commands,
    bytes: fed.rdbBytes + Number(fed.commandBytes),
    vanishingSample,
    databases,
  };
  const known = replayedRecord(record, fed.sentOffset);
  const none = prepared.selector !== null && databases.every(({ keys }) => keys === 0);
  if (none && record.promote) {
    // Nobody needs an empty server: one that was started for this goes, another is given back.
    await feed[Symbol.asyncDispose]();
    const warnings = await callOff(known, target, environment);
    const report = reportOf(known, prepared, counted, null, place);
    return { ...report, state: 'nothing', warnings: [...report.warnings, ...warnings] };
  }
  const promotion = record.promote ? await promote(known, place, environment, prepared) : null;
  return reportOf(known, prepared, counted, promotion, place);
}

const replayedRecord = (record: RestoreRecord, offset: bigint): RestoreRecord => ({
  ...record,
  state: 'replayed',
  replayedOffset: offset.toString(),
});

/**
 * Waits until all was replayed, takes away what is not wanted, counts the rest, and takes the target
 * off the feed.
 */
async function replayed(
  record: RestoreRecord,
  { selector, withFunctions, keepOtherTypes }: PreparedPlan,
  feed: RunningFeed,
  { target, timer }: RestorePlace,
  environment: RestoreEnvironment,
): Promise<{
  readonly databases: readonly DatabaseCount[];
  readonly outcome: FedOutcome;
  readonly vanishingSample: readonly string[];
}> {
  const { client } = target;
  const { clock } = environment;
  let vanishingSample: readonly string[] = [];
  const known: { outcome: FedOutcome | null } = { outcome: null };
  const { databases } = await finishTarget(client, {
    feed: {
      finished: async () => {
        known.outcome = await feed.finished();
        return known.outcome.fed;
      },
    },
    record: parseTargetRecord(record.settings),
    replicationId: record.feed.replicationId,
    promote: false,
    clock,
    functions: () => known.outcome?.functions ?? null,
    onReplayed: async () => {
      if (selector === null) return;
      await trimTarget(client, {
        selector,
        keepFunctions: withFunctions,
        byType: !keepOtherTypes,
        expired: known.outcome?.dying.candidates ?? new Map(),
      });
      timer.end('trim');
    },
    candidates: () => known.outcome?.dying.all(clock.nowMs() + CLOCKS_APART_MS) ?? null,
    onCounted: async ({ sentOffset }, counts) => {
      const dying = known.outcome?.dying;
      if (dying !== undefined) environment.onDying?.(dying);
      vanishingSample = await sample(client, counts, dying?.candidates ?? new Map());
      if (record.promote) tellVanishing(counts, vanishingSample, environment);
      // What it must hold is known before it is taken off: whoever goes on checks it, and does that.
      await RestoreRecords.of(environment).write(replayedRecord(record, sentOffset));
    },
  });
  timer.end('replay');
  const { outcome } = known;
  if (outcome === null) throw new NodeError('TM_INTERNAL', 'a feed ended without an outcome');
  return { databases, outcome, vanishingSample };
}

/** Promotes a target that an earlier call left replayed. */
export async function promoteReplayed(
  record: RestoreRecord,
  prepared: PreparedPlan,
  target: OpenTarget,
  timer: PhaseTimer,
  environment: RestoreEnvironment,
): Promise<RestoreReport> {
  const { client } = target;
  const { plan, outline, feeder } = prepared;
  const settings = parseTargetRecord(record.settings);
  const { role, runId, formerId } = await readRole(client);
  // Else the earlier process ended after the promotion, while the target wrote to its disk.
  const promoted = role === 'master' && formerId === record.feed.replicationId;
  if (!promoted || runId !== settings.runId) {
    // The earlier process may have ended before it took it off the feed.
    await detachTarget(client, {
      record: settings,
      replicationId: record.feed.replicationId,
      offset: BigInt(record.replayedOffset ?? '0'),
    });
  }
  const databases = await countKeys(client);
  // Names of keys are not kept between processes: they are data. They are looked up again.
  const any = databases.some(({ vanishing }) => vanishing !== null && vanishing > 0);
  const dying = any ? await feeder.dyingKeys(environment.clock.nowMs()) : null;
  const vanishingSample = await sample(client, databases, dying?.candidates ?? new Map());
  tellVanishing(databases, vanishingSample, environment);
  const promotion = await promote(record, { target, timer }, environment, prepared);
  const { commands } = outline;
  const counted = { skip: null, commands, bytes: plan.feedBytes, vanishingSample, databases };
  return reportOf(record, prepared, counted, promotion, { target, timer });
}

/** A promotion, and the facts of the node that were written with it. */
interface Promoted extends Promotion {
  readonly facts: FactsReport | null;
}

async function promote(
  record: RestoreRecord,
  { target, timer }: RestorePlace,
  environment: RestoreEnvironment,
  { feeder }: PreparedPlan,
): Promise<Promoted> {
  const { client } = target;
  const wish = record.facts;
  const opened = wish === null ? null : await openFacts(record.instance, wish.atMs, environment);
  // Users before anybody can use the data, settings when those of the replay are taken back.
  const acl =
    opened !== null && wish?.acl === true
      ? await writeAcl(opened.facts, client, { defaultUser: wish.defaultUser, write: true })
      : null;
  let ended: Promise<void> | PromiseLike<void> = Promise.resolve();
  const promotion = await promoteTarget(client, {
    record: parseTargetRecord(record.settings),
    clock: environment.clock,
    onPromoted: () => {
      timer.end('promote');
      // Nothing is opened any more; how long the target writes to its disk does not matter to it.
      ended = feeder[Symbol.asyncDispose]();
    },
  });
  await ended;
  const warnings = [...promotion.warnings];
  const config =
    opened !== null && wish?.config === true
      ? await writeConfig(opened.facts, client, true).catch((cause: unknown) => {
          if (!(cause instanceof NodeError)) throw cause;
          warnings.push(`the settings of the node were not all written: ${cause.message}`);
          return null;
        })
      : null;
  const facts = opened && factsReport(opened, { acl, config });
  if (record.target.newDir === null) {
    if ([acl, config].some((part) => part !== null && part.written.length > 0)) {
      warnings.push(
        'users and settings were written in memory: CONFIG REWRITE (ACL SAVE with an aclfile) keeps them over a restart',
      );
    }
  } else {
    await removeFeedFiles(record.target.newDir, client);
    if (!(await switchLogOn(client, environment))) {
      warnings.push('the new server could not write its append-only file: see its log');
    }
  }
  timer.end('persist');
  await environment.onWhole?.(record.id, target.url);
  await RestoreRecords.of(environment).remove(record.id);
  return { ...promotion, warnings, facts };
}

function reportOf(
  record: RestoreRecord,
  prepared: PreparedPlan,
  counted: {
    readonly skip: SkipReport | null;
    readonly commands: number;
    readonly bytes: number;
    readonly vanishingSample: readonly string[];
    readonly databases: readonly DatabaseCount[];
  },
  promotion: Promoted | null,
  { target, timer }: RestorePlace,
): RestoreReport {
  const { databases, commands, bytes, vanishingSample } = counted;
  return {
    id: record.id,
    state: promotion === null ? 'replayed' : 'succeeded',
    at: reportSecond(record.at),
    cut: reportCut(prepared.plan),
    ttl: ttlText(record.ttl),
    path: record.path,
    keys: databases.reduce((sum, { keys }) => sum + keys, 0),
    vanishing: countVanishing(databases),
    vanishingBound: boundOf(databases),
    vanishingSample,
    commands,
    bytes,
    elapsedSeconds: timer.elapsedSeconds,
    target: target.url,
    phases: timer.phases,
    selection: prepared.outline.selection,
    skip: counted.skip,
    facts: promotion?.facts ?? null,
    warnings: [
      ...planWarnings(prepared),
      ...skipWarnings(counted.skip),
      ...(promotion?.warnings ?? []),
      ...(promotion?.foreignSettings ?? []).map(
        (name) => `the setting ${name} of the target was changed by somebody else; it was left so`,
      ),
    ],
  };
}

function countVanishing(databases: readonly DatabaseCount[]): number {
  return databases.reduce((sum, { vanishing }) => sum + (vanishing ?? 0), 0);
}

function boundOf(databases: readonly DatabaseCount[]): Vanishing['bound'] {
  return databases.some(({ vanishing }) => vanishing === null) ? 'unknown' : 'exact';
}

/** What goes is told before it does. */
function tellVanishing(
  databases: readonly DatabaseCount[],
  sampled: readonly string[],
  { onVanishing }: RestoreEnvironment,
): void {
  const [count, bound] = [countVanishing(databases), boundOf(databases)];
  if (count > 0 || bound === 'unknown') onVanishing?.({ count, bound, sample: sampled });
}

/** Asks the target which of the candidates it holds although their expiry has passed. */
async function sample(
  client: OpenTarget['client'],
  databases: readonly DatabaseCount[],
  candidates: ReadonlyMap<number, readonly Buffer[]>,
): Promise<readonly string[]> {
  const names: string[] = [];
  for (const { db, vanishing } of databases) {
    if (vanishing === 0 || names.length >= SAMPLE_MAX) continue;
    const found = await findVanishing(client, db, (candidates.get(db) ?? []).slice(-ASKED_MAX));
    for (const key of found.slice(0, SAMPLE_MAX - names.length)) names.push(shownKey(key));
  }
  return names;
}
