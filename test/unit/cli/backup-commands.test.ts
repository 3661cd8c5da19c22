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
    ['backup', ['create', 'list', 'download', 'verify']],
    ['backup download', ['<id>', '<backup>', '-o, --out', '--sealed', '--url', '--ttl']],
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
    const words = ['backup', 'download', 'orders', 'bk', '-o', 'json', '--output', 'yaml'];
    expect(await runCli(words)).toBe(2);
    expect(err).toContain("'yaml' is invalid");
  });
});
