import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { diffOracle, readOracle } from '../support/oracle.ts';
import { knock } from '../support/knock.ts';
import { startRedis, type RedisServer, type StartRedisOptions } from '../support/redis-server.ts';
import {
  Tidemark,
  type ArchiverProcess,
  type CliError,
  type RestoreDocument,
} from '../support/tidemark-cli.ts';

/** Captured by an ACL user; its data reach up to database 20. */
const ID = 'guarded';
/** Captured by the default user with `requirepass`. */
const PLAIN = 'plain';
const SECRETS = {
  admin: 'admin-secret-5c1d9e',
  capture: 'capture-secret-77ab02',
  restore: 'restore-secret-e1f6c3',
} as const;
type Role = keyof typeof SECRETS;

const SERVER = { databases: '32' };
/** So that a right to switch settings is needed, and one to save. */
const SOURCE = { ...SERVER, 'aof-timestamp-enabled': 'no' };
const TARGET = { ...SERVER, save: '3600 1' };

let tidemark: Tidemark;
let source: RedisServer;
let plain: RedisServer;
let target: RedisServer;
let sourceAdmin: Redis;
let targetAdmin: Redis;
let archiver: ArchiverProcess;
/** Everything that the command line and the archiver have printed. */
const printed: string[] = [];

beforeAll(async () => {
  [tidemark, source, plain, target] = await Promise.all([
    Tidemark.init(),
    startRedis({ config: SOURCE }),
    startRedis({ config: SERVER }),
    startRedis({ aof: false, config: TARGET }),
  ]);
  for (const [name, secret] of Object.entries(SECRETS)) {
    await writeFile(fileOf(name as Role), `${secret}\n`, { mode: 0o600 });
  }
  sourceAdmin = await guard(source, 'capture');
  targetAdmin = await guard(target, 'restore');
  const plainAdmin = await guard(plain, null);
  await sourceAdmin.set('key', 'value');
  await sourceAdmin.set('short', 'life', 'PX', 4_000);
  await sourceAdmin.select(20);
  await sourceAdmin.hset('hash', { field: 'value' });
  await sourceAdmin.select(0);
  await plainAdmin.set('key', 'value');
});

afterAll(async () => {
  for (const part of [tidemark, source, plain, target]) await part[Symbol.asyncDispose]();
});

describe('(g) each right of docs/acl.md', () => {
  it('is needed by the user that captures, and named when it is missing', async () => {
    const rights = (await ruleOf('capture')).filter((word) => word.startsWith('+'));
    for (const right of rights.filter((word) => word !== '+bgrewriteaof')) {
      await without(sourceAdmin, 'capture', right, async () => {
        expectNamed(await refusedToAdd(), right);
      });
    }
    expect(await sourceAdmin.config('GET', 'aof-timestamp-enabled')).toContain('no');
    await add(ID, source, 'capture');
    await add(PLAIN, plain, 'admin', '');
    archiver = await tidemark.serve();
    await tidemark.untilProven(ID, Math.floor(Date.now() / 1000));
    await without(sourceAdmin, 'capture', '+bgrewriteaof', async () => {
      const error = await refused(1, 'backup', 'create', ID, '--wait');
      expectNamed(error, '+bgrewriteaof');
    });
  });

  it('is needed by the user that restores, and named before anything is sent', async () => {
    const rights = (await ruleOf('restore')).filter((word) => /^\+|allkeys/.test(word));
    const before = await stateOf(targetAdmin);
    for (const right of rights.filter((word) => word !== '+bgrewriteaof')) {
      await without(targetAdmin, 'restore', right, async () => {
        expectNamed(await refusedRestore(), right);
      });
    }
    expect(await stateOf(targetAdmin)).toEqual(before);
    await targetAdmin.config('SET', 'appendonly', 'yes');
    await without(targetAdmin, 'restore', '+bgrewriteaof', async () => {
      expectNamed(await refusedRestore(), '+bgrewriteaof');
    });
    await targetAdmin.config('SET', 'appendonly', 'no');
  });
});

