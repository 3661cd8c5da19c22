import { Option, type Command } from 'commander';
import type { PolicyFlags } from '../commands/policy.ts';
import type { Leaf, Perform } from './command-tree.ts';

const SET_HELP = `
What is left out stays as it is. Times are those of clocks in the time zone: one that a day leaves out
(clocks go forward) is due right after the gap, one that comes twice is due the first time. Each
instance begins a little after the time, always at the same place of [policy] spread.

With flashback off only backups are made: the log between them is not kept, and its window ends. They come
over replication then, so the user of an instance that is captured from its files needs +psync too.

  tidemark policy set orders --days mon,wed,fri --hours 02:30 --time-zone Europe/Berlin
  tidemark policy set orders --hours 03:00,15:00 --retain 14d --keep-last 10
  tidemark policy set orders --flashback off --confirm orders`;

/** Adds `policy`. */
export function addPolicyCommands(program: Command, leaf: Leaf, perform: Perform): void {
  const policy = program
    .command('policy')
    .description('When backups are made, and how long history is kept.');
  const load = async (): Promise<typeof import('../commands/policy.ts')> =>
    import('../commands/policy.ts');
  leaf(policy, 'show <id>', 'Show the policy of an instance, and its next runs.').action(
    async (id: string, _: unknown, command: Command) =>
      perform(command, async (invocation) => (await load()).showPolicy(id, invocation)),
  );
  leaf(policy, 'set <id>', 'Set the policy of an instance; it is kept in the store.')
    .option('--days <days>', 'days of the week, with commas: mon,wed; all for every day')
    .option('--hours <times>', 'times of the day, with commas: 03:00,15:30 (03:00Z-04:00Z: in UTC)')
    .option('--time-zone <zone>', 'zone of days and times: UTC, Europe/Berlin, …')
    .option('--retain <duration>', 'how long history is kept: 7d')
    .option('--keep-last <n>', 'the newest so many backups stay, however old they are')
    .addOption(
      new Option('--flashback <state>', 'whether the log between backups is kept').choices([
        'on',
        'off',
      ]),
    )
    .option('--if-match <etag>', 'only if the policy still has this ETag (of policy show -o json)')
    .option('--confirm <id>', 'the id of the instance once more, with --flashback off')
    .addHelpText('after', SET_HELP)
    .action(async (id: string, flags: PolicyFlags, command: Command) =>
      perform(command, async (invocation) => (await load()).setPolicy(id, flags, invocation)),
    );
  leaf(policy, 'next <id>', 'Show the coming runs, in the time zone of the policy and in UTC.')
    .option('-n, --count <n>', 'how many, at most 500', '5')
    .action(async (id: string, { count }: { count: string }, command: Command) =>
      perform(command, async (invocation) => (await load()).showNext(id, count, invocation)),
    );
  leaf(policy, 'runs <id>', 'Show what became of past runs: made, skipped, or missed and why.')
    .option('-n, --count <n>', 'how many, at most 500', '20')
    .action(async (id: string, { count }: { count: string }, command: Command) =>
      perform(command, async (invocation) => (await load()).showRuns(id, count, invocation)),
    );
  leaf(policy, 'run-now <id>', 'Make the backup of the policy now; its runs stay as they are.')
    .option('--detach', 'leave it to a worker that runs (tidemark serve api, serve restorer)')
    .addHelpText(
      'after',
      `
The backup counts as automated, as those of the policy do. It needs a running archiver.

  tidemark policy run-now orders
  tidemark policy run-now orders --detach -o json`,
    )
    .action(async (id: string, flags: { detach?: boolean }, command: Command) =>
      perform(command, async (invocation) =>
        (await load()).runPolicyNow(id, flags.detach === true, invocation),
      ),
    );
}
