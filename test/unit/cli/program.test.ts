import { beforeEach, describe, expect, it, vi } from 'vitest';
import { runCli } from '../../../services/cli/src/program.ts';

let out: string;
let err: string;
beforeEach(() => {
  [out, err] = ['', ''];
  vi.spyOn(process.stdout, 'write').mockImplementation((text) => ((out += String(text)), true));
  vi.spyOn(process.stderr, 'write').mockImplementation((text) => ((err += String(text)), true));
  return () => {
    vi.restoreAllMocks();
    vi.unstubAllEnvs();
  };
});

/** The file that a command wanted to read: none of these is there. */
async function configOf(...argv: readonly string[]): Promise<string | undefined> {
  err = '';
  expect(await runCli(argv)).toBe(2);
  return /cannot read (\S+)/.exec(err)?.[1];
}

describe('--help', () => {
  it.each<[string, string[]]>([
    ['', ['init', 'instance', 'serve', 'backup', 'windows', 'restore', 'status', 'doctor', 'repo']],
    ['', ['RFC 3339', '@UNIX', '-15m', 'latest', '13 time not restorable', '130 cancelled']],
    ['', ['rdb', 'aof']],
    ['rdb', ['check', 'info', 'keys', 'big-keys']],
    ['aof', ['check', 'timeline']],
    ['history', ['<id>', '<key>', '--db', '--since', '--until', '--limit', 'tidemark history']],
    ['find', ['<id>', '--command', '--key', '--glob', '--since', '--limit', 'tidemark find']],
    ['init', ['--dir', '--adopt', '--keyring']],
    ['instance', ['add', 'list', 'show', 'remove']],
    ['instance add', ['[id]', '-u, --url', '--pass-file', '--aof-dir', '-y, --yes', 'consent']],
    ['instance list', []],
    ['instance show', ['<id>']],
    ['instance remove', ['<id>', 'history stays']],
    ['serve', ['archiver']],
    ['serve archiver', ['--take-over']],
    ['backup', ['create', 'list']],
    ['backup create', ['<id>', '--wait']],
    ['backup list', ['<id>']],
    ['windows', ['<id>']],
    ['restore', ['--at', '--offset', '--backup', '--to', '--ttl', '--no-promote', '--dry-run']],
    ['restore', ['--verify', '--resume', '--abort', '--feed-listen', '-y, --yes', 'rebase:TIME']],
    ['status', ['--price-put', '--price-get', '--price-storage']],
    ['doctor', []],
    ['repo', ['rebuild-catalog', 'verify']],
    ['repo rebuild-catalog', []],
    ['repo verify', []],
  ])('of "%s" says what it does and what it takes', async (command, words) => {
    const argv = command === '' ? [] : command.split(' ');
    expect(await runCli([...argv, '--help'])).toBe(0);
    expect(err).toBe('');
    expect(out).toContain(`Usage: ${['tidemark', ...argv].join(' ')}`);
    for (const word of words) expect(out).toContain(word);
    const isLeaf = !out.includes('\nCommands:');
    if (isLeaf) for (const flag of ['-c, --config', '-o, --output']) expect(out).toContain(flag);
    expect(out.split('\n')[2]).toMatch(/^[A-Z].*\.$/);
  });

  it('is shown with exit code 2 when no command is given', async () => {
    expect(await runCli([])).toBe(2);
    expect(out + err).toContain('Usage: tidemark');
  });

  it('has a version', async () => {
    expect(await runCli(['--version'])).toBe(0);
    expect(out).toMatch(/^\d+\.\d+\.\d+\n$/);
  });
});

