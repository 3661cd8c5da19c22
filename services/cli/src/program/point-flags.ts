import { Option, type Command } from 'commander';
import { TTL_HELP } from './ttl-help.ts';

/** Adds the flags that say what to go back to, with which expiry times, and without which commands. */
export function pointFlags(command: Command): Command {
  return command
    .addOption(
      new Option('--at <time>', 'the second to go back to').conflicts([
        'offset',
        'before',
        'backup',
      ]),
    )
    .option('--exclusive', 'with --at: the state before that second, not at its end')
    .addOption(
      new Option(
        '--offset <n>',
        'the last whole command or transaction up to this offset',
      ).conflicts(['before', 'backup']),
    )
    .addOption(
      new Option(
        '--before <n>',
        'right before the command or transaction that starts here',
      ).conflicts('backup'),
    )
    .option(
      '--timeline <tl>',
      'with --at, --offset, --before: on this timeline (windows --timelines)',
    )
    .option('--backup <backup>', 'exactly what a backup holds')
    .option('--ttl <mode>', TTL_HELP)
    .option(
      '--skip <n[..n]>',
      'leave out the command that starts at this offset, or all that start from one to another',
    );
}
