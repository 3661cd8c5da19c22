import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startRedis, type RedisServer } from '../support/redis-server.ts';
import { TempDir } from '../support/temp-dir.ts';
import {
  iso,
  runTidemark,
  secondOf,
  Tidemark,
  type RestoreDocument,
  type WindowsDocument,
} from '../support/tidemark-cli.ts';

const ID = 'shop';
const OWNER_WAIT_S = 60;

let tidemark: Tidemark;
let source: RedisServer;
let target: RedisServer;
let redis: Redis;
let proven: WindowsDocument;

const first = (): number => secondOf(proven.earliest ?? '');
const last = (): number => secondOf(proven.latest ?? '');
const toTarget = (): string => `redis://127.0.0.1:${target.port}`;

beforeAll(async () => {
  [tidemark, source, target] = await Promise.all([
    Tidemark.init(),
    startRedis({ config: { 'aof-timestamp-enabled': 'no' } }),
    startRedis({ aof: false }),
  ]);
  redis = await source.connect();
  await tidemark.add(ID, source);
  await tidemark.serve();
  for (let i = 0; i < 30; i++) {
    await redis.pipeline().set(`key:${i}`, i).set(`session:${i}`, i, 'PX', 1_500).exec();
    await delay(100);
  }
  proven = await tidemark.untilProven(ID, Math.floor(Date.now() / 1000));
});

afterAll(async () => {
  for (const part of [tidemark, source, target]) await part[Symbol.asyncDispose]();
});

describe.concurrent('help', () => {
  it('teaches the commands, the times, the exit codes and the way from nothing to a restore', async () => {
    const { code, out, err } = await runTidemark(['--help']);
    expect([code, err]).toEqual([0, '']);
    for (const name of ['init', 'instance', 'serve', 'backup', 'windows', 'restore', 'status']) {
      expect(out).toMatch(new RegExp(`^  ${name} `, 'm'));
    }
    expect(out).toMatch(
      /instance add .*\\\n.* --aof-dir .*\n.*serve archiver\n.*windows .*\n.*restore .*/,
    );
    expect(out).toContain('13 time not restorable');
    expect(out).toContain('-15m');
  });

  it.each([
    [
      ['restore', '--help'],
      ['--at <time>', '--no-promote', '--dry-run', '--resume <rid>'],
    ],
    [
      ['instance', 'add', '--help'],
      ['--aof-dir <path>', '--pass-file <file>', '--yes'],
    ],
    [['serve', 'archiver', '--help'], ['--take-over']],
    [
      ['init', '--help'],
      ['--adopt <url>', '--keyring <path>'],
    ],
  ])('of %j names the flags', async (args, flags) => {
    const { code, out } = await runTidemark(args);
    expect(code).toBe(0);
    for (const flag of flags) expect(out).toContain(flag);
  });
});

describe('-o json prints one document on standard output', () => {
  it('for commands that look', async () => {
    const show = await tidemark.json<object>('instance', 'show', ID);
    expect(show).toMatchObject({ instance: ID, pinClass: 'pinned', timestamps: 'yes' });
    const list = await tidemark.json<{ readonly instances: readonly object[] }>('instance', 'list');
    expect(list.instances).toMatchObject([{ id: ID, aofDir: source.aofDir }]);
    const status = await tidemark.json<object>('status');
    const capture = { state: 'caught-up' };
    expect(status).toMatchObject({ instances: [{ instance: ID, holes: 0, capture }] });
    expect(await tidemark.json<object>('doctor')).toMatchObject({ healthy: true });
  });

  it('for windows: RFC 3339 whole seconds, ranges and holes', () => {
    const { earliest, latest } = proven;
    expect(proven).toEqual({
      instance: ID,
      earliest: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/) as string,
      latest: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/) as string,
      provenTo: latest,
      shards: [
        {
          ...{ shard: '0', pins: 'pinned' },
          ...{ ranges: [{ from: earliest, to: latest }], holes: [] },
        },
      ],
    });
  });

  it('for backups, and each can be restored', async () => {
    const made = await tidemark.json<{ readonly id: string; readonly offset: string }>(
      ...['backup', 'create', ID, '--wait'],
    );
    expect(made).toMatchObject({ mode: 'manual', state: 'complete', keys: 30 });
    const { backups } = await tidemark.json<{
      readonly backups: readonly { readonly id: string }[];
    }>(...['backup', 'list', ID]);
    expect(backups.map(({ id }) => id)).toContain(made.id);
    const plan = await tidemark.json<RestoreDocument>(
      ...['restore', ID, '--backup', made.id, '--to', toTarget(), '--dry-run'],
    );
    expect(plan).toMatchObject({ state: 'planned', commands: 0, cut: { offset: made.offset } });
  });

  it('for the store', async () => {
    const found = await tidemark.json<object>('repo', 'verify');
    expect(found).toMatchObject({ instances: 1, faultCount: 0 });
    const rebuilt = await tidemark.json<{ readonly entries: number }>('repo', 'rebuild-catalog');
    expect(rebuilt.entries).toBeGreaterThan(3);
    expect((await tidemark.windows(ID)).earliest).toBe(proven.earliest);
  });
});

