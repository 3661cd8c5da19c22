import type { Command, Option } from 'commander';

/** What a value may be: one of some words, a file, a folder, or whatever somebody writes. */
export type CompletionValue = readonly string[] | 'file' | 'folder' | 'text';

/** An option of a command. */
export interface CompletionOption {
  /** `-o`, `--output`. */
  readonly names: readonly string[];
  readonly description: string;
  /** Null: it takes none. */
  readonly value: CompletionValue | null;
}

/** A command, with what may stand behind it. */
export interface CompletionNode {
  /** `tidemark instance add`. */
  readonly path: string;
  readonly words: readonly { readonly word: string; readonly description: string }[];
  readonly options: readonly CompletionOption[];
  /** Of its first argument; null when it has none. */
  readonly argument: CompletionValue | null;
}

/** Every command below one, itself first. */
export function completionTree(
  command: Command,
  path: string = command.name(),
): readonly CompletionNode[] {
  const help = command.createHelp();
  const commands = help.visibleCommands(command).filter((each) => each.name() !== 'help');
  const node: CompletionNode = {
    path,
    words: commands.map((each) => ({ word: each.name(), description: each.description() })),
    options: help.visibleOptions(command).map(optionOf),
    argument: argumentOf(command),
  };
  return [node, ...commands.flatMap((each) => completionTree(each, `${path} ${each.name()}`))];
}

function optionOf(option: Option): CompletionOption {
  const { short, long, description, flags, argChoices } = option;
  const names = [short, long].flatMap((name) => (name === undefined ? [] : [name]));
  const takes = option.required || option.optional;
  return { names, description, value: takes ? (argChoices ?? valueNamed(flags)) : null };
}

function argumentOf(command: Command): CompletionValue | null {
  const [first] = command.registeredArguments;
  if (first === undefined) return null;
  return first.argChoices ?? valueNamed(`<${first.name()}>`);
}

/** What the help calls it tells what it is. */
function valueNamed(flags: string): CompletionValue {
  const [, name = ''] = /[<[]([^>\]]+)[>\]]/.exec(flags) ?? [];
  if (/^(file|path|in|out)$/.test(name)) return 'file';
  return /^(dir|folder)$/.test(name) ? 'folder' : 'text';
}
