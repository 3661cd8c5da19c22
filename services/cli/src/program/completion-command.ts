import { Argument, type Command } from 'commander';
import type { CompletedShell } from '../commands/completion.ts';

/** Adds `completion`. It needs no configuration: it prints what the program itself knows. */
export function addCompletion(program: Command): void {
  program
    .command('completion')
    .description('Print the completion of commands and options for a shell.')
    .addArgument(new Argument('<shell>', 'which shell').choices(['bash', 'zsh', 'fish']))
    .addHelpText(
      'after',
      `
  source <(tidemark completion bash)        in ~/.bashrc
  source <(tidemark completion zsh)         in ~/.zshrc, after compinit
  tidemark completion fish | source         in ~/.config/fish/config.fish`,
    )
    .exitOverride()
    .action(async (shell: CompletedShell) =>
      (await import('../commands/completion.ts')).printCompletion(shell, program),
    );
}