describe('restore', () => {
  it('writes nothing in a dry run', async () => {
    const plan = await tidemark.json<RestoreDocument>(
      ...['restore', ID, '--at', iso(last()), '--to', toTarget(), '--dry-run'],
    );
    expect(plan).toMatchObject({ state: 'planned', at: iso(last()), ttl: 'absolute' });
    const client = await target.connect();
    expect(await client.dbsize()).toBe(0);
    expect(await client.info('replication')).toMatch(/role:master/);
  });

  it.each(['@', '-', 'latest', '+08:00'])('takes a time written with %j', async (form) => {
    const second = Math.floor((first() + last()) / 2);
    const east = iso(second + 8 * 3_600).replace('Z', '+08:00');
    const ago = `-${Math.ceil(Date.now() / 1000 - second)}s`;
    const at = { '@': `@${second}`, '-': ago, latest: 'latest', '+08:00': east }[form] ?? '';
    const plan = await tidemark.json<RestoreDocument>(
      ...['restore', ID, '--at', at, '--to', toTarget(), '--dry-run'],
    );
    if (form === '@' || form === '+08:00') expect(plan.at).toBe(iso(second));
    expect(secondOf(plan.at ?? '')).toBeGreaterThanOrEqual(second - 2);
  });

  it('starts a new server, stops before the promotion and promotes when it goes on', async () => {
    await using dir = await TempDir.create();
    const newServer = ['--to', 'new', '--dir', join(dir.path, 'new')];
    const replayed = await tidemark.json<RestoreDocument>(
      ...['restore', ID, '--at', iso(last()), ...newServer, '--no-promote'],
    );
    const client = new Redis(replayed.target, { retryStrategy: () => null });
    try {
      expect(replayed.state).toBe('replayed');
      expect(replayed.keys).toBe(30 + replayed.vanishing);
      expect(await client.info('replication')).toMatch(/role:slave/);
      await expect(client.call('DEBUG', 'DIGEST')).rejects.toThrow('DEBUG command not allowed');
      const resumed = await tidemark.json<RestoreDocument>('restore', ID, '--resume', replayed.id);
      const { target: address, cut } = replayed;
      expect(resumed).toMatchObject({ state: 'succeeded', target: address, cut });
      expect(await client.info('replication')).toMatch(/role:master/);
      expect(await client.config('GET', 'appendonly')).toEqual(['appendonly', 'yes']);
      expect(await client.get('key:7')).toBe('7');
    } finally {
      await client.call('SHUTDOWN', 'NOSAVE').catch(() => undefined);
      client.disconnect();
    }
  });

  it('makes a server of its own, as of a second of the past', async () => {
    await using dir = await TempDir.create();
    const password = 'Correct-Horse-7';
    await writeFile(join(dir.path, 'pass'), password, { mode: 0o600 });
    const second = last() - 2;
    const clone = ['clone', ID, '--at', iso(second), '--to', 'local', '--name', 'of-the-past'];
    const made = await tidemark.json<{ readonly result: { readonly url: string } }>(
      ...[...clone, '--pass-file', join(dir.path, 'pass'), '--sample', '20'],
    );
    const client = new Redis(made.result.url, { password, retryStrategy: () => null });
    try {
      const then = await tidemark.restore(ID, second, target);
      await tidemark.json('restore', ID, '--abort', then.id);
      expect((await client.keys('key:*')).length).toBe(then.keys - then.vanishing);
      expect(await client.get('key:0')).toBe('0');
    } finally {
      await client.call('SHUTDOWN', 'NOSAVE').catch(() => undefined);
      client.disconnect();
    }
  });

  it('leaves the target empty and a master when it is called off', async () => {
    const { id } = await tidemark.restore(ID, last(), target);
    const client = await target.connect();
    expect(await client.dbsize()).toBeGreaterThan(0);
    const aborted = await tidemark.json<RestoreDocument>('restore', ID, '--abort', id);
    expect(aborted.state).toBe('aborted');
    expect(await client.dbsize()).toBe(0);
    expect(await client.info('replication')).toMatch(/role:master/);
    expect(await client.config('GET', 'replica-read-only')).toEqual(['replica-read-only', 'yes']);
  });
});

