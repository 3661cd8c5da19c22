import { connectNode, openNodeTls, parseNodeUrl, type NodeAddress } from '@tidemark/client';
import { NodeError, TidemarkError, UsageError } from '@tidemark/core';
import { selectorFromJson } from '@tidemark/selector';
import { skipFromJson } from '../closure/skip-range.ts';
import { isFeedSetting } from '../feed-tls/new-server-tls.ts';
import type { RestorePlan } from '../plan/restore-plan.ts';
import { ttlText } from '../plan/ttl-rule.ts';
import {
  applySettings,
  attachTarget,
  parseTargetRecord,
  readRole,
  restoreSettings,
} from '../target/index.ts';
import { WriteBackRecords } from '../write-back/write-back-record.ts';
import { callOff, giveUp } from './call-off.ts';
import { complete, promoteReplayed, type RestorePlace } from './complete.ts';
import type { RestoreEnvironment } from './environment.ts';
import { checkNode, removeLeftFiles, type OpenTarget } from './open-target.ts';
import { PhaseTimer } from './phase-timer.ts';
import { preparePlan, type PreparedPlan } from './prepared-plan.ts';
import { openFeedOf } from './open-feed.ts';
import { RestoreRecords, type RestoreRecord } from './restore-record.ts';
import { reportSecond, type RestoreReport } from './restore-report.ts';

/** Reads the password of a target from its file. */
export type ReadPassword = (file: string) => Promise<string>;

/** Goes on with an interrupted restore, or promotes one that was left replayed. */
export async function resumeRestore(
  instance: string,
  id: string,
  readPassword: ReadPassword,
  environment: RestoreEnvironment,
): Promise<RestoreReport> {
  const records = RestoreRecords.of(environment);
  const record = await recordOf(records, instance, id);
  const timer = new PhaseTimer(environment.clock, environment.onPhase);
  await using target = await reopenTarget(record, readPassword, environment);
  if (record.target.newDir === null) await checkNode(target.client, environment);
  if (record.state === 'replayed') {
    await using prepared = await planAgain(record, environment);
    timer.end('plan');
    return await promoteReplayed(record, prepared, target, timer, environment);
  }
  try {
    await using prepared = await planAgain(record, environment);
    timer.end('plan');
    return await replayOn(record, prepared, { target, timer }, environment);
  } catch (cause) {
    // As in the first run: with damage, or when the user ends it, the target ends empty.
    const final = cause instanceof TidemarkError && [14, 130].includes(cause.exitCode);
    // By now its feed may listen on another port.
    const latest = await records.read(id).catch(() => record);
    if (final) await giveUp(latest, target, environment);
    throw cause;
  }
}

async function replayOn(
  record: RestoreRecord,
  prepared: PreparedPlan,
  place: RestorePlace,
  environment: RestoreEnvironment,
): Promise<RestoreReport> {
  const { target, timer } = place;
  const settings = parseTargetRecord(record.settings);
  const role = await readRole(target.client);
  if (role.runId !== settings.runId) {
    throw new NodeError('TM_TARGET_LOST', 'the target was restarted since', {
      hint: `call it off: --abort ${record.id}, and begin anew`,
    });
  }
  await prepared.feeder.verify('stream');
  timer.end('verify');
  const resume = role.replicationId === record.feed.replicationId;
  await using feed = await openFeedOf(record, prepared, target, { ...environment, resume });
  const going = { ...record, promote: true, feed: { ...record.feed, port: feed.port } };
  // The record of one that ended before it listened has no port yet.
  if (feed.port !== record.feed.port) {
    await RestoreRecords.of(environment).write({ ...record, feed: going.feed });
  }
  await readFeedFilesAgain(record, target);
  if (role.role === 'master') {
    // The earlier process ended between the writing of the record and REPLICAOF.
    await applySettings(target.client, settings);
    const { host } = record.feed;
    const { port } = feed;
    await attachTarget(target.client, { record: settings, host, port, allowFlush: false });
  }
  return await complete(going, prepared, feed, place, environment);
}

/** A server reads certificates when a setting of them changes; those of the feed are new by now. */
async function readFeedFilesAgain(
  { feed, settings }: RestoreRecord,
  { client }: OpenTarget,
): Promise<void> {
  if (feed.tls?.kind !== 'minted') return;
  const record = parseTargetRecord(settings);
  const own = record.settings.filter(({ name }) => isFeedSetting(name));
  await restoreSettings(client, { ...record, settings: own });
  await applySettings(client, { ...record, settings: own });
}

