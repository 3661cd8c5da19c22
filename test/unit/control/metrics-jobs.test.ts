import { describe, expect, it } from 'vitest';
import type { Job, JobDesk, JobEvent } from '../../../services/control/src/jobs/job.ts';
import { JobMeter } from '../../../services/control/src/metrics/job-meter.ts';
import { phaseLabel } from '../../../services/control/src/metrics/phase-label.ts';
import { stateSamples } from '../../../services/control/src/metrics/state-samples.ts';
import { valueOf } from '../../support/scrape.ts';

const PROGRESS = {
  ...{ phase: 'fetch', percent: 0, bytesDone: 0, bytesTotal: 0, keysDone: 0, etaSeconds: null },
};

function job(more: Partial<Job> = {}): Job {
  return {
    ...{ id: 'job-1', kind: 'restore', instance: 'orders', state: 'running', request: null },
    ...{ actor: { name: 'me', via: 'cli' }, progress: PROGRESS, attempt: 1, resumable: false },
    ...{ result: null, problem: null, worker: 'w', createdMs: 0, startedMs: 0, endedMs: null },
    ...more,
  };
}

const inPhase = (phase: string, more: Partial<Job> = {}): Job =>
  job({ progress: { ...PROGRESS, phase }, ...more });

interface Metered {
  readonly meter: JobMeter;
  readonly phases: (readonly [string, number])[];
  readonly note: (atMs: number, job: Job) => void;
  readonly total: (type: string, outcome: string) => number | undefined;
}

function metered(): Metered {
  const phases: (readonly [string, number])[] = [];
  const meter = new JobMeter({
    observe: ({ phase = '' }, seconds) => void phases.push([phase, seconds]),
  });
  let seq = 0;
  return {
    ...{ meter, phases },
    note: (atMs, of) => meter.note({ seq: ++seq, atMs, job: of } satisfies JobEvent),
    total: (type, outcome) =>
      valueOf(meter.samples(), 'tidemark_restore_jobs_total', { type, outcome }),
  };
}

describe('what is counted of jobs', () => {
  it('each phase lasts until the next one, or the end', () => {
    const { note, phases, total } = metered();
    note(0, inPhase('fetch', { state: 'queued' }));
    note(1_000, inPhase('fetch'));
    note(2_000, inPhase('fetch', { progress: { ...PROGRESS, percent: 10 } }));
    note(4_000, inPhase('replay'));
    note(9_000, inPhase('replay', { state: 'succeeded', endedMs: 9_000 }));
    expect(phases).toEqual([
      ['fetch', 3],
      ['replay', 5],
    ]);
    expect(total('restore', 'succeeded')).toBe(1);
    expect(total('restore', 'failed')).toBe(0); // it stands at 0, so that the first one is seen
  });

  it('a job that was interrupted is no end, and its phase begins again', () => {
    const { note, phases, total } = metered();
    note(0, inPhase('replay'));
    note(2_000, inPhase('replay', { state: 'queued', attempt: 1 }));
    note(60_000, inPhase('replay', { attempt: 2 }));
    note(61_000, inPhase('replay', { state: 'cancelled', endedMs: 61_000 }));
    expect(phases).toEqual([
      ['replay', 2],
      ['replay', 1],
    ]);
    expect(total('restore', 'cancelled')).toBe(1);
  });

  it('damage is told apart from other failures, of restores and of verifications', () => {
    const { note, meter } = metered();
    const failed = (kind: Job['kind'], code: string): Job =>
      job({ kind, state: 'failed', endedMs: 1, problem: { code, message: '', hint: null } });
    note(1, failed('restore', 'TM_SEAL_CHUNK'));
    note(2, failed('clone', 'TM_STORE_IO'));
    note(3, failed('verify', 'TM_STORE_MISSING'));
    note(4, failed('verify', 'TM_STORE_IO'));
    note(5, failed('backup', 'TM_SEAL_CHUNK'));
    note(6, failed('restore', 'no such code'));
    expect(valueOf(meter.samples(), 'tidemark_restore_verify_mismatches_total')).toBe(1);
    expect(valueOf(meter.samples(), 'tidemark_scrub_errors_total')).toBe(1);
  });

  it('phases are a bounded set of words', () => {
    expect(phaseLabel('replay')).toBe('replay');
    expect(phaseLabel('user:17 key')).toBe('other');
    expect(phaseLabel('x'.repeat(33))).toBe('other');
    const labels = new Set(
      Array.from({ length: 500 }, (_, i) =>
        phaseLabel(`p${'a'.repeat(i % 26)}-${'b'.repeat(Math.floor(i / 26) % 6)}`),
      ),
    );
    expect(labels.size).toBeLessThanOrEqual(65);
    expect(phaseLabel('replay')).toBe('replay');
  });
});

describe('what the jobs of a host show', () => {
  const desk = (jobs: readonly Job[]): Pick<JobDesk, 'list'> => ({
    list: ({ state, kind, instance }) => ({
      jobs: jobs.filter(
        (one) =>
          (state === undefined || one.state === state) &&
          (kind === undefined || one.kind === kind) &&
          (instance === undefined || one.instance === instance),
      ),
      nextPageToken: null,
    }),
  });

  it('open restores by state, bytes by instance, and how the last backup ended', () => {
    const bytes = { progress: { ...PROGRESS, bytesDone: 30, bytesTotal: 100 } };
    const samples = stateSamples(
      desk([
        job({ id: 'job-9', kind: 'backup', ...bytes }),
        job({ id: 'job-8', kind: 'backup', state: 'failed', endedMs: 5 }),
        job({ id: 'job-7', kind: 'backup', state: 'succeeded', endedMs: 4 }),
        job({ id: 'job-6', kind: 'clone', ...bytes }),
        job({ id: 'job-5', ...bytes }),
        job({ id: 'job-4', instance: 'carts', state: 'queued' }),
      ]),
      ['orders', 'carts'],
    );
    const of = (name: string, labels: Record<string, string>): number | undefined =>
      valueOf(samples, `tidemark_${name}`, labels);
    expect(of('restore_jobs', { state: 'running' })).toBe(2);
    expect(of('restore_jobs', { state: 'queued' })).toBe(1);
    expect(of('restore_jobs', { state: 'cancelling' })).toBe(0);
    expect(of('restore_complete_bytes', { instance: 'orders' })).toBe(60);
    expect(of('restore_total_bytes', { instance: 'orders' })).toBe(200);
    expect(of('backup_in_progress', { instance: 'orders' })).toBe(1);
    expect(of('backup_complete_bytes', { instance: 'orders' })).toBe(30);
    expect(of('backup_last_status', { instance: 'orders' })).toBe(0);
    expect(of('backup_in_progress', { instance: 'carts' })).toBe(0);
    expect(of('backup_last_status', { instance: 'carts' })).toBeUndefined(); // there was none
  });
});
