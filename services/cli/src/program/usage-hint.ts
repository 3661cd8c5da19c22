import type { Command } from 'commander';

/** Options before a sub-command whose value is a word of its own. */
const WITH_VALUE = new Set(['-c', '--config', '-o', '--output']);

/**
 * What leads on from a mistake in the arguments: the word that was probably meant, else the help of the
 * command that was named.
 * @param suggestion - What commander says of it: `(Did you mean --at?)`, or nothing.
 */
export function usageHint(suggestion: string, program: Command, argv: readonly string[]): string {
  const meant = /^\(Did you mean (.*\?)\)$/.exec(suggestion)?.[1];
  if (meant !== undefined) return `did you mean ${meant}`;
  const help = `see how: ${pathOf(program, argv)} --help`;
  return suggestion === '' ? help : suggestion;
}

/** The command that the arguments lead to, as far as there is one. */
function pathOf(program: Command, argv: readonly string[]): string {
  let at = program;
  let path = program.name();
  for (let i = 0; i < argv.length; i++) {
    const word = argv[i] ?? '';
    if (word.startsWith('-')) {
      if (WITH_VALUE.has(word)) i += 1;
      continue;
    }
    const next = at.commands.find((command) => command.name() === word);
    if (next === undefined) break;
    at = next;
    path += ` ${word}`;
  }
  return path;
}
