import type { CompletionNode } from './completion-tree.ts';
import { kindOf } from './shell-cases.ts';

/** A script that fish reads once: `tidemark completion fish | source`. */
export function fishScript(nodes: readonly CompletionNode[]): string {
  return `# Completion of tidemark for fish: tidemark completion fish | source
function __tidemark_words
  switch "$argv[1]"
${nodes.map(wordCase).join('\n')}
    case '*'
      return 1
  end
end
function __tidemark_value
  switch "$argv[1] $argv[2]"
${nodes.flatMap(valueCases).join('\n')}
    case '*'
      return 1
  end
end
function __tidemark_argument
  switch "$argv[1]"
${nodes.flatMap(argumentCase).join('\n')}
    case '*'
      return 1
  end
end
function __tidemark_complete
  set -l path tidemark
  set -l option ''
  set -l kind
  set -l before (commandline -opc)
  set -l cur (commandline -ct)
  for word in $before[2..-1]
    if test -n "$option"
      set option ''
    else if string match -q -- '-*' "$word"
      __tidemark_value "$path" "$word" >/dev/null; and set option "$word"
    else if __tidemark_words "$path $word" >/dev/null
      set path "$path $word"
    end
  end
  if test -n "$option"
    set kind (__tidemark_value "$path" "$option")
  else if not string match -q -- '-*' "$cur"; and set kind (__tidemark_argument "$path")
    true
  else
    __tidemark_words "$path"
    return
  end
  switch "$kind"
    case @file
      __fish_complete_path "$cur"
    case @folder
      __fish_complete_directories "$cur"
    case @text
      return
    case '*'
      string split ' ' -- "$kind"
  end
end
complete -c tidemark -f -a '(__tidemark_complete)'
`;
}

function wordCase({ path, words, options }: CompletionNode): string {
  const lines = [
    ...words.map(({ word, description }) => line(word, description)),
    ...options.flatMap(({ names, description }) => names.map((name) => line(name, description))),
  ];
  return [
    `    case ${literal(path)}`,
    ...(lines.length === 0 ? ['      true'] : [`      printf '%s\\t%s\\n' ${lines.join(' ')}`]),
  ].join('\n');
}

function valueCases({ path, options }: CompletionNode): readonly string[] {
  return options.flatMap(({ names, value }) =>
    value === null
      ? []
      : [
          `    case ${names.map((name) => literal(`${path} ${name}`)).join(' ')}\n      echo ${literal(kindOf(value))}`,
        ],
  );
}

function argumentCase({ path, argument }: CompletionNode): readonly string[] {
  if (argument === null) return [];
  return [`    case ${literal(path)}\n      echo ${literal(kindOf(argument))}`];
}

function line(word: string, description: string): string {
  const [first = ''] = description.split('\n', 1);
  return `${literal(word)} ${literal(first)}`;
}

/** Between single quotes fish knows only \\ and \\'. */
function literal(text: string): string {
  return `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
}