describe('(g) users with these rights, and passwords', () => {
  it('are enough to capture, to back up and to restore', async () => {
    await json('backup', 'create', ID, '--wait');
    const expected = await readOracle(sourceAdmin);
    const before = await stateOf(targetAdmin);
    const { id } = await restoreAs('restore', ID, '--no-promote');
    expect(diffOracle(expected, await readOracle(targetAdmin))).toEqual([]);
    await json('restore', ID, '--abort', id);
    expect(await stateOf(targetAdmin)).toEqual(before);
    const { state } = await restoreAs('restore', ID);
    expect(state).toBe('succeeded');
    expect(await targetAdmin.get('key')).toBe('value');
    await targetAdmin.flushall();
  });

  it('of the default user are enough too', async () => {
    await tidemark.untilProven(PLAIN, Math.floor(Date.now() / 1000));
    const { state } = await restoreAs('admin', PLAIN);
    expect(state).toBe('succeeded');
    expect(await targetAdmin.get('key')).toBe('value');
    await targetAdmin.flushall();
  });

  it('a wrong and a missing password are refused on both sides', async () => {
    const before = await stateOf(targetAdmin);
    const wrong = ['--pass-file', fileOf('admin')];
    const adding = ['instance', 'add', 'other', '--aof-dir', source.aofDir];
    const restoring = ['restore', ID, '--at', 'latest'];
    const errors = [
      await refused(1, ...adding, '-u', urlOf(source, 'capture'), ...wrong),
      await refused(1, ...adding, '-u', urlOf(source, 'nobody'), ...wrong),
      await refused(1, ...adding, '-u', urlOf(source)),
      await refused(1, ...restoring, '--to', urlOf(target, 'restore'), ...wrong),
      await refused(1, ...restoring, '--to', urlOf(target)),
    ];
    expect(errors.map(({ code }) => code)).toEqual(Array(5).fill('TM_NODE_AUTH'));
    expect(await stateOf(targetAdmin)).toEqual(before);
    const inUrl = urlOf(source, `capture:${SECRETS.capture}`);
    const error = await refused(2, ...adding, '-u', inUrl);
    printed.pop(); // what it must not repeat stands in the arguments of this very call
    expect(JSON.stringify(error)).not.toContain(SECRETS.capture);
  });
});

describe('(g) targets that cannot take the data are refused untouched', () => {
  /** Starts a target and tries a restore into it. */
  async function expectUnfit(
    config: StartRedisOptions['config'],
    code: string,
    prepare: (client: Redis, server: RedisServer) => Promise<void> = () => Promise.resolve(),
  ): Promise<CliError> {
    await using server = await startRedis({ aof: false, config: { ...SERVER, ...config } });
    const client = await server.connect();
    await prepare(client, server);
    const before = await stateOf(client);
    const error = await refused(null, 'restore', ID, '--at', 'latest', '--to', urlOf(server));
    expect(error.code).toBe(code);
    expect(error.hint).not.toBeNull();
    expect(await stateOf(client)).toEqual(before);
    return error;
  }

  it('one with too few databases', async () => {
    const error = await expectUnfit({ databases: '16' }, 'TM_TARGET_DATABASES');
    expect(error.context).toMatchObject({ databases: 16, needed: 21 });
  });

  it('one that would evict', async () => {
    const limit = { maxmemory: '1mb', 'maxmemory-policy': 'allkeys-lru' };
    await expectUnfit(limit, 'TM_TARGET_MEMORY');
  });

  it('one that holds data (exit 15)', async () => {
    const error = await expectUnfit({}, 'TM_TARGET_NOT_EMPTY', async (client) => {
      await client.set('mine', '1');
    });
    expect(error.exitCode).toBe(15);
    const functions = await expectUnfit({}, 'TM_TARGET_NOT_EMPTY', async (client) => {
      const code = "#!lua name=mine\nredis.register_function('mine', function() end)";
      await client.call('FUNCTION', 'LOAD', code);
    });
    expect(functions.exitCode).toBe(15);
  });

  it('one with a replica, and a replica', async () => {
    await using replica = await startRedis({ aof: false, config: SERVER });
    const client = await replica.connect();
    await expectUnfit({}, 'TM_TARGET_REPLICAS', async (master, { port }) => {
      await client.replicaof('127.0.0.1', port);
      while (!(await master.info('replication')).includes('state=online')) await delay(20);
      expect(await refused(1, ...restoreInto(replica))).toMatchObject({
        code: 'TM_TARGET_REPLICAS',
      });
    });
  });

  it('one that cannot be reached (exit 16)', async () => {
    const server = await startRedis({ aof: false });
    await server[Symbol.asyncDispose]();
    expect(await refused(16, ...restoreInto(server))).toMatchObject({
      code: 'TM_NODE_UNREACHABLE',
    });
  });
});

