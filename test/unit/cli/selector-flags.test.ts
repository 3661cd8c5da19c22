import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Command } from 'commander';
import { compileSelector, type SelectorSpec } from '@tidemark/selector';
import { describe, expect, it } from 'vitest';
import {
  selectorFlags,
  selectorOf,
  type SelectorFlags,
} from '../../../services/cli/src/commands/selector-flags.ts';
import { Printer } from '../../../services/cli/src/output/printer.ts';
import { glob, keyRule, regex, specOf } from '../../support/selector/selecting.ts';
import { TempDir } from '../../support/temp-dir.ts';

const invocation = {
  configPath: '',
  printer: new Printer('json'),
  signal: new AbortController().signal,
};

async function read(...argv: string[]): Promise<SelectorSpec | null> {
  const command = selectorFlags(new Command().exitOverride());
  command.configureOutput({ writeErr: () => undefined });
  command.parse(argv, { from: 'user' });
  return selectorOf(command.opts<SelectorFlags>(), invocation);
}

describe('selectorOf()', () => {
  it('is null when no flag is given', async () => {
    expect(await read()).toBeNull();
  });

  it('takes each flag as often as it is given', async () => {
    const include = [
      '--key',
      'a',
      '--key',
      'b\\n',
      '--regex',
      'x.*',
      '--glob',
      'y*',
      '--glob',
      'z*',
    ];
    const where = ['--db', '0', '--db', '3', '--type', 'hash'];
    const exclude = ['--exclude-key', 'c', '--exclude-regex', 'd', '--exclude-glob', 'e*'];
    const out = ['--exclude-db', '1', '--exclude-type', 'set', '--exclude-type', 'zset'];
    expect(await read(...include, ...where, ...exclude, ...out)).toEqual({
      include: [keyRule('a'), keyRule('b\n'), regex('x.*'), glob('y*'), glob('z*')],
      exclude: [keyRule('c'), regex('d'), glob('e*')],
      dbs: [0, 3],
      excludeDbs: [1],
      types: ['hash'],
      excludeTypes: ['set', 'zset'],
    });
  });

  it('selects all but what an exclude flag alone names', async () => {
    expect(await read('--exclude-key', 'a')).toEqual(specOf({ exclude: [keyRule('a')] }));
    expect(await read('--exclude-db', '1')).toEqual(specOf({ excludeDbs: [1] }));
  });

  it('adds the keys of a file', async () => {
    await using dir = await TempDir.create();
    const path = join(dir.path, 'keys');
    await writeFile(path, 'a\r\n\r\nb\\x00\n');
    expect(await read('--key', 'k', '--keys-file', path)).toEqual(
      specOf({ include: [keyRule('k'), keyRule('a'), keyRule('b\0')] }),
    );
  });

  it('never takes an empty file for everything', async () => {
    await using dir = await TempDir.create();
    const path = join(dir.path, 'keys');
    await writeFile(path, '\n\r\n');
    const empty = { code: 'TM_SELECTOR_EMPTY' };
    await expect(read('--keys-file', path)).rejects.toMatchObject(empty);
    await expect(read('--keys-file', path, '--exclude-key', 'a')).rejects.toMatchObject(empty);
    await expect(read('--keys-file', path, '--key', 'a')).rejects.toMatchObject(empty);
  });

  it('names the fault of a flag or a file', async () => {
    await using dir = await TempDir.create();
    const path = join(dir.path, 'keys');
    await writeFile(path, 'a\nb\\q\n');
    await expect(read('--keys-file', path)).rejects.toMatchObject({
      code: 'TM_SELECTOR_SYNTAX',
      context: { pattern: 'b\\q', position: 1, line: 2 },
    });
    await expect(read('--keys-file', join(dir.path, 'none'))).rejects.toMatchObject({
      code: 'TM_USAGE',
      hint: 'there is no such file',
    });
    for (const flag of ['--db', '--exclude-db']) {
      for (const db of ['-1', 'x', '1.5', '']) {
        await expect(read(`${flag}=${db}`)).rejects.toMatchObject({ code: 'TM_SELECTOR_SYNTAX' });
      }
    }
    await expect(read('--key', 'a\\')).rejects.toMatchObject({
      code: 'TM_SELECTOR_SYNTAX',
      context: { pattern: 'a\\', position: 1 },
    });
  });

  it('takes a hundred thousand keys of a file', async () => {
    await using dir = await TempDir.create();
    const path = join(dir.path, 'keys');
    const names = Array.from({ length: 100_000 }, (_, n) => `user:${n.toString()}:cart`);
    await writeFile(path, names.join('\n'));
    const spec = await read('--keys-file', path, '--exclude-key', 'user:7:cart');
    if (spec === null) throw new Error('no selection');
    const selector = compileSelector(spec);
    expect(selector.literals).toHaveLength(99_999);
    expect(selector.matches(0, Buffer.from('user:99999:cart'))).toBe(true);
    expect(selector.matches(0, Buffer.from('user:7:cart'))).toBe(false);
    expect(selector.matches(0, Buffer.from('user:100000:cart'))).toBe(false);
  });
});

describe('selectorFlags()', () => {
  it('stand in the help under a heading of their own', () => {
    const help = selectorFlags(new Command('x')).helpInformation();
    for (const name of ['key', 'regex', 'glob', 'db', 'type']) {
      expect(help).toContain(`--${name} `);
      expect(help).toContain(`--exclude-${name} `);
    }
    expect(help).toContain('--keys-file');
    expect(help).toContain('Which keys');
  });
});
