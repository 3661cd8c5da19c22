import type { CompletionNode, CompletionValue } from './completion-tree.ts';

/** A word as every shell takes it literally: names of commands and options have no quote in them. */
function quoted(text: string): string {
  return `'${text.replaceAll("'", '')}'`;
}

/** How the functions name a kind of value. */
export function kindOf(value: CompletionValue): string {
  return typeof value === 'string' ? `@${value}` : value.join(' ');
}

/** The words that may stand behind a command: its own commands and options. */
export function wordsOf({ words, options }: CompletionNode): readonly string[] {
  return [...words.map(({ word }) => word), ...options.flatMap(({ names }) => names)];
}

/**
 * Functions that bash and zsh understand alike: `_tidemark_words PATH`, `_tidemark_value PATH OPTION` (fails
 * for an option that takes none) and `_tidemark_argument PATH`.
 */
export function shellFunctions(nodes: readonly CompletionNode[]): string {
  const words = nodes.map((node) => entry([node.path], wordsOf(node).join(' ')));
  const values = nodes.flatMap(({ path, options }) =>
    options.flatMap(({ names, value }) =>
      value === null
        ? []
        : [
            entry(
              names.map((name) => `${path} ${name}`),
              kindOf(value),
            ),
          ],
    ),
  );
  const arguments_ = nodes.flatMap(({ path, argument }) =>
    argument === null ? [] : [entry([path], kindOf(argument))],
  );
  return [
    cases('_tidemark_words', '$1', words),
    cases('_tidemark_value', '$1 $2', values),
    cases('_tidemark_argument', '$1', arguments_),
  ].join('\n');
}

function entry(patterns: readonly string[], said: string): string {
  return `    ${patterns.map(quoted).join('|')}) echo ${quoted(said)} ;;`;
}

function cases(name: string, what: string, entries: readonly string[]): string {
  return [
    `${name}() {`,
    `  case "${what}" in`,
    ...entries,
    '    *) return 1 ;;',
    '  esac',
    '}',
  ].join('\n');
}
