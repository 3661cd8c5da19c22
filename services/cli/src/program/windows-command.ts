import { Option, type Command } from 'commander';
import type { WindowsFlags } from '../commands/windows.ts';
import type { Leaf, Perform } from './command-tree.ts';

/** Flags of `tidemark windows` as commander gives them. */
interface AllFlags extends WindowsFlags {
  readonly prove?: boolean;
}

/** Adds `windows`. */
export function addWindows(program: Command, leaf: Leaf, perform: Perform): void {
  leaf(program, 'windows <id>', 'Show which seconds can be restored, and why others cannot.')
    .option('--since <time>', 'only what reaches to this time or later')
    .option('--until <time>', 'only what begins at this time or earlier')
    .option(
      '--resolution <step>',
      'cut the time into second, minute, hour, day or e.g. 15m: how much of each can be restored',
    )
    .option('--timelines', 'show the timelines too: offsets, why each began and ended, clock steps')
    .addOption(
      new Option(
        '--prove',
        'close holes of unseen rewrites: compare both ends in two scratch servers',
      ).conflicts(['timelines', 'since', 'until', 'resolution']),
    )
    .addHelpText(
      'after',
      `
  tidemark windows orders --since -2d
  tidemark windows orders --since -7d --resolution day`,
    )
    .action(async (id: string, flags: AllFlags, command: Command) =>
      perform(command, async (invocation) =>
        flags.prove === true
          ? (await import('../commands/prove.ts')).proveHoles(id, invocation)
          : (await import('../commands/windows.ts')).showWindows(id, flags, invocation),
      ),
    );
}