describe('(g) secrets', () => {
  it('are needed by whoever connects to the feed of a restore', async () => {
    const child = tidemark.spawn(
      ...restoreInto(target, 'restore'),
      ...['--pass-file', fileOf('restore'), '--no-promote', '-o', 'json'],
    );
    const exited = once(child, 'exit');
    for (const stream of [child.stdout, child.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => printed.push(text));
    }
    // The record is written when the feed listens: the target stands still before it has the data.
    const record = await firstRecord();
    process.kill(target.pid, 'SIGSTOP');
    const { port, user, password } = record.feed;
    const answers = [
      await knock(port, [['PSYNC', '?', '-1']]),
      await knock(port, [
        ['AUTH', user, 'guess'],
        ['PSYNC', '?', '-1'],
      ]),
      await knock(port, [['AUTH', 'default', ''], ['REPLCONF', 'capa', 'eof'], ['SYNC']]),
      await knock(port, [
        ['GET', 'key'],
        ['DUMP', 'key'],
        ['PSYNC', record.feed.replicationId, '1'],
      ]),
    ];
    const commands = execFileSync('ps', ['-eo', 'args'], { encoding: 'utf8' });
    process.kill(target.pid, 'SIGCONT');
    expect(await exited).toEqual([0, null]);
    expect(answers.map(({ connected }) => connected)).toEqual([true, true, true, true]);
    for (const { said } of answers) expect(said).toMatch(/^(-[A-Z]+ [^\r]*\r\n)*$/);
    await json('restore', ID, '--abort', record.id);
    expect(commands).toContain(tidemark.config);
    for (const secret of [...Object.values(SECRETS), password]) {
      expect(commands).not.toContain(secret);
      expect(printed.join('')).not.toContain(secret);
    }
  });

  it('stand in no log and no result', async () => {
    for (const command of [['status'], ['doctor'], ['windows', ID], ['instance', 'show', ID]]) {
      const { out, err } = await tidemark.run(...command);
      printed.push(out, err);
    }
    printed.push(archiver.log);
    expect(printed.length).toBeGreaterThan(40);
    const config = await readFile(tidemark.config, 'utf8');
    for (const secret of Object.values(SECRETS)) {
      expect(printed.join('\n')).not.toContain(secret);
      expect(config).not.toContain(secret);
    }
  });
});

interface FeedRecord {
  readonly id: string;
  readonly feed: {
    readonly port: number;
    readonly user: string;
    readonly password: string;
    readonly replicationId: string;
  };
}

async function firstRecord(): Promise<FeedRecord> {
  const dir = join(tidemark.dir, 'state', 'restores');
  for (;;) {
    const name = (await readdir(dir).catch(() => [])).find((file) => file.endsWith('.json'));
    const record = name === undefined ? null : await readFile(join(dir, name), 'utf8');
    const known = record === null ? null : (JSON.parse(record) as FeedRecord);
    // It is written before there is a feed, and again when that listens.
    if (known !== null && known.feed.port > 0) return known;
    await delay(1);
  }
}

/** The rule of docs/acl.md: what is tested here is what is documented there. */
async function ruleOf(role: string): Promise<string[]> {
  const text = await readFile(new URL('../../docs/acl.md', import.meta.url), 'utf8');
  const rule = new RegExp(`ACL SETUSER ${role} on >PASSWORD (.*)`).exec(text)?.[1];
  if (rule === undefined) throw new Error(`docs/acl.md has no rule for ${role}`);
  return rule.trim().split(' ');
}