describe.concurrent('exit code 2: usage', () => {
  const to = (): string[] => ['--to', toTarget()];
  it.each([
    ['an unknown command', () => ['restor', ID]],
    ['an unknown flag', () => ['windows', ID, '--all']],
    ['a missing argument', () => ['windows']],
    ['a missing flag', () => ['instance', 'add', 'x']],
    ['two points at once', () => ['restore', ID, '--at', 'latest', '--offset', '0', ...to()]],
    ['no point', () => ['restore', ID, ...to()]],
    ['no target', () => ['restore', ID, '--at', 'latest']],
    ['a wrong choice', () => ['restore', ID, '--at', 'latest', ...to(), '--ttl', 'never']],
    ['a wrong port', () => ['restore', ID, '--at', 'latest', '--to', 'new', '--port', '70000']],
  ])('%s', async (_, args) => {
    const { code, out, err } = await tidemark.run(...args());
    expect(code, err).toBe(2);
    expect(out).toBe('');
    expect(err).toMatch(/^error/m);
  });

  it.each([
    ['2026-11-19T11:02:10', /Z|offset/],
    ['2026-11-19T11:02:10.5Z', /whole seconds/],
    ['2026-02-31T00:00:00Z', /calendar|day/],
    ['yesterday', /-15m/],
  ])('the time %j is refused and the right way to write it shown', async (at, hint) => {
    const error = await tidemark.refused(2, 'restore', ID, '--at', at, '--to', toTarget());
    expect(error.code).toBe('TM_TIME_SYNTAX');
    expect(error.hint).toMatch(hint);
  });

  it('a configuration that is not there names the command that makes one', async () => {
    const { code, err } = await runTidemark(['-c', '/nowhere/tidemark.toml', 'windows', ID]);
    expect(code).toBe(2);
    expect(err).toMatch(/tidemark init --dir/);
  });

  it('a node whose append-only file is off names the command that switches it on', async () => {
    const url = toTarget();
    const flags = ['-u', url, '--aof-dir', target.aofDir, '--yes'];
    const error = await tidemark.refused(2, 'instance', 'add', 'off', ...flags);
    expect(error.code).toBe('TM_AOF_OFF');
    expect(error.hint).toContain('CONFIG SET appendonly yes');
  });
});

describe.concurrent('exit code 10: not found', () => {
  it.each([
    ['windows', ['windows', 'nobody']],
    ['backups', ['backup', 'list', 'nobody']],
    ['an instance', ['instance', 'show', 'nobody']],
    ['an instance to remove', ['instance', 'remove', 'nobody']],
    ['a restore', ['restore', 'nobody', '--at', 'latest', '--to', 'new']],
    ['a restore to go on with', ['restore', ID, '--resume', 'rs-nobody']],
    ['a backup', ['restore', ID, '--backup', 'bk-nobody', '--to', 'new']],
  ])('%s', async (_, args) => {
    expect((await tidemark.refused(10, ...args)).code).toBe('TM_NOT_FOUND');
  });
});

describe('exit code 11: owned by another archiver', () => {
  it('a second archiver on the same state folder', async () => {
    const error = await tidemark.refused(11, 'serve', 'archiver');
    expect(error.code).toBe('TM_LOG_OWNER');
  });

  it('a second archiver from elsewhere, told how long to wait and how to take over', async () => {
    const store = `file://${join(tidemark.dir, 'store')}`;
    const flags = ['--adopt', store, '--keyring', join(tidemark.dir, 'ring')];
    await using other = await Tidemark.init(flags);
    await other.add(ID, source);
    const error = await other.refused(11, 'serve', 'archiver');
    expect(error.code).toBe('TM_LOG_OWNER');
    expect(Number(error.context['waitMs'])).toBeLessThanOrEqual(OWNER_WAIT_S * 1_000);
    expect(error.hint).toMatch(/wait \d+ s.*--take-over/);
  });
});

