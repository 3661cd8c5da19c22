import { setTimeout as pause } from 'node:timers/promises';
import {
  jobDocument,
  lineDocument,
  openControl,
  openJobDesk,
  type Job,
  type JobLine,
  type JobQuestion,
  type OpenedDesk,
} from '@tidemark/control';
import { stderrLogger } from '@tidemark/archiver';
import {
  CatalogError,
  ERROR_CODES,
  TidemarkError,
  UsageError,
  type ErrorCode,
} from '@tidemark/core';
import { systemClock, systemRandom } from '@tidemark/system';
import type { Invocation } from '../invocation.ts';
import { formatBytes, table } from '../output/table.ts';
import { formatSecond } from '../time.ts';
import { cliActor } from './cli-actor.ts';

const PAGE_MAX = 500;
const LINES_READ = 500;
const FOLLOW_MS = 250;
const STATES = [
  ...(['queued', 'running', 'cancelling', 'succeeded'] as const),
  ...(['partial', 'failed', 'cancelled'] as const),
];

/** Flags of `job list` as commander gives them. */
export interface JobListFlags {
  readonly instance?: string;
  readonly state?: string;
  readonly limit: string;
}

/** Lists jobs, newest first. */
export async function listJobs(flags: JobListFlags, invocation: Invocation): Promise<void> {
  const question = questionOf(flags);
  using desk = await deskOf(invocation);
  const { jobs } = desk.jobs.list(question);
  invocation.printer.result({ jobs: jobs.map(jobDocument) }, () =>
    jobs.length === 0
      ? ['no jobs']
      : table(
          ['JOB', 'KIND', 'INSTANCE', 'STATE', 'PHASE', '%', 'ASKED BY', 'SINCE (UTC)'],
          jobs.map(({ id, kind, instance, state, progress, actor, createdMs }) => [
            ...[id, kind, instance, state, progress.phase],
            ...[progress.percent.toFixed(1), `${actor.name} (${actor.via})`, secondOf(createdMs)],
          ]),
        ),
  );
}

/** Shows a job: where it stands, who asked for it, how it ended. */
export async function showJob(id: string, invocation: Invocation): Promise<void> {
  using desk = await deskOf(invocation);
  const job = desk.jobs.get(id);
  invocation.printer.result(jobDocument(job), () => textOf(job));
}

/** Follows a job to its end, and ends as it did. */
export async function watchJob(
  id: string,
  { printer, signal, ...rest }: Invocation,
): Promise<void> {
  using desk = await deskOf({ printer, signal, ...rest });
  for await (const { job } of desk.jobs.follow(id, 0, signal)) printer.progress(progressText(job));
  signal.throwIfAborted();
  const job = desk.jobs.get(id);
  printer.result(jobDocument(job), () => textOf(job));
  endAs(job);
}

/** Prints the log of a job; with `follow` until it has ended. */
export async function showJobLog(
  id: string,
  { follow }: { readonly follow: boolean },
  invocation: Invocation,
): Promise<void> {
  using desk = await deskOf(invocation);
  const { printer, signal } = invocation;
  const lines: JobLine[] = [];
  for (let seq = 0; ;) {
    const isOver = desk.jobs.get(id).endedMs !== null;
    const more = desk.jobs.lines(id, seq, LINES_READ);
    seq = more.at(-1)?.seq ?? seq;
    if (follow && printer.format === 'text') {
      if (more.length > 0) printer.result(null, () => more.map(lineText));
    } else {
      lines.push(...more);
    }
    if (more.length > 0) continue;
    if (!follow || isOver) break;
    await pause(FOLLOW_MS, undefined, { signal }).catch(() => undefined);
    signal.throwIfAborted();
  }
  if (follow && printer.format === 'text') return;
  printer.result({ job: id, lines: lines.map(lineDocument) }, () => lines.map(lineText));
}

/** Calls a job off. */
export async function cancelJob(id: string, invocation: Invocation): Promise<void> {
  using desk = await deskOf(invocation);
  const job = await desk.jobs.cancel(id, cliActor());
  invocation.printer.result(jobDocument(job), () => [
    job.state === 'cancelled'
      ? `${id} is cancelled: it had not begun`
      : `${id} is being cancelled; how that ends: tidemark job watch ${id}`,
  ]);
}

/** Goes on with a job that failed or was cancelled. */
export async function resumeJob(id: string, { configPath, printer }: Invocation): Promise<void> {
  await using control = await openControl({ configPath, ...ports() });
  const job = await control.jobs.resume(id, cliActor());
  printer.result(jobDocument(job), () => [
    `${id} waits for a worker; to follow it: tidemark job watch ${id}`,
  ]);
}

