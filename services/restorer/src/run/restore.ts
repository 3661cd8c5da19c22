import { makeId } from '@tidemark/core';
import {
  applySettings,
  attachTarget,
  knowsCommand,
  makeTargetRecord,
  parseTargetRecord,
  preflightTarget,
  rdbFormFor,
  type TargetFacts,
  type TargetNeeds,
  type TargetRecord,
} from '../target/index.ts';
import { selectorToJson } from '@tidemark/selector';
import { openFacts } from '../facts/open-facts.ts';
import { planFacts, preflightFacts, refuseUnread } from '../facts/restore-facts.ts';
import type { FactsReport } from '../facts/facts-report.ts';
import { feedFilesOf, pinOf, type FeedFiles, type FeedTlsPlan } from '../feed-tls/feed-tls-plan.ts';
import { feedSettings } from '../feed-tls/new-server-tls.ts';
import type { Vanishing } from '../feed/vanish-forecast.ts';
import { skipToJson } from '../closure/skip-range.ts';
import type { RunningFeed } from '../feeder/feeder.ts';
import type { RestorePlan } from '../plan/restore-plan.ts';
import { ttlText } from '../plan/ttl-rule.ts';
import { giveUp } from './call-off.ts';
import { complete, type RestorePlace } from './complete.ts';
import type { RestoreEnvironment, RestoreRequest } from './environment.ts';
import { discardServer, openTarget, type OpenTarget } from './open-target.ts';
import { PhaseTimer } from './phase-timer.ts';
import { preparePlan, type PreparedPlan } from './prepared-plan.ts';
import { refuseOriginalAsTarget } from '../tde/instance-tde.ts';
import { openFeedOf } from './open-feed.ts';
import { commandForm, pathOf, type RestorePath } from './restore-path.ts';
import { RestoreRecords, type RestoreRecord } from './restore-record.ts';
import { planWarnings, reportCut, reportSecond, type RestoreReport } from './restore-report.ts';

/** Any offset does; the first command byte has the next one. */
const BASE_OFFSET = 1n;

/**
 * Restores an instance into a target: plan, verify, preflight, replay, count, promote, persist.
 *
 * When something fails after the target was touched, it ends emptied and not promoted.
 * @throws TidemarkError whose exit code tells what to do (README.md, "Exit codes").
 */
export async function restore(
  request: RestoreRequest,
  environment: RestoreEnvironment,
): Promise<RestoreReport> {
  const { clock, random } = environment;
  const id = request.id ?? `rs-${makeId(clock.nowMs(), random)}`;
  const timer = new PhaseTimer(clock, environment.onPhase);
  await using prepared = await preparePlan(request, environment);
  timer.end('plan');
  await prepared.feeder.verify(request.verify);
  timer.end('verify');
  const { plan } = prepared;
  await checkFacts(request, plan, environment);
  await using target = await openTarget(request.target, id, plan.databases, environment);
  let record: RestoreRecord;
  let emptied: readonly string[] = [];
  try {
    const found = await lookAt(target, prepared, request, environment);
    if (target.server === null) {
      // One that was started for this is not the original, even where that one was.
      const node = { client: target.client, runId: found.facts.runId };
      await refuseOriginalAsTarget(request.instance, node, environment);
    }
    if (request.facts !== null) await preflightFacts(target.client, request.facts);
    const holds = holdsData(found.facts);
    if (holds) emptied = ['what the target held was removed, as --yes allows'];
    if (holds && !(await prepared.feeder.mayGiveKeys())) {
      const rest = { path: found.path, vanishing: NONE_VANISH, facts: null };
      return unfedReport('nothing', request, prepared, { ...rest, timer });
    }
    record = await makeRecord(id, request, plan, { target, ...found }, environment);
  } catch (cause) {
    await discardServer(target, environment);
    throw cause;
  }
  timer.end('preflight');
  const report = await replayInto(record, request, prepared, { target, timer }, environment);
  if (report.state !== 'nothing') return report;
  return { ...report, warnings: [...report.warnings, ...emptied] };
}

/**
 * Plans and verifies a restore without touching anything. The whole plan is read, to tell which keys
 * would vanish at once.
 */
export async function dryRun(
  request: RestoreRequest,
  environment: RestoreEnvironment,
): Promise<RestoreReport> {
  const timer = new PhaseTimer(environment.clock);
  await using prepared = await preparePlan(request, environment);
  timer.end('plan');
  await prepared.feeder.verify(request.verify);
  timer.end('verify');
  const { plan } = prepared;
  let facts = await dryFacts(request, plan, null, environment);
  let path: RestorePath | null = null;
  if (request.target.kind === 'server') {
    await using target = await openTarget(request.target, 'dry-run', plan.databases, environment);
    ({ path } = await lookAt(target, prepared, request, environment));
    facts = await dryFacts(request, plan, target, environment);
    timer.end('preflight');
  }
  const vanishing = await prepared.feeder.forecast(environment.clock.nowMs());
  timer.end('forecast');
  return unfedReport('planned', request, prepared, { path, vanishing, facts, timer });
}