/** Gives a server a password and the user of a role. @returns A connection of the default user. */
async function guard(server: RedisServer, role: 'capture' | 'restore' | null): Promise<Redis> {
  const client = await server.connect();
  if (role !== null) {
    const rule = await ruleOf(role);
    await client.call('ACL', 'SETUSER', role, 'on', `>${SECRETS[role]}`, ...rule);
  }
  await client.config('SET', 'requirepass', SECRETS.admin);
  return server.connect({ password: SECRETS.admin });
}

/** Takes a right from a user for the time of some work. */
async function without(
  admin: Redis,
  user: string,
  right: string,
  work: () => Promise<void>,
): Promise<void> {
  const all = right === 'allkeys';
  await admin.call('ACL', 'SETUSER', user, all ? 'resetkeys' : right.replace('+', '-'));
  await work();
  await admin.call('ACL', 'SETUSER', user, right);
}

/** The command of a right is named; that of `allkeys` is one that needs a key. */
function expectNamed(error: CliError, right: string): void {
  const command = right === 'allkeys' ? 'EXISTS' : right.slice(1).replace('|', ' ').toUpperCase();
  expect([error.code, error.message]).toEqual([
    'TM_NODE_RIGHTS',
    expect.stringMatching(new RegExp(`\\b${command}\\b`)),
  ]);
  expect(error.hint).toMatch(/ACL SETUSER/);
}

function fileOf(role: Role): string {
  return join(tidemark.dir, `${role}.pass`);
}

function urlOf(server: RedisServer, user = ''): string {
  return `redis://${user === '' ? '' : `${user}@`}127.0.0.1:${server.port}`;
}

const restoreInto = (server: RedisServer, user = ''): string[] => [
  ...['restore', ID, '--at', 'latest', '--to', urlOf(server, user)],
];

async function json<T>(...args: readonly string[]): Promise<T> {
  const result = await tidemark.json<T>(...args);
  printed.push(JSON.stringify(result));
  return result;
}

async function refused(code: number | null, ...args: readonly string[]): Promise<CliError> {
  const { code: ended, out, err } = await tidemark.run(...args, '-o', 'json');
  printed.push(out, err);
  const line = err.split('\n').findLast((text) => text.startsWith('{"error"'));
  if (line === undefined) throw new Error(`${args.join(' ')} ended with ${ended}: ${out}${err}`);
  if (code !== null) expect(ended, line).toBe(code);
  return (JSON.parse(line) as { readonly error: CliError }).error;
}

function refusedToAdd(): Promise<CliError> {
  const place = ['-u', urlOf(source, 'capture'), '--aof-dir', source.aofDir];
  return refused(1, 'instance', 'add', ID, ...place, '--pass-file', fileOf('capture'), '--yes');
}

function refusedRestore(): Promise<CliError> {
  return refused(1, ...restoreInto(target, 'restore'), '--pass-file', fileOf('restore'));
}

async function add(
  id: string,
  server: RedisServer,
  role: Role,
  user: string = role,
): Promise<void> {
  const place = ['-u', urlOf(server, user), '--aof-dir', server.aofDir];
  await json('instance', 'add', id, ...place, '--pass-file', fileOf(role), '--yes');
}

function restoreAs(role: Role, id: string, ...flags: string[]): Promise<RestoreDocument> {
  const to = urlOf(target, role === 'admin' ? '' : role);
  const place = ['--at', 'latest', '--to', to, '--pass-file', fileOf(role)];
  return json<RestoreDocument>('restore', id, ...place, ...flags);
}

/** All that a refused restore must leave as it was. */
async function stateOf(client: Redis): Promise<unknown> {
  const info = await client.info('replication');
  return {
    keys: await client.dbsize(),
    role: /role:(\w+)/.exec(info)?.[1],
    replicas: /connected_slaves:(\d+)/.exec(info)?.[1],
    functions: await client.call('FUNCTION', 'LIST'),
    settings: await client.config('GET', '*'),
  };
}
