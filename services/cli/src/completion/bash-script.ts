import type { CompletionNode } from './completion-tree.ts';
import { shellFunctions } from './shell-cases.ts';

/** A script that bash reads once: `source <(tidemark completion bash)`. */
export function bashScript(nodes: readonly CompletionNode[]): string {
  return `# Completion of tidemark for bash 4 and later: source <(tidemark completion bash)
${shellFunctions(nodes)}
_tidemark() {
  local cur=\${COMP_WORDS[COMP_CWORD]} path=tidemark option='' kind='' word i
  COMPREPLY=()
  for ((i = 1; i < COMP_CWORD; i++)); do
    word=\${COMP_WORDS[i]}
    if [[ -n $option ]]; then option=''; continue; fi
    case $word in
      -*) if _tidemark_value "$path" "$word" >/dev/null; then option=$word; fi ;;
      *) if _tidemark_words "$path $word" >/dev/null; then path="$path $word"; fi ;;
    esac
  done
  if [[ -n $option ]]; then
    kind=$(_tidemark_value "$path" "$option")
  elif [[ $cur != -* ]] && kind=$(_tidemark_argument "$path"); then
    :
  else
    kind=$(_tidemark_words "$path")
  fi
  case $kind in
    @file) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- "$cur") ;;
    @folder) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -d -- "$cur") ;;
    @text) ;;
    *) mapfile -t COMPREPLY < <(compgen -W "$kind" -- "$cur") ;;
  esac
}
complete -F _tidemark tidemark
`;
}