const NONE_VANISH: Vanishing = { count: 0, bound: 'exact', sample: [] };

/** Only a target that may be emptied can hold anything here. */
function holdsData({ keyspace, functions }: TargetFacts): boolean {
  return functions > 0 || keyspace.some(({ keys }) => keys > 0);
}

/** The report of a restore that fed nothing. */
function unfedReport(
  state: 'planned' | 'nothing',
  { target }: RestoreRequest,
  prepared: PreparedPlan,
  found: {
    readonly path: RestorePath | null;
    readonly vanishing: Vanishing;
    readonly facts: FactsReport | null;
    readonly timer: PhaseTimer;
  },
): RestoreReport {
  const { path, vanishing, facts, timer } = found;
  const { plan, outline } = prepared;
  const planned = state === 'planned';
  return {
    id: '',
    state,
    at: reportSecond(plan.at),
    cut: reportCut(plan),
    ttl: ttlText(plan.ttl),
    path,
    keys: planned ? plan.snapshot.summary.keys : 0,
    vanishing: vanishing.count,
    vanishingBound: vanishing.bound,
    vanishingSample: vanishing.sample,
    commands: planned ? outline.commands : 0,
    bytes: planned ? plan.feedBytes : 0,
    elapsedSeconds: timer.elapsedSeconds,
    target: target.kind === 'server' ? target.url : 'new',
    phases: timer.phases,
    selection: outline.selection,
    skip: null,
    facts,
    warnings: planWarnings(prepared),
  };
}

/** A target that was looked at, and how the data will get into it. */
interface FoundTarget {
  readonly facts: TargetFacts;
  readonly path: RestorePath;
  /** RDB version in which the snapshot is sent; null: as it is stored. */
  readonly rdbVersion: number | null;
  readonly feedTls: FeedTlsPlan | null;
}

/** Everything that is decided before the target is touched. */
async function lookAt(
  target: OpenTarget,
  prepared: PreparedPlan,
  request: RestoreRequest,
  environment: RestoreEnvironment,
): Promise<FoundTarget> {
  const { plan, feeder } = prepared;
  const { target: place, feedTls: wish = null } = request;
  const nowMs = environment.clock.nowMs();
  const files = await feedFilesOf(place, wish, nowMs);
  const hasTls = files !== null || (place.kind === 'new' && place.tls !== undefined);
  const needs = { ...needsOf(prepared, request.allowFlush), feedTls: hasTls };
  const facts = await preflightTarget(target.client, needs);
  const feedTls = await planFeedTls(request, target, facts, files);
  const form = rdbFormFor(facts, plan.snapshot.summary);
  const commands = await feeder.changesFor(commandForm(facts), (name) =>
    knowsCommand(target.client, name),
  );
  const path = pathOf(plan, facts, { snapshot: form.loads && form.converted, commands });
  return { facts, path, rdbVersion: form.loads ? form.version : null, feedTls };
}

/** Null: the feed goes without TLS. */
async function planFeedTls(
  { target: { kind, tls }, feedTls: wish = null }: RestoreRequest,
  { client, dir }: OpenTarget,
  { tlsReplication }: TargetFacts,
  files: FeedFiles | null,
): Promise<FeedTlsPlan | null> {
  if (kind === 'new') {
    return tls === undefined || dir === null ? null : { kind: 'minted', dir, server: tls };
  }
  if (files === null || (!tlsReplication && wish === null)) return null;
  return { kind: 'files', pin: await pinOf(client, wish), ...files };
}

/** Facts that are not there are found before the target is touched. */
async function checkFacts(
  request: RestoreRequest,
  plan: RestorePlan,
  environment: RestoreEnvironment,
): Promise<void> {
  const { facts: wish, instance } = request;
  if (wish !== null) refuseUnread(await openFacts(instance, plan.ttl.atMs, environment), wish);
}

/** What would be written of the facts, as far as there is a target to compare with. */
async function dryFacts(
  request: RestoreRequest,
  plan: RestorePlan,
  target: OpenTarget | null,
  environment: RestoreEnvironment,
): Promise<FactsReport | null> {
  const { facts: wish, instance } = request;
  if (wish === null) return null;
  const opened = await openFacts(instance, plan.ttl.atMs, environment);
  refuseUnread(opened, wish);
  if (target !== null) await preflightFacts(target.client, wish);
  return planFacts(opened, wish, target?.client ?? null);
}