describe('what is wrong on the command line', () => {
  it.each<[string, string]>([
    ['restore a --att now', "unknown option '--att'"],
    ['--nope', "unknown option '--nope'"],
    ['status --nope', "unknown option '--nope'"],
    ['restroe', "unknown command 'restroe'"],
    ['backup remove a', "unknown command 'remove'"],
    ['windows', "missing required argument 'id'"],
    ['windows a b', 'too many arguments'],
    ['instance add a --aof-dir d', '--url is missing'],
    ['instance add -u redis://h:1 --aof-dir d', 'ID is missing'],
    ['restore a --ttl never', '"never" is no --ttl'],
    ['restore a --ttl rebase:2026-11-19T11:02:10', 'has no offset from UTC'],
    ['restore a --ttl rebase:latest', '--ttl rebase needs a time'],
    ['restore a --ttl shift:1y', '--ttl shift is not a duration'],
    ['restore a --abort r --ttl absolute', '--abort does not go with --ttl'],
    ['restore a --verify none', "argument 'none' is invalid"],
    ['status -o yaml', "argument 'yaml' is invalid"],
    ['restore a --at @1 --offset 5', "'--at <time>' cannot be used with option '--offset <n>'"],
    ['restore a --at @1 --backup b', 'cannot be used with'],
    ['restore a --offset 1 --backup b', 'cannot be used with'],
    ['restore a --resume r --abort r', 'cannot be used with'],
    ['restore a --abort r --dry-run', '--abort does not go with --dry-run'],
    ['restore a --resume r --dry-run', '--resume does not go with --dry-run'],
    ['restore a --resume r --no-promote', '--resume does not go with --no-promote'],
    ['restore a --resume r --with-acl', '--resume does not go with --with-acl'],
    ['restore a --abort r --at latest', '--abort does not go with --at'],
    ['restore a --at', 'argument missing'],
    ['restore a --at yesterday --to new', '"yesterday" is not a time'],
    ['restore a --at 2026-11-19T11:02:10 --to new', 'has no offset from UTC'],
    ['restore a --offset -5 --to new', '"-5" is not an offset'],
    ['restore a --to new', 'say what to go back to'],
    ['restore a --at latest', 'say where to'],
    ['restore a --at latest --to new --port 70000', '"70000" is not a port'],
    ['restore a --at latest --to redis://h:1 --port 5', '--port and --dir belong to --to new'],
    ['restore a --at latest --to http://h:1', 'write redis://'],
    ['init --adopt file:///x --dir /nowhere', '--adopt and --keyring go together'],
    ['instance add A_b -u redis://h:1 --aof-dir d', 'cannot be an instance id'],
  ])('ends %j with exit code 2 and says it', async (line, message) => {
    expect(await runCli(line.split(' '))).toBe(2);
    expect(out).toBe('');
    expect(err).toMatch(/^error\[2\]: /);
    expect(err).toContain(message);
  });

  it('offers the word that was meant', async () => {
    await runCli(['restore', 'a', '--att', 'now']);
    expect(err).toContain('hint: did you mean --at?');
  });

  it.each([
    ['restore', 'tidemark restore --help'],
    ['-c f -o text backup show', 'tidemark backup show --help'],
    ['fleet nonsense', 'tidemark fleet --help'],
    ['find a', 'tidemark find --help'],
  ])('leads on from %j to the help of the command', async (line, help) => {
    expect(await runCli(line.split(' '))).toBe(2);
    expect(err).toContain(`hint: see how: ${help}`);
  });

  it.each<[string, string]>([
    ['policy set a', 'hint: --days, --hours'],
    ['data purge-expired a --rate 5', '--rate 5 is not a number of keys from 100 to 1000000'],
    ['clone a --to somewhere --name b', 'hint: write local, hook or redis://'],
    ['clone a --to local --name B', '"B" cannot be the name of a server'],
    ['recycle rebuild a --to local --name B', '"B" cannot be the name of a server'],
  ])('%j is refused before the configuration is read', async (line, message) => {
    expect(await runCli([...line.split(' '), '-c', '/no/1'])).toBe(2);
    expect(err).toContain(message);
  });

  it.each<[string, string, string | null]>([
    ['-o json restore a --att x', "unknown option '--att'", 'did you mean --at?'],
    [
      'restore a --bogus --output=json',
      "unknown option '--bogus'",
      'see how: tidemark restore --help',
    ],
    ['windows -ojson', "missing required argument 'id'", 'see how: tidemark windows --help'],
  ])('is one line of JSON when that is asked for: %s', async (line, message, hint) => {
    expect(await runCli(line.split(' '))).toBe(2);
    expect(JSON.parse(err)).toEqual({
      error: { code: 'TM_USAGE', exitCode: 2, message, hint, context: {} },
    });
  });
});