/** Calls an interrupted or not yet promoted restore off. */
export async function abortRestore(
  instance: string,
  id: string,
  readPassword: ReadPassword,
  environment: RestoreEnvironment,
): Promise<RestoreReport> {
  const records = RestoreRecords.of(environment);
  if ((await new WriteBackRecords(environment.stateDir).read(id)) !== null) {
    throw new UsageError(
      'TM_USAGE',
      `restore ${id} goes into the original: there is no target to empty`,
      {
        hint: `take back what it has written: tidemark undo ${id}`,
      },
    );
  }
  const record = await recordOf(records, instance, id);
  const timer = new PhaseTimer(environment.clock, environment.onPhase);
  const warnings = await takeOff(record, records, readPassword, environment);
  timer.end('abort');
  return {
    id,
    state: 'aborted',
    at: reportSecond(record.at),
    cut: { timeline: record.timeline, offset: record.offset, notBefore: null, notAfter: null },
    ttl: ttlText(record.ttl),
    path: record.path,
    keys: 0,
    vanishing: 0,
    vanishingBound: 'exact',
    vanishingSample: [],
    commands: 0,
    bytes: 0,
    elapsedSeconds: timer.elapsedSeconds,
    target: record.target.url,
    phases: timer.phases,
    selection: null,
    skip: null,
    facts: null,
    warnings,
  };
}

async function takeOff(
  record: RestoreRecord,
  records: RestoreRecords,
  readPassword: ReadPassword,
  environment: RestoreEnvironment,
): Promise<readonly string[]> {
  try {
    await using target = await reopenTarget(record, readPassword, environment);
    if (record.target.newDir === null) await checkNode(target.client, environment);
    return await callOff(record, target, environment);
  } catch (cause) {
    const refused =
      cause instanceof NodeError &&
      ['ECONNREFUSED', 'ENOENT'].includes(String(cause.context['errno']));
    if (!refused || record.target.newDir === null) throw cause;
    // A server that was started for the restore and is gone: only its files are left to take back.
    await removeLeftFiles(record.target.newDir, environment);
    await records.remove(record.id);
    return [];
  }
}

/** The same plan as before: same cut, same snapshot, same instants. */
async function planAgain(
  record: RestoreRecord,
  environment: RestoreEnvironment,
): Promise<PreparedPlan> {
  const { timeline, offset, bounds, ttl, instance, at, backup } = record;
  const point = { kind: 'offset', offset: BigInt(offset), timeline } as const;
  const { selector = null, skip = null, withFunctions = false } = record;
  const request = {
    ...{ instance, point, ttl, snapshot: backup, withFunctions },
    selector: selector === null ? null : selectorFromJson(selector),
    skip: skipFromJson(skip),
  };
  return preparePlan(request, environment, (plan): RestorePlan => {
    return { ...plan, at, cut: { ...plan.cut, ...bounds }, ttl };
  });
}

async function recordOf(
  records: RestoreRecords,
  instance: string,
  id: string,
): Promise<RestoreRecord> {
  const record = await records.read(id);
  if (record.instance === instance) return record;
  throw new UsageError('TM_USAGE', `restore ${id} is one of instance ${record.instance}`);
}

async function addressOf({ target }: RestoreRecord): Promise<NodeAddress> {
  const { url, socket, tls = {} } = target;
  if (socket !== undefined) return { host: 'localhost', port: 0, path: socket };
  const named = parseNodeUrl(url);
  return named.secure === true ? { ...named, tls: await openNodeTls(tls) } : named;
}

async function reopenTarget(
  record: RestoreRecord,
  readPassword: ReadPassword,
  environment: RestoreEnvironment,
): Promise<OpenTarget> {
  const { url, passwordFile, newDir } = record.target;
  const address = await addressOf(record);
  const client = await connectNode(
    passwordFile === null ? address : { ...address, password: await readPassword(passwordFile) },
    { signal: environment.signal, name: 'tidemark-restorer', replyTimeoutMs: 0 },
  );
  return {
    client,
    url,
    dir: newDir,
    server: null,
    [Symbol.asyncDispose]: () => client.close(),
  };
}
