import { makeId, PlanError, UsageError } from '@tidemark/core';
import {
  compileSelector,
  selectorFromJson,
  selectorToJson,
  type Selector,
  type SelectorSpec,
} from '@tidemark/selector';
import { skipFromJson, skipToJson, type SkipRange } from '../closure/skip-range.ts';
import { adaptPayloadFor } from '../feed/adapt-payload.ts';
import type { WantedPoint } from '../plan/make-plan.ts';
import { ttlText, type TtlChoice } from '../plan/ttl-rule.ts';
import { openLive } from '../preview/live-server.ts';
import { OutcomeTally } from '../preview/outcome-tally.ts';
import { hiddenKeys, type SparedServer } from '../preview/preview.ts';
import type { RestoreEnvironment } from '../run/environment.ts';
import { PhaseTimer } from '../run/phase-timer.ts';
import { restoreIntoScratch, type ScratchServer } from '../scratch/scratch-server.ts';
import { compareSelected } from './compare/compare-selected.ts';
import { Side } from './compare/side.ts';
import type { KeyDifference, MissingKeys } from './key-difference.ts';
import { WriteBackRecords, type WriteBackRecord } from './write-back-record.ts';
import { stateOf, type WriteBackOutcome, type WriteBackReport } from './write-back-report.ts';
import { lostOriginal, requireOneServer } from './same-original.ts';
import { workThenSettle } from './work-then-settle.ts';
import { openWriteSession, type WriteSession } from './write-session.ts';
import { makeTasks, type TaskSource } from './write/make-tasks.ts';
import { writeAll } from './write/write-all.ts';
import type { ConflictPolicy } from './write/write-task.ts';

/** What is asked: these keys of the running original as they were. */
export interface WriteBackRequest {
  /** `rs-` and a fresh id, for who must know it before anything is done; default: one is made. */
  readonly id?: string;
  readonly instance: string;
  readonly point: WantedPoint;
  readonly ttl: TtlChoice;
  readonly selector: SelectorSpec;
  readonly skip?: SkipRange | null;
  readonly live: SparedServer;
  readonly policy: ConflictPolicy;
  /** What becomes of selected keys that were not there then; default: they are deleted. */
  readonly missingKeys?: MissingKeys;
  /** How long the undo pack is good for, in milliseconds. */
  readonly retainMs: number;
  /**
   * Awaited when everything is written, before the record of it goes: done once more it would take back
   * what clients have written since.
   */
  readonly onEnded?: (report: WriteBackReport) => Promise<void>;
}

/** A run of a write-back, begun or gone on with. */
interface Run {
  readonly id: string;
  readonly request: WriteBackRequest;
  /** As the user said it: in the request its instants are fixed. */
  readonly ttlText: string;
  readonly selector: Selector;
}

/**
 * Puts selected keys back into the running original as they were at a point.
 *
 * They are restored into a scratch server and compared; only what differs is written, a key that
 * somebody else changes meanwhile by the rule for conflicts. What a key held is in the undo pack
 * before it is overwritten. When it is called off, or the connection is lost, it stops: the outcome
 * says what was written, and `resumeWriteBack` goes on.
 * @returns The report, and the error that ended the work before its end.
 * @throws TidemarkError when nothing was written: as `restore`, `openOriginal`; UsageError
 *   `TM_SELECTOR_EMPTY`.
 */
export async function restoreToOriginal(
  request: WriteBackRequest,
  environment: RestoreEnvironment,
): Promise<WriteBackOutcome> {
  const { clock, random } = environment;
  const id = request.id ?? `rs-${makeId(clock.nowMs(), random)}`;
  const ttl = fixInstants(request.ttl, clock.nowMs());
  const run: Run = {
    id,
    request: { ...request, ttl },
    ttlText: ttlText(request.ttl),
    selector: compileSelector(request.selector),
  };
  return perform(run, environment);
}

/**
 * Goes on with a write-back that was interrupted: the keys are compared anew, and what is left is
 * written under the same undo pack.
 * @returns Null when there is no such write-back.
 * @throws As `restoreToOriginal`; UsageError `TM_NOT_FOUND` for one of another instance.
 */
export async function resumeWriteBack(
  instance: string,
  id: string,
  options: Pick<WriteBackRequest, 'live' | 'retainMs' | 'onEnded'> & {
    readonly policy?: ConflictPolicy;
  },
  environment: RestoreEnvironment,
): Promise<WriteBackOutcome | null> {
  const record = await new WriteBackRecords(environment.stateDir).read(id);
  if (record === null) return null;
  if (record.instance !== instance) {
    throw new UsageError('TM_NOT_FOUND', `restore ${id} is one of instance ${record.instance}`);
  }
  const selector = selectorFromJson(record.selector);
  const { at, bounds, skip, timeline } = record;
  const cutOf = at === null ? null : { at, ...bounds };
  const request: WriteBackRequest = {
    instance,
    point: { kind: 'offset', offset: BigInt(record.offset), timeline, cutOf },
    ttl: record.ttl,
    selector,
    skip: skipFromJson(skip),
    live: options.live,
    policy: options.policy ?? record.policy,
    missingKeys: record.missingKeys ?? 'delete',
    retainMs: options.retainMs,
    ...(options.onEnded && { onEnded: options.onEnded }),
  };
  const run = { id, request, ttlText: record.ttlText, selector: compileSelector(selector) };
  return perform(run, environment);
}

