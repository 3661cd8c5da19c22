import { execFileSync, spawnSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { bashScript } from '../../../services/cli/src/completion/bash-script.ts';
import { completionTree } from '../../../services/cli/src/completion/completion-tree.ts';
import { fishScript } from '../../../services/cli/src/completion/fish-script.ts';
import { zshScript } from '../../../services/cli/src/completion/zsh-script.ts';
import { commandTree, everyCommand } from '../../support/cli-program.ts';

const tree = completionTree(commandTree());

function has(shell: string): boolean {
  return spawnSync(shell, ['-c', 'true']).status === 0;
}

/** What bash offers for each of some command lines; the last word is the one that is typed. */
function inBash(lines: readonly (readonly string[])[]): readonly (readonly string[])[] {
  const calls = lines.map((words) => `try ${words.map((word) => `'${word}'`).join(' ')}`);
  const script = `${bashScript(tree)}
complete -p tidemark | grep -q -- '-F _tidemark' || exit 7
try() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _tidemark; echo "$(IFS=' '; echo "\${COMPREPLY[*]}")"; }
${calls.join('\n')}
`;
  const out = execFileSync('bash', ['--norc', '-s'], { input: script, encoding: 'utf8' });
  const found = out.split('\n').slice(0, lines.length);
  return found.map((line) => line.split(' ').filter((word) => word !== ''));
}

describe('completion', () => {
  it('bash offers every command and option of the program, wherever it stands', () => {
    const commands = everyCommand(commandTree());
    expect(tree.length).toBe(commands.length);
    const groups = tree.filter(({ words }) => words.length > 0);
    const offered = inBash(groups.map(({ path }) => [...path.split(' '), '']));
    groups.forEach(({ words, path }, index) => {
      for (const { word } of words) expect(offered[index], path).toContain(word);
    });
    const dashes = inBash(tree.map(({ path }) => [...path.split(' '), '--']));
    tree.forEach(({ options, path }, index) => {
      const long = options.flatMap(({ names }) => names.filter((name) => name.startsWith('--')));
      expect(dashes[index], path).toEqual(long);
    });
  });

  it('bash offers words, files or nothing where an option wants a value', () => {
    const [sources, formats, shells, files, folders, free, after] = inBash([
      ['tidemark', 'instance', 'add', 'orders', '--source', ''],
      ['tidemark', '-c', 'x.toml', '-o', ''],
      ['tidemark', 'completion', ''],
      ['tidemark', '-c', '/etc/pass'],
      ['tidemark', 'init', '--dir', '/et'],
      ['tidemark', 'instance', 'add', '--url', ''],
      ['tidemark', '-c', 'instance', 'wind'], // a value is no command
    ]);
    expect(sources).toEqual(['aof', 'psync']);
    expect(formats).toEqual(['text', 'json']);
    expect(shells).toEqual(['bash', 'zsh', 'fish']);
    expect(files).toContain('/etc/passwd');
    expect(folders).toEqual(['/etc']);
    expect(free).toEqual([]);
    expect(after).toEqual(['windows']);
  });

  it.skipIf(!has('zsh'))('zsh reads its script', () => {
    const script = `compdef() { :; }\ncompadd() { shift; print -r -- "$*"; }\n${zshScript(tree)}
words=(tidemark instance add --source ''); CURRENT=5; _tidemark`;
    const out = execFileSync('zsh', ['-f', '-s'], { input: script, encoding: 'utf8' });
    expect(out.trim()).toBe('aof psync');
  });

  it.skipIf(!has('fish'))('fish reads its script', () => {
    const script = `${fishScript(tree)}\ncomplete -C 'tidemark instance add --source '`;
    const out = execFileSync('fish', ['--no-config', '-c', script], { encoding: 'utf8' });
    expect(out.trim().split('\n')).toEqual(['aof', 'psync']);
  });

  it('no script breaks on what a description holds', () => {
    const odd = {
      path: 'tidemark',
      words: [{ word: 'find', description: `it's "$(id)" \\ %s\nsecond line` }],
      options: [],
      argument: null,
    } as const;
    for (const script of [bashScript([odd]), zshScript([odd])])
      expect(script).not.toContain('$(id)');
    expect(fishScript([odd])).toContain(`'it\\'s "$(id)" \\\\ %s'`);
  });
});
