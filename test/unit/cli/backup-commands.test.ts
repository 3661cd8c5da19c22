import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { runCli } from '../../../services/cli/src/program.ts';

let out = '';
let err = '';
beforeEach(() => {
  [out, err] = ['', ''];
  vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
    out += String(text);
    return true;
  });
  vi.spyOn(process.stderr, 'write').mockImplementation((text) => {
    err += String(text);
    return true;
  });
});
afterEach(() => vi.restoreAllMocks());

describe('--help of commands that look after backups and their keys', () => {
  it.each<[string, readonly string[]]>([
    [
      'backup',
      [
        'create',
        'list',
        'download',
        'verify',
        'show',
        'label',
        'hold',
        'release',
        'delete',
        'undelete',
      ],
    ],
    ['backup create', ['--label <key=value>', '--hold']],
    ['backup list', ['--label <key=value>', '--state <state>']],
    ['backup label', ['<backup>', '<labels...>', 'ticket-', 'never a secret']],
    ['backup delete', ['--dry-run', '--last', '--confirm <backup>', 'docs/retention.md']],
    [
      'backup download',
      ['<id>', '<backup>', '-o <path>', '--out <path>', '--sealed', '--url', '--ttl'],
    ],
    ['backup download', ['--output <format>', 'ciphertext', '-c, --config']],
    ['backup verify', ['<name>', '--sample', '5%', 'exit code 14']],
    ['repo shred', ['<id>', '--backup', '--confirm', 'cannot be undone']],
    ['tde rewrap', ['<id>', '--kms-key', 'every backup restores']],
  ])('of "%s" says what it does and what it takes', async (command, words) => {
    expect(await runCli([...command.split(' '), '--help'])).toBe(0);
    expect(err).toBe('');
    const text = out.replaceAll(/\s+/g, ' ');
    for (const word of words) expect(text).toContain(word);
  });

  it('keeps -o of a download for the file: it is no format', async () => {
    const words = ['backup', 'download', 'orders', 'bk', '-o', 'a.rdb'];
    expect(await runCli([...words, '--output', 'yaml'])).toBe(2);
    expect(err).toContain("'yaml' is invalid");
    // With a format that there is, it goes on to the configuration.
    const rest = ['-c', 'none.toml'];
    const named = ['backup', 'download', 'orders', 'bk', '--out', 'a.rdb', '-o', 'json'];
    for (const [argv, isJson] of [
      [words, false],
      [[...words, '--output', 'json'], true],
      [named, true],
      [['backup', 'download', 'orders', 'bk', '--url', '-o', 'json'], true],
    ] as const) {
      err = '';
      expect(await runCli([...argv, ...rest])).toBe(2);
      expect(err).toContain('none.toml');
      expect(err.startsWith('{"error"')).toBe(isJson);
    }
  });

  it.each([
    [['-c', 'none.toml', '-o', 'json', 'backup', 'list', 'orders']],
    [['backup', '-c', 'none.toml', '-o', 'json', 'list', 'orders']],
    [['backup', 'list', 'orders', '-c', 'none.toml', '-o', 'json']],
  ])('takes the other options before and after the sub-command: %j', async (words) => {
    expect(await runCli(words)).toBe(2);
    expect(err).toContain('none.toml');
    expect(err.startsWith('{"error"')).toBe(true);
  });
});