/** What is left to live is counted from one instant, however often it is gone on with. */
function fixInstants(ttl: TtlChoice, nowMs: number): TtlChoice {
  return ttl.mode === 'remaining' ? { mode: 'rebase', toMs: nowMs } : ttl;
}

async function perform(run: Run, environment: RestoreEnvironment): Promise<WriteBackOutcome> {
  const { clock, signal } = environment;
  const { id, request, selector } = run;
  const { instance, point, ttl, live, policy, retainMs } = request;
  const timer = new PhaseTimer(clock, environment.onPhase);
  await using compared = await openLive(live.address, signal);
  const wish = { instance, id, live, policy, retainMs };
  await using session = await openWriteSession(wish, environment);
  await requireOneServer(compared, session.facts);
  timer.end('preflight');
  const skip = request.skip ?? null;
  const scratchWish = { instance, point, ttl, selector: request.selector, skip };
  await using scratch = await restoreIntoScratch(scratchWish, environment);
  timer.end('scratch');
  const records = new WriteBackRecords(environment.stateDir);
  await records.write(recordOf(run, scratch, clock.nowMs()));
  const outcomes = new OutcomeTally(0, request.missingKeys);
  const found = compareSelected(
    { then: scratch.client, live: compared },
    {
      ...{ selector, throttle: session.throttle, signal, nowMs: () => clock.nowMs() },
      onSame: (count) => outcomes.addSame(count),
      ...hiddenKeys(scratch, ttl, () => clock.nowMs()),
    },
  );
  const keeps = request.missingKeys === 'keep';
  const failure =
    (await writeFound(found, { scratch, session, outcomes, keeps }, environment)) ??
    (await lostOriginal({ live, facts: session.facts, signal }));
  timer.end('write');
  const counts = session.tally.counts();
  const parts = session.earlier !== null || session.undo.keys > 0;
  const { at, cut, warnings } = scratch.report;
  const report: WriteBackReport = {
    ...{ id, state: stateOf(counts, failure), instance, at, cut },
    ttl: run.ttlText,
    selected: selector.describe(),
    outcomes: outcomes.counts,
    ...counts,
    kept: outcomes.kept,
    undo: parts ? { id, expiresMs: session.undo.expiresMs } : null,
    elapsedSeconds: timer.elapsedSeconds,
    phases: timer.phases,
    warnings: [...selector.warnings, ...warnings, ...earlierWarnings(session)],
  };
  if (failure === null) {
    await request.onEnded?.(report);
    await records.remove(id);
  }
  return { failure, report };
}

/** @returns The error that ended the work; null when it came to its end. */
async function writeFound(
  found: AsyncIterable<readonly KeyDifference[]>,
  parts: {
    readonly scratch: ScratchServer;
    readonly session: WriteSession;
    readonly outcomes: OutcomeTally;
    /** Whether keys that were not there then are left. */
    readonly keeps: boolean;
  },
  environment: RestoreEnvironment,
): Promise<Error | null> {
  const { scratch, session, outcomes, keeps } = parts;
  const { writer, tally, facts, side } = session;
  return workThenSettle(writer, async () => {
    const then = await Side.openOwn(scratch.client, environment.signal);
    const dialect = { ...facts, commands: null };
    const unchanged = { mode: 'absolute', atMs: 0, nowMs: 0 } as const;
    const source: TaskSource = {
      then,
      exactExpiry: side.abilities.exactExpiry,
      adapt: adaptPayloadFor(dialect, unchanged),
      tally,
      earlier: session.earlier,
    };
    let written = 0;
    const options = {
      throttle: session.throttle,
      cluster: facts.cluster,
      onWritten: (keys: number) => {
        written += keys;
        environment.onProgress({ phase: 'write', bytes: written, bytesTotal: 0 });
      },
    };
    for await (const batch of found) {
      for (const difference of batch) outcomes.add(difference);
      const toWrite = batch.filter(({ outcome, live }) =>
        outcome === 'created' ? !keeps : outcome !== 'expired' || live !== null,
      );
      for (const { outcome, live, db, key } of batch) {
        if (outcome === 'expired' && live === null) tally.vanished(db, key);
      }
      for await (const tasks of makeTasks(toWrite, source)) await writeAll(tasks, writer, options);
    }
  });
}

function recordOf(run: Run, { report }: ScratchServer, startedMs: number): WriteBackRecord {
  const { request, id } = run;
  const { skip = null } = request;
  const { notBefore, notAfter } = report.cut;
  const second = msOf(report.at);
  return {
    version: 1,
    ...{ id, instance: request.instance, startedMs, at: second === null ? null : second / 1000 },
    bounds: { notBeforeMs: msOf(notBefore), notAfterMs: msOf(notAfter) },
    timeline: report.cut.timeline,
    offset: report.cut.offset,
    ...{ ttl: request.ttl, ttlText: run.ttlText, policy: request.policy },
    missingKeys: request.missingKeys ?? 'delete',
    selector: selectorToJson(request.selector),
    skip: skipToJson(skip),
  };
}

function earlierWarnings({ earlier }: WriteSession): readonly string[] {
  if (earlier?.isFull !== true) return [];
  return [
    'so much was written before that of some keys nobody looked whether clients changed them since',
  ];
}

/** A whole second of a report, in Unix milliseconds. */
function msOf(time: string | null): number | null {
  if (time === null) return null;
  const ms = Date.parse(time);
  if (!Number.isNaN(ms)) return ms;
  throw new PlanError('TM_INTERNAL', 'the second of a restore cannot be read');
}