async function replayInto(
  record: RestoreRecord,
  request: RestoreRequest,
  prepared: PreparedPlan,
  place: RestorePlace,
  environment: RestoreEnvironment,
): Promise<RestoreReport> {
  const { target, timer } = place;
  const records = RestoreRecords.of(environment);
  const feed = await openFirstFeed(record, prepared, target, environment);
  const known = { ...record, feed: { ...record.feed, port: feed.port } };
  try {
    await records.write(known);
    const settings = parseTargetRecord(known.settings);
    await applySettings(target.client, settings);
    await attachTarget(target.client, {
      record: settings,
      host: known.feed.host,
      port: feed.port,
      allowFlush: request.allowFlush,
    });
    timer.end('attach');
    return await complete(known, prepared, feed, place, environment);
  } catch (cause) {
    await feed[Symbol.asyncDispose]();
    await giveUp(known, target, environment);
    throw cause;
  } finally {
    await feed[Symbol.asyncDispose]();
  }
}

/** Opens the feed of a restore whose target was not touched yet. */
async function openFirstFeed(
  record: RestoreRecord,
  prepared: PreparedPlan,
  target: OpenTarget,
  environment: RestoreEnvironment,
): Promise<RunningFeed> {
  const records = RestoreRecords.of(environment);
  try {
    // Before keys are written into the folder of a new server: `--abort` knows of them then.
    await records.write(record);
    return await openFeedOf(record, prepared, target, environment);
  } catch (cause) {
    // Nothing was sent: only a server that was started for this must not stay.
    await discardServer(target, environment);
    await records.remove(record.id);
    throw cause;
  }
}

async function makeRecord(
  id: string,
  request: RestoreRequest,
  plan: RestorePlan,
  { target, facts, path, rdbVersion, feedTls }: FoundTarget & { readonly target: OpenTarget },
  environment: RestoreEnvironment,
): Promise<RestoreRecord> {
  const { clock, random } = environment;
  const credentials = {
    user: `tidemark-${random.bytes(4).toString('hex')}`,
    password: random.bytes(24).toString('hex'),
  };
  const { localAddress } = target.client;
  const listenHost = request.feedListen ?? localAddress;
  const wildcard = listenHost === '0.0.0.0' || listenHost === '::';
  return {
    version: 1,
    id,
    instance: plan.instance,
    state: 'running',
    startedMs: clock.nowMs(),
    at: plan.at,
    timeline: plan.cut.timeline,
    offset: plan.cut.offset.toString(),
    bounds: { notBeforeMs: plan.cut.notBeforeMs, notAfterMs: plan.cut.notAfterMs },
    backup: plan.snapshot.backup,
    ttl: plan.ttl,
    ...selectionRecord(request),
    promote: request.promote,
    rdbVersion,
    commands: commandForm(facts),
    path,
    target: {
      url: target.url,
      passwordFile:
        request.target.kind === 'server'
          ? request.target.passwordFile
          : (request.target.closed?.passwordFile ?? null),
      ...(request.target.kind === 'server' && request.target.tls !== undefined
        ? { tls: request.target.tls }
        : {}),
      newDir: target.dir,
      ...(target.client.address.path !== undefined && target.dir !== null
        ? { socket: target.client.address.path }
        : {}),
    },
    feed: {
      listenHost,
      host: request.feedAdvertise ?? (wildcard ? localAddress : listenHost),
      port: 0,
      ...credentials,
      replicationId: random.bytes(20).toString('hex'),
      baseOffset: BASE_OFFSET.toString(),
      ...(feedTls === null ? {} : { tls: feedTls }),
    },
    facts: request.facts && { ...request.facts, atMs: plan.ttl.atMs },
    replayedOffset: null,
    settings: await settingsRecord(request, target, { facts, feedTls }, credentials),
  };
}

/** What follows a command that was left out may fail: that is counted, and no reason to stop. */
async function settingsRecord(
  { skip = null }: RestoreRequest,
  target: OpenTarget,
  { facts, feedTls }: Pick<FoundTarget, 'facts' | 'feedTls'>,
  credentials: { readonly user: string; readonly password: string },
): Promise<TargetRecord> {
  const tls = feedTls === null ? [] : tlsSettingsOf(feedTls);
  const record = await makeTargetRecord(target.client, facts, credentials, tls);
  return skip === null ? record : { ...record, unexpectedErrors: null };
}

function tlsSettingsOf(plan: FeedTlsPlan): readonly (readonly [name: string, value: string])[] {
  return plan.kind === 'minted' ? feedSettings(plan.dir) : [['tls-replication', 'yes']];
}

function selectionRecord({
  selector = null,
  skip = null,
  withFunctions = false,
}: RestoreRequest): Pick<RestoreRecord, 'selector' | 'skip' | 'withFunctions'> {
  return {
    selector: selector && selectorToJson(selector),
    withFunctions,
    skip: skipToJson(skip),
  };
}

function needsOf({ plan, outline }: PreparedPlan, allowFlush: boolean): TargetNeeds {
  const { summary } = plan.snapshot;
  const { selection } = outline;
  // How much of the data some keys are is told by no index.
  const isPart = selection !== null && selection.everything === null;
  return {
    databases: plan.databases,
    rdb: summary,
    modules: summary.modules,
    trims: selection !== null,
    dataBytes: isPart ? 0 : Number(summary.aux['used-mem'] ?? 0),
    allowFlush,
  };
}
