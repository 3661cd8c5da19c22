import { NodeError } from '@tidemark/core';
import { shownKey } from '@tidemark/selector';
import {
  checkReplay,
  countKeys,
  findVanishing,
  finishTarget,
  parseTargetRecord,
  promoteTarget,
  readRole,
  trimTarget,
  type DatabaseCount,
  type Promotion,
} from '../target/index.ts';
import type { RestorePlan } from '../plan/restore-plan.ts';
import { ttlText } from '../plan/ttl-rule.ts';
import type { FactsReport } from '../facts/facts-report.ts';
import { openFacts } from '../facts/open-facts.ts';
import { factsReport } from '../facts/restore-facts.ts';
import { writeAcl } from '../facts/write-acl.ts';
import { writeConfig } from '../facts/write-config.ts';
import { callOff } from './call-off.ts';
import { DyingKeys } from '../feed/dying-keys.ts';
import type { Vanishing } from '../feed/vanish-forecast.ts';
import type { RestoreEnvironment } from './environment.ts';
import { switchLogOn, type OpenTarget } from './open-target.ts';
import type { PhaseTimer } from './phase-timer.ts';
import type { PreparedPlan } from './prepared-plan.ts';
import type { Replay } from './replay.ts';
import { RestoreRecords, type RestoreRecord } from './restore-record.ts';
import { skipReport, skipWarnings, type SkipReport } from './skip-report.ts';
import { selectionReport } from './selection-report.ts';
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
  replay: Replay,
  place: RestorePlace,
  environment: RestoreEnvironment,
): Promise<RestoreReport> {
  const { target, timer } = place;
  const { client } = target;
  const { feed, dying, commands } = replay;
  const { fed, databases } = await finishTarget(client, {
    feed,
    record: parseTargetRecord(record.settings),
    replicationId: record.feed.replicationId,
    promote: false,
    clock: environment.clock,
    functions: replay.functions,
    onReplayed: async () => {
      const { closure } = prepared.plan;
      if (closure?.selector == null) return;
      const { selector, keepFunctions } = closure;
      const byType = !prepared.keepOtherTypes;
      await trimTarget(client, { selector, keepFunctions, byType, expired: dying.candidates });
      timer.end('trim');
    },
    candidates: () => dying.all(environment.clock.nowMs() + CLOCKS_APART_MS),
  });
  timer.end('replay');
  environment.onDying?.(dying);
  const vanishingSample = await sample(client, databases, dying.candidates);
  if (record.promote) tellVanishing(databases, vanishingSample, environment);
  const taint = replay.taint();
  const skip = taint && (await skipReport(taint, record, client));
  const counted = {
    skip,
    commands: commands(),
    bytes: fed.rdbBytes + Number(fed.commandBytes),
    vanishingSample,
    databases,
  };
  const replayed = { ...record, state: 'replayed', replayedOffset: fed.offset.toString() } as const;
  await new RestoreRecords(environment.stateDir).write(replayed);
  const none = prepared.plan.closure?.selector != null && databases.every(({ keys }) => keys === 0);
  if (none && record.promote) {
    // Nobody needs an empty server: one that was started for this goes, another is given back.
    await replay[Symbol.asyncDispose]();
    const warnings = await callOff(replayed, target, environment);
    const report = reportOf(replayed, prepared.plan, counted, null, place);
    return { ...report, state: 'nothing', warnings: [...report.warnings, ...warnings] };
  }
  const promotion = record.promote ? await promote(replayed, place, environment) : null;
  return reportOf(replayed, prepared.plan, counted, promotion, place);
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
  const { plan } = prepared;
  const settings = parseTargetRecord(record.settings);
  const { role, runId, formerId } = await readRole(client);
  // Else the earlier process ended after the promotion, while the target wrote to its disk.
  const promoted = role === 'master' && formerId === record.feed.replicationId;
  if (!promoted || runId !== settings.runId) {
    await checkReplay(client, {
      record: settings,
      replicationId: record.feed.replicationId,
      offset: BigInt(record.replayedOffset ?? '0'),
    });
  }
  const databases = await countKeys(client);
  // Names of keys are not kept between processes: they are data. They are looked up again.
  const any = databases.some(({ vanishing }) => vanishing !== null && vanishing > 0);
  const dying = new DyingKeys(environment.clock.nowMs(), plan.ttl);
  if (any) await dying.collect(prepared);
  const vanishingSample = await sample(client, databases, dying.candidates);
  tellVanishing(databases, vanishingSample, environment);
  const promotion = await promote(record, { target, timer }, environment);
  const commands = plan.reads.reduce((sum, { header }) => sum + header.commands, 0);
  const counted = { skip: null, commands, bytes: plan.feedBytes, vanishingSample, databases };
  return reportOf(record, plan, counted, promotion, { target, timer });
}

/** A promotion, and the facts of the node that were written with it. */
interface Promoted extends Promotion {
  readonly facts: FactsReport | null;
}

async function promote(
  record: RestoreRecord,
  { target, timer }: RestorePlace,
  environment: RestoreEnvironment,
): Promise<Promoted> {
  const { client } = target;
  const wish = record.facts;
  const opened = wish === null ? null : await openFacts(record.instance, wish.atMs, environment);
  // Users before anybody can use the data, settings when those of the replay are taken back.
  const acl =
    opened !== null && wish?.acl === true
      ? await writeAcl(opened.facts, client, { defaultUser: wish.defaultUser, write: true })
      : null;
  const promotion = await promoteTarget(client, {
    record: parseTargetRecord(record.settings),
    clock: environment.clock,
    onPromoted: () => timer.end('promote'),
  });
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
  } else if (!(await switchLogOn(client, environment))) {
    warnings.push('the new server could not write its append-only file: see its log');
  }
  timer.end('persist');
  await new RestoreRecords(environment.stateDir).remove(record.id);
  return { ...promotion, warnings, facts };
}

function reportOf(
  record: RestoreRecord,
  plan: RestorePlan,
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
    cut: reportCut(plan),
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
    selection: selectionReport(plan),
    skip: counted.skip,
    facts: promotion?.facts ?? null,
    warnings: [
      ...planWarnings(plan),
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
