import type { DurationMetric, MetricFamily, MetricSample } from '@tidemark/archiver';
import { ERROR_CODES } from '@tidemark/core';
import type { Job, JobEvent, JobKind } from '../jobs/job.ts';
import { phaseLabel } from './phase-label.ts';

/** Exit code of what does not hold what it is to hold. */
const DAMAGE_EXIT = 14;
/** Jobs under way that are watched; more cannot be open. */
const WATCHED_MAX = 1_000;

/** Kinds of jobs that write into a server. */
export const RESTORE_KINDS: readonly JobKind[] = ['restore', 'write-back', 'clone', 'rebuild'];

/** What is counted of the jobs that this process did. */
export const JOB_FAMILIES: readonly MetricFamily[] = [
  counter('restore_jobs_total', 'Restores that ended, by kind and outcome.', 'type', 'outcome'),
  counter('restore_verify_mismatches_total', 'Restores that ended because something was damaged.'),
  counter('scrub_errors_total', 'Verifications that found damage.'),
];

function counter(name: string, help: string, ...labels: readonly string[]): MetricFamily {
  return { name: `tidemark_${name}`, help, type: 'counter', labels };
}

interface Watched {
  phase: string;
  sinceMs: number;
}

/** Follows the jobs of this process from phase to phase. */
export class JobMeter {
  readonly #restores: DurationMetric;
  readonly #watched = new Map<string, Watched>();
  readonly #ended = new Map<string, number>();
  #mismatches = 0;
  #scrubErrors = 0;

  /** @param restores - Times of the phases of restores. */
  constructor(restores: DurationMetric) {
    this.#restores = restores;
  }

  /** Takes a change of a job. */
  note({ job, atMs }: JobEvent): void {
    if (RESTORE_KINDS.includes(job.kind)) this.#notePhase(job, atMs);
    if (job.endedMs === null || job.state === 'queued') return;
    const isDamage = exitOf(job) === DAMAGE_EXIT;
    if (job.kind === 'verify' && isDamage) this.#scrubErrors += 1;
    if (!RESTORE_KINDS.includes(job.kind)) return;
    const name = `${job.kind} ${job.state}`;
    this.#ended.set(name, (this.#ended.get(name) ?? 0) + 1);
    if (isDamage) this.#mismatches += 1;
  }

  samples(): readonly MetricSample[] {
    const outcomes = ['succeeded', 'partial', 'failed', 'cancelled'];
    return [
      ...RESTORE_KINDS.flatMap((type) =>
        outcomes.map((outcome) => ({
          name: 'tidemark_restore_jobs_total',
          labels: { type, outcome },
          value: this.#ended.get(`${type} ${outcome}`) ?? 0,
        })),
      ),
      {
        name: 'tidemark_restore_verify_mismatches_total',
        labels: {},
        value: this.#mismatches,
      },
      { name: 'tidemark_scrub_errors_total', labels: {}, value: this.#scrubErrors },
    ];
  }

  #notePhase({ id, state, progress }: Job, atMs: number): void {
    const last = this.#watched.get(id);
    const runs = state === 'running' || state === 'cancelling';
    const phase = phaseLabel(progress.phase);
    if (last !== undefined && (!runs || last.phase !== phase)) {
      const seconds = Math.max(0, atMs - last.sinceMs) / 1000;
      this.#restores.observe({ phase: last.phase }, seconds);
      this.#watched.delete(id);
    }
    if (runs && !this.#watched.has(id) && this.#watched.size < WATCHED_MAX) {
      this.#watched.set(id, { phase, sinceMs: atMs });
    }
  }
}

function exitOf({ problem }: Job): number | null {
  if (problem === null || !Object.hasOwn(ERROR_CODES, problem.code)) return null;
  return ERROR_CODES[problem.code as keyof typeof ERROR_CODES].exit;
}