describe('other exit codes', () => {
  it('12: a store with the keys of another', async () => {
    await using stranger = await Tidemark.init();
    const store = `file://${join(tidemark.dir, 'store')}`;
    await using dir = await TempDir.create();
    const adopt = ['init', '--dir', join(dir.path, 'new'), '--adopt', store, '--keyring'];
    const wrong = await runTidemark([...adopt, join(stranger.dir, 'ring')]);
    expect(wrong.code, wrong.err).toBe(12);
    await rm(join(dir.path, 'new'), { recursive: true, force: true });
    const missing = await runTidemark([...adopt, join(dir.path, 'no-ring')]);
    expect(missing.code, missing.err).toBe(12);
  });

  it('13: a time outside the windows, with the nearest seconds', async () => {
    const flags = ['--to', toTarget()];
    const early = await tidemark.refused(13, 'restore', ID, '--at', iso(first() - 5), ...flags);
    expect(early.code).toBe('TM_TIME_NOT_RESTORABLE');
    expect(early.context).toMatchObject({ nearestBefore: null, nearestAfter: first() });
    expect(early.hint).toContain(iso(first()));
    expect(early.message).toContain(`history begins at ${iso(first())}`);
    const future = iso(Math.floor(Date.now() / 1000) + 3_600);
    const late = await tidemark.refused(13, 'restore', ID, '--at', future, ...flags);
    expect(late.context).toMatchObject({ nearestAfter: null });
    expect(Number(late.context['nearestBefore'])).toBeGreaterThanOrEqual(last());
    expect(late.message).toContain('the last second so far is');
  });

  it('1: a new server on a port that is in use; nothing is left of it', async () => {
    const flags = ['--at', iso(last()), '--to', 'new', '--port', source.port.toString()];
    const error = await tidemark.refused(1, 'restore', ID, ...flags);
    expect(error).toMatchObject({ code: 'TM_SERVER_START', context: { port: source.port } });
    expect(error.message).toBe(`port ${source.port.toString()} is in use`);
    const { servers } = await tidemark.json<{ servers: { address: string }[] }>('servers', 'list');
    expect(servers.filter(({ address }) => address.endsWith(`:${source.port}`))).toEqual([]);
  });

  it('15: a target that holds data, which stays', async () => {
    await using full = await startRedis({ aof: false });
    const client = await full.connect();
    await client.set('precious', 1);
    const flags = ['--at', iso(last()), '--to', `redis://127.0.0.1:${full.port}`];
    const error = await tidemark.refused(15, 'restore', ID, ...flags);
    expect(error.code).toBe('TM_TARGET_NOT_EMPTY');
    expect(error.hint).toContain('--yes');
    expect(await client.get('precious')).toBe('1');
  });

  it('1: the node of an instance, which is emptied only when its id is typed', async () => {
    const flags = ['--at', iso(last()), '--to', `redis://127.0.0.1:${source.port}`, '--yes'];
    for (const confirm of [[], ['--confirm', 'other']]) {
      const error = await tidemark.refused(2, 'restore', ID, ...flags, ...confirm);
      expect(error).toMatchObject({ code: 'TM_WRITE_CONSENT', context: { instance: ID } });
      expect(error.hint).toContain(`--confirm ${ID}`);
    }
    expect(await redis.get('key:7')).toBe('7');
    // One that holds nothing is refused for nothing but what it is: its append-only file is tailed.
    await using other = await startRedis();
    await tidemark.add('empty', other);
    const into = ['--at', iso(last()), '--to', `redis://127.0.0.1:${other.port}`, '--yes'];
    const { state } = await tidemark.json<RestoreDocument>('restore', ID, ...into);
    expect(state).toBe('succeeded');
  });

  it('16: a target that does not answer, and an archiver that does not run', async () => {
    const gone = await startRedis({ aof: false });
    await gone[Symbol.asyncDispose]();
    const flags = ['--at', iso(last()), '--to', `redis://127.0.0.1:${gone.port}`];
    expect((await tidemark.refused(16, 'restore', ID, ...flags)).code).toBe('TM_NODE_UNREACHABLE');
    await using idle = await Tidemark.init();
    const error = await idle.refused(16, 'backup', 'create', ID, '--wait');
    expect(error.code).toBe('TM_ARCHIVER_DOWN');
  });
});

describe('instance remove', () => {
  it('puts the time stamps back, and the history stays', async () => {
    expect(await redis.config('GET', 'aof-timestamp-enabled')).toContain('yes');
    await tidemark.json('instance', 'remove', ID);
    expect(await redis.config('GET', 'aof-timestamp-enabled')).toContain('no');
    expect((await tidemark.windows(ID)).earliest).toBe(proven.earliest);
  });
});
