import type { Command } from 'commander';
import { bashScript } from '../completion/bash-script.ts';
import { completionTree } from '../completion/completion-tree.ts';
import { fishScript } from '../completion/fish-script.ts';
import { zshScript } from '../completion/zsh-script.ts';

const SCRIPTS = { bash: bashScript, zsh: zshScript, fish: fishScript };

/** A shell whose completion can be printed. */
export type CompletedShell = keyof typeof SCRIPTS;

/** Prints the completion of every command for a shell. */
export function printCompletion(shell: CompletedShell, root: Command): void {
  process.stdout.write(SCRIPTS[shell](completionTree(root)));
}
