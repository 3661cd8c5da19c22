import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Command } from 'commander';
import { ConfigSchema } from '../../services/workspace/src/config/schema.ts';

/** The checkout. */
export const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** A file of the checkout. */
export interface RepoFile {
  readonly path: string;
  readonly text: string;
}

/** Every file below a folder of the checkout, those that are made on a machine left out. */
export function filesBelow(folder: string, ends: RegExp = /./): readonly RepoFile[] {
  const found: RepoFile[] = [];
  const walk = (dir: string): void => {
    for (const name of readdirSync(dir).toSorted()) {
      const path = join(dir, name);
      if (statSync(path).isDirectory()) {
        if (name !== 'secrets') walk(path);
      } else if (ends.test(name)) {
        found.push({ path: relative(ROOT, path), text: readFileSync(path, 'utf8') });
      }
    }
  };
  walk(join(ROOT, folder));
  return found;
}

/** The words of a line as a shell reads it; comments and what follows a pipe are left out. */
export function wordsOf(line: string): readonly string[] {
  const words: string[] = [];
  for (const [, double, single, plain] of line.matchAll(/"([^"]*)"|'([^']*)'|(\S+)/g)) {
    const word = double ?? single ?? plain ?? '';
    if (plain !== undefined && /^(\||\|\||&&|;|>|<|2>|#|&|\\)/.test(plain)) break;
    words.push(word);
  }
  return words;
}

/** Command lines of `tidemark` in code: lines of code blocks, and spans of code within text. */
export function commandLines(markdown: string): readonly string[] {
  const joined = markdown.replaceAll(/\\\n\s*/g, '');
  const lines: string[] = [];
  let fenced = false;
  for (const line of joined.split('\n')) {
    if (/^\s*```/.test(line)) fenced = !fenced;
    else if (fenced || line.startsWith('    ')) {
      const [, command] =
        /^\s*(?:\$ |# )?(?:sudo (?:-u \S+ )?)?(?:npx )?(tidemark .*)$/.exec(line) ?? [];
      if (command !== undefined) lines.push(command);
    } else {
      for (const [, code = ''] of line.matchAll(/`(tidemark [^`]+)`/g)) lines.push(code);
    }
  }
  return lines;
}

const LEFT_OPEN = /^(…|\.\.\.|[<[({]|[A-Z][A-Z0-9_-]*$)/;

/**
 * What is wrong with the names in a command line of a text, in which values may be left open.
 * @returns Null when every command and option exists.
 */
export function unknownName(line: string, root: Command): string | null {
  const words = wordsOf(line).slice(1);
  let command = root;
  const options = (): ReadonlyMap<string, boolean> => optionsOf(command);
  for (let i = 0; i < words.length; i++) {
    const word = words[i] ?? '';
    if (word.startsWith('-') && word !== '-') {
      const [name = ''] = word.split('=', 1);
      for (const each of name.split(/[|/,]/)) {
        const takes = options().get(each);
        if (takes === undefined && !/^-\d/.test(each)) return `${command.name()} has no ${each}`;
        if (takes === true && !word.includes('=')) i += 1;
      }
    } else if (command.commands.length > 0) {
      const names = word.replaceAll('\\|', '|').split('|');
      const found = names.map((name) => command.commands.find((each) => each.name() === name));
      if (LEFT_OPEN.test(word)) return null;
      if (found.some((each) => each === undefined)) return `${command.name()} has no ${word}`;
      command = found[0] ?? command;
      if (found.length > 1) return null;
    }
  }
  return null;
}

function optionsOf(command: Command): ReadonlyMap<string, boolean> {
  const found = new Map<string, boolean>([
    ['-h', false],
    ['--help', false],
  ]);
  for (let at: Command | null = command; at !== null; at = at.parent) {
    for (const { short, long, required, optional } of at.options) {
      for (const name of [short, long]) {
        if (name !== undefined && !found.has(name)) found.set(name, required || optional);
      }
    }
  }
  return found;
}

type Shape = { readonly properties?: Readonly<Record<string, unknown>>; readonly items?: unknown };
const sections = ConfigSchema.properties as Readonly<Record<string, Shape>>;

/** Keys of a section of the configuration; null for a section that does not exist. */
export function configKeys(section: string): readonly string[] | null {
  const shape = sections[section];
  if (shape === undefined) return null;
  const table = (shape.items as Shape | undefined) ?? shape;
  return Object.keys(table.properties ?? {});
}

/** Names in a piece of tidemark.toml that no configuration has. */
export function unknownKeys(toml: string): readonly string[] {
  const unknown: string[] = [];
  let section: string | null = null;
  for (const line of toml.split('\n')) {
    const [, table] = /^\s*\[{1,2}([a-z_]+)\]{1,2}/.exec(line) ?? [];
    const [, key] = /^\s*([A-Za-z0-9_-]+)\s*=/.exec(line) ?? [];
    if (table !== undefined) {
      section = table;
      if (configKeys(table) === null) unknown.push(`[${table}]`);
    } else if (key !== undefined) {
      const known = section === null ? Object.keys(sections) : configKeys(section);
      if (known?.includes(key) === false)
        unknown.push(section === null ? key : `[${section}] ${key}`);
    }
  }
  return unknown;
}
