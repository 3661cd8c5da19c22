import type { MetricFamily, MetricSample } from '@tidemark/archiver';
import type { Job, JobDesk, JobState } from '../jobs/job.ts';
import { RESTORE_KINDS } from './job-meter.ts';

/** Most jobs of one state that are looked at. */
const JOBS_MAX = 500;
const OPEN: readonly JobState[] = ['queued', 'running', 'cancelling'];

/** What the jobs of this host show, whichever process does them. */
export const STATE_FAMILIES: readonly MetricFamily[] = [
  gauge('restore_jobs', 'Restores that are open, by state.', 'state'),
  gauge(
    'restore_complete_bytes',
    'Bytes that the open restores of an instance have done.',
    'instance',
  ),
  gauge(
    'restore_total_bytes',
    'Bytes that the open restores of an instance have to do.',
    'instance',
  ),
  gauge('backup_in_progress', 'Whether a backup of the instance runs.', 'instance'),
  gauge('backup_last_status', 'Whether the last backup job of the instance succeeded.', 'instance'),
  gauge('backup_complete_bytes', 'Bytes that the running backup has done.', 'instance'),
  gauge('backup_total_bytes', 'Bytes that the running backup has to do.', 'instance'),
];

function gauge(name: string, help: string, ...labels: readonly string[]): MetricFamily {
  return { name: `tidemark_${name}`, help, type: 'gauge', labels };
}

/** The numbers of the jobs of a host as its database says. */
export function stateSamples(
  jobs: Pick<JobDesk, 'list'>,
  instances: readonly string[],
): readonly MetricSample[] {
  const open = OPEN.flatMap((state) => jobs.list({ state, pageSize: JOBS_MAX }).jobs);
  const restores = open.filter(({ kind }) => RESTORE_KINDS.includes(kind));
  return [
    ...OPEN.map((state) => ({
      name: 'tidemark_restore_jobs',
      labels: { state },
      value: restores.filter((job) => job.state === state).length,
    })),
    ...instances.flatMap((instance) => {
      const backup = open.filter((job) => job.kind === 'backup' && job.instance === instance);
      const running = backup.filter(({ state }) => state !== 'queued');
      const last = lastBackup(jobs, instance);
      return [
        ...bytes('restore', instance, restores),
        ...bytes('backup', instance, running),
        sample('backup_in_progress', instance, running.length > 0 ? 1 : 0),
        ...(last === null
          ? []
          : [sample('backup_last_status', instance, last.state === 'succeeded' ? 1 : 0)]),
      ];
    }),
  ];
}

function lastBackup(jobs: Pick<JobDesk, 'list'>, instance: string): Job | null {
  const { jobs: newest } = jobs.list({ instance, kind: 'backup', pageSize: 16 });
  return newest.find(({ endedMs }) => endedMs !== null) ?? null;
}

function bytes(
  what: 'restore' | 'backup',
  instance: string,
  jobs: readonly Job[],
): readonly MetricSample[] {
  const own = jobs.filter((job) => job.instance === instance);
  const sum = (of: (job: Job) => number): number => own.reduce((all, job) => all + of(job), 0);
  return [
    sample(
      `${what}_complete_bytes`,
      instance,
      sum(({ progress }) => progress.bytesDone),
    ),
    sample(
      `${what}_total_bytes`,
      instance,
      sum(({ progress }) => progress.bytesTotal),
    ),
  ];
}

function sample(name: string, instance: string, value: number): MetricSample {
  return { name: `tidemark_${name}`, labels: { instance }, value };
}
