import type { CompletionNode } from './completion-tree.ts';
import { shellFunctions } from './shell-cases.ts';

/** A script that zsh reads once: `source <(tidemark completion zsh)`, or a file `_tidemark` on its fpath. */
export function zshScript(nodes: readonly CompletionNode[]): string {
  return `#compdef tidemark
# Completion of tidemark for zsh: source <(tidemark completion zsh), after compinit
${shellFunctions(nodes)}
_tidemark() {
  local cur=\${words[CURRENT]} cmd=tidemark option='' kind='' word i
  for ((i = 2; i < CURRENT; i++)); do
    word=\${words[i]}
    if [[ -n $option ]]; then option=''; continue; fi
    case $word in
      -*) if _tidemark_value "$cmd" "$word" >/dev/null; then option=$word; fi ;;
      *) if _tidemark_words "$cmd $word" >/dev/null; then cmd="$cmd $word"; fi ;;
    esac
  done
  if [[ -n $option ]]; then
    kind=$(_tidemark_value "$cmd" "$option")
  elif [[ $cur != -* ]] && kind=$(_tidemark_argument "$cmd"); then
    :
  else
    kind=$(_tidemark_words "$cmd")
  fi
  case $kind in
    @file) _files ;;
    @folder) _files -/ ;;
    @text) ;;
    *) compadd -- \${=kind} ;;
  esac
}
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then _tidemark "$@"; else compdef _tidemark tidemark; fi
`;
}
