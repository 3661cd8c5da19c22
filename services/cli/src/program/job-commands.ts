import type { Command } from 'commander';
import type { JobListFlags } from '../commands/job.ts';
import type { Leaf, Perform } from './command-tree.ts';

/** Adds `serve restorer`. */
export function addServeRestorer(serving: Command, leaf: Leaf, perform: Perform): void {
  leaf(serving, 'restorer', 'Work off jobs: restores, clones, backups, verifications and the rest.')
    .addHelpText(
      'after',
      `
Jobs are asked for over the API (tidemark serve api) and by the backup policies. Any number of workers may
run on a host: each job is done by one of them, and the jobs of one that dies are gone on with by another
within a quarter of a minute. [restorer] workers says how many jobs one does at a time.

  tidemark serve restorer
  tidemark job list`,
    )
    .action(async (_: unknown, command: Command) =>
      perform(command, async (invocation) =>
        (await import('../commands/serve-restorer.ts')).serveRestorer(invocation),
      ),
    );
}

/** Adds `job`. */
export function addJobCommands(program: Command, leaf: Leaf, perform: Perform): void {
  const job = program.command('job').description('Work that was asked for, and what became of it.');
  const load = async (): Promise<typeof import('../commands/job.ts')> =>
    import('../commands/job.ts');
  leaf(job, 'list', 'List jobs, newest first.')
    .option('--instance <id>', 'only those of this instance')
    .option(
      '--state <state>',
      'queued, running, cancelling, succeeded, partial, failed or cancelled',
    )
    .option('--limit <n>', 'at most so many', '50')
    .action(async (flags: JobListFlags, command: Command) =>
      perform(command, async (invocation) => (await load()).listJobs(flags, invocation)),
    );
  leaf(job, 'show <job>', 'Show a job: state, progress, who asked for it, how it ended.').action(
    async (id: string, _: unknown, command: Command) =>
      perform(command, async (invocation) => (await load()).showJob(id, invocation)),
  );
  leaf(
    job,
    'watch <job>',
    'Follow a job to its end; exits with the code that it ended with.',
  ).action(async (id: string, _: unknown, command: Command) =>
    perform(command, async (invocation) => (await load()).watchJob(id, invocation)),
  );
  leaf(job, 'logs <job>', 'Print what a job had to say.')
    .option('-f, --follow', 'go on until it has ended')
    .action(async (id: string, flags: { follow?: boolean }, command: Command) =>
      perform(command, async (invocation) =>
        (await load()).showJobLog(id, { follow: flags.follow === true }, invocation),
      ),
    );
  leaf(job, 'cancel <job>', 'Call a job off: what it began is taken back.')
    .addHelpText(
      'after',
      `
A restore into another server ends with that server empty, or gone where it was started for it. What was
written into the original stays, under its undo pack (tidemark undo). The job says so in its log.`,
    )
    .action(async (id: string, _: unknown, command: Command) =>
      perform(command, async (invocation) => (await load()).cancelJob(id, invocation)),
    );
  leaf(job, 'resume <job>', 'Go on with a job that failed or was cancelled.').action(
    async (id: string, _: unknown, command: Command) =>
      perform(command, async (invocation) => (await load()).resumeJob(id, invocation)),
  );
}