describe('-c and -o', () => {
  it('may stand before and after the command; the nearest counts', async () => {
    expect(await configOf('-c', '/no/1', 'windows', 'a')).toBe('/no/1');
    expect(await configOf('windows', 'a', '-c', '/no/2')).toBe('/no/2');
    expect(await configOf('windows', '--config=/no/3', 'a')).toBe('/no/3');
    expect(await configOf('-c', '/no/1', 'backup', 'list', 'a', '-c', '/no/4')).toBe('/no/4');
    expect(await configOf('-c', '/no/1', 'backup', 'list', 'a')).toBe('/no/1');
  });

  it('come before the environment, which comes before the default', async () => {
    vi.stubEnv('TIDEMARK_CONFIG', '/no/env');
    expect(await configOf('windows', 'a')).toBe('/no/env');
    expect(await configOf('-c', '/no/1', 'windows', 'a')).toBe('/no/1');
    expect(await configOf('windows', 'a', '-c', '/no/2')).toBe('/no/2');
    vi.unstubAllEnvs();
    expect(await configOf('windows', 'a')).toBe('tidemark.toml');
  });

  it('a folder is no configuration, and an empty environment names none', async () => {
    expect(await configOf('windows', 'a', '-c', '/')).toBe('/');
    expect(err).toContain('(EISDIR)');
    expect(err).toContain('hint: name the file in it');
    vi.stubEnv('TIDEMARK_CONFIG', '');
    expect(await configOf('windows', 'a')).toBe('tidemark.toml');
  });

  it.each([
    '-o json windows a -c /no/1',
    'windows -o json a -c /no/1',
    '-c /no/1 windows a -ojson',
  ])('print an error as JSON: %s', async (line) => {
    expect(await runCli(line.split(' '))).toBe(2);
    expect(JSON.parse(err)).toMatchObject({ error: { code: 'TM_CONFIG', exitCode: 2 } });
  });

  it('of the sub-command wins over that before it', async () => {
    await runCli(['-o', 'json', '-c', '/no/1', 'windows', 'a', '-o', 'text']);
    expect(err).toMatch(/^error\[2\]: cannot read/);
  });
});

describe('runCli()', () => {
  it('does nothing where Node.js was told to verify nothing, but helps', async () => {
    vi.stubEnv('NODE_TLS_REJECT_UNAUTHORIZED', '0');
    for (const line of ['serve archiver', 'status', 'repo verify', 'init --dir /no/1']) {
      err = '';
      expect(await runCli([...line.split(' '), '-c', '/no/1', '-o', 'json'])).toBe(2);
      expect(JSON.parse(err), line).toMatchObject({ error: { code: 'TM_TLS_SETTINGS' } });
    }
    err = '';
    expect(await runCli(['status', '--help'])).toBe(0);
    expect(await runCli(['--version'])).toBe(0);
    expect(err).toBe('');
    vi.stubEnv('NODE_TLS_REJECT_UNAUTHORIZED', '1');
    expect(await configOf('status', '-c', '/no/1')).toBe('/no/1');
  });

  it('leaves no listener for signals behind', async () => {
    const before = process.listenerCount('SIGTERM');
    await runCli(['windows', 'a', '-c', '/no/1']);
    expect(process.listenerCount('SIGTERM')).toBe(before);
  });
});