async function deskOf({ configPath, printer }: Invocation): Promise<OpenedDesk> {
  const desk = await openJobDesk(configPath, ports());
  if (desk.replacedMs !== null) {
    printer.warn(
      `the database of jobs was damaged at ${secondOf(desk.replacedMs)} and made anew: older jobs are not listed`,
    );
  }
  return desk;
}

function ports(): Parameters<typeof openJobDesk>[1] {
  return { clock: systemClock, random: systemRandom, logger: stderrLogger({ service: 'cli' }) };
}

function questionOf({ instance, state, limit }: JobListFlags): JobQuestion {
  const pageSize = Number(limit);
  if (!Number.isInteger(pageSize) || pageSize < 1 || pageSize > PAGE_MAX) {
    throw new UsageError('TM_USAGE', `--limit ${limit} is not a number from 1 to ${PAGE_MAX}`);
  }
  const wanted = STATES.find((one) => one === state);
  if (state !== undefined && wanted === undefined) {
    throw new UsageError('TM_USAGE', `${JSON.stringify(state)} is no state of a job`, {
      hint: `one of ${STATES.join(', ')}`,
    });
  }
  return {
    pageSize,
    ...(instance === undefined ? {} : { instance }),
    ...(wanted === undefined ? {} : { state: wanted }),
  };
}

function progressText({ id, state, progress }: Job): string {
  const { phase, percent, bytesDone, bytesTotal, etaSeconds } = progress;
  const bytes = bytesTotal > 0 ? `, ${formatBytes(bytesDone)} of ${formatBytes(bytesTotal)}` : '';
  const eta = etaSeconds === null || etaSeconds === 0 ? '' : `, ${etaSeconds.toString()} s to go`;
  return `${id}: ${state}, ${phase} ${percent.toFixed(1)} %${bytes}${eta}`;
}

function textOf(job: Job): readonly string[] {
  const { id, kind, instance, state, actor, attempt, problem, resumable, worker } = job;
  return [
    `${id}: ${kind} of ${instance}, ${state}`,
    `asked for by ${actor.name} (${actor.via}) at ${secondOf(job.createdMs)}`,
    ...(job.endedMs === null
      ? [progressText(job), `worker: ${worker ?? 'none'}, attempt ${attempt.toString()}`]
      : [`ended at ${secondOf(job.endedMs)}, attempt ${attempt.toString()}`]),
    ...(problem === null ? [] : [`why: ${problem.message} (${problem.code})`]),
    ...(problem?.hint == null ? [] : [`hint: ${problem.hint}`]),
    ...resultLines(job.result),
    ...(resumable ? [`to go on: tidemark job resume ${id}`] : []),
  ];
}

/** What came of a job, a line for each part of it that says anything. */
export function resultLines(result: Job['result']): readonly string[] {
  if (result === null) return [];
  if (typeof result !== 'object' || Array.isArray(result)) {
    return [`result: ${JSON.stringify(result)}`];
  }
  const shown = Object.entries(result).flatMap(([name, value]): [string, string][] => {
    if (value === null || (Array.isArray(value) && value.length === 0)) return [];
    return [[name, typeof value === 'string' ? value : JSON.stringify(value)]];
  });
  const width = Math.max(0, ...shown.map(([name]) => name.length));
  return ['result:', ...shown.map(([name, value]) => `  ${name.padEnd(width)}  ${value}`)];
}

/** The exit code of the command is that of the job. */
export function endAs({ id, state, problem }: Job): void {
  if (state === 'partial') process.exitCode = ERROR_CODES.TM_WRITE_PARTIAL.exit;
  if (state === 'cancelled') throw new TidemarkError('TM_CANCELLED', `${id} was cancelled`);
  if (state !== 'failed') return;
  const { code = 'TM_INTERNAL', message = 'no reason is known', hint } = problem ?? {};
  const known: ErrorCode = code in ERROR_CODES ? (code as ErrorCode) : 'TM_INTERNAL';
  throw new CatalogError(known, `${id} failed: ${message}`, hint == null ? {} : { hint });
}

function lineText({ atMs, level, message }: Parameters<typeof lineDocument>[0]): string {
  return `${new Date(atMs).toISOString()} ${level.padEnd(5)} ${message}`;
}

function secondOf(ms: number): string {
  return formatSecond(Math.floor(ms / 1000));
}
