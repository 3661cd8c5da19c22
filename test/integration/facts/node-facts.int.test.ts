import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import { describe, expect, it } from 'vitest';
import { startRedis, type RedisServer } from '../../support/redis-server.ts';
import { describeWithServer } from '../../support/servers.ts';
import { iso, Tidemark } from '../../support/tidemark-cli.ts';

const ID = 'orders';
const PASSWORD = 'a password of alice';
const SECRET = 'a secret of the node';
const HASH = /#[0-9a-f]{64}/;

interface FactsDocument {
  readonly taken: string;
  readonly product: string;
  readonly version: string;
  readonly commands: number | null;
  readonly config: Readonly<Record<string, string>> | null;
  readonly secrets: readonly string[];
  readonly users: readonly { readonly name: string; readonly rules: string }[] | null;
  readonly unread: readonly { readonly part: string; readonly code: string }[];
}

interface PartDocument {
  readonly written: readonly string[];
  readonly left: readonly { readonly name: string; readonly reason: string }[];
}

interface RestoreDocument {
  readonly target: string;
  readonly warnings: readonly string[];
  readonly facts: { readonly acl: PartDocument; readonly config: PartDocument };
}

/** Waits until the second of the server's clock is over; that second. */
async function passSecond(client: Redis): Promise<number> {
  const [second, micros] = (await client.call('TIME')) as [string, string];
  await delay(1_010 - Number(micros) / 1000);
  return Number(second);
}

/** Changes the node and waits until the archiver, whose connection is ended, has seen it. */
async function change(tidemark: Tidemark, client: Redis): Promise<void> {
  await client.call('ACL', 'SETUSER', 'alice', '+set');
  await client.call('ACL', 'SETUSER', 'bob', 'on', '>of bob', '%R~r:*', '+get');
  await client.call('CONFIG', 'SET', 'slowlog-max-len', '99');
  await client.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
  for (;;) {
    const { users } = await tidemark.json<FactsDocument>('instance', 'facts', ID);
    if (users?.some(({ name }) => name === 'bob')) return;
    await delay(50);
  }
}

async function rulesOf(client: Redis, user: string): Promise<string | undefined> {
  const lines = (await client.call('ACL', 'LIST')) as string[];
  return lines.find((line) => line.startsWith(`user ${user} `));
}

async function settingOf(client: Redis, name: string): Promise<unknown> {
  return ((await client.call('CONFIG', 'GET', name)) as string[])[1];
}

/** A protected source with a user and settings, captured before and after a change of them. */
class Facts implements AsyncDisposable {
  readonly tidemark: Tidemark;
  readonly source: RedisServer;
  readonly client: Redis;
  /** The line of a user in ACL LIST before the change. */
  readonly alice: string;
  /** A second before and one after the change. */
  readonly before: number;
  readonly after: number;

  private constructor(parts: Omit<Facts, 'restore' | typeof Symbol.asyncDispose>) {
    this.tidemark = parts.tidemark;
    this.source = parts.source;
    this.client = parts.client;
    this.alice = parts.alice;
    this.before = parts.before;
    this.after = parts.after;
  }

  static async record(binary: string): Promise<Facts> {
    const tidemark = await Tidemark.init();
    const source = await startRedis({ binary });
    const client = await source.connect();
    await client.call('ACL', 'SETUSER', 'alice', 'on', `>${PASSWORD}`, '~cache:*', '+get');
    await client.call('CONFIG', 'SET', 'maxmemory-policy', 'allkeys-lfu');
    await client.call('CONFIG', 'SET', 'slowlog-max-len', '77');
    await client.call('CONFIG', 'SET', 'masterauth', SECRET);
    const alice = (await rulesOf(client, 'alice')) ?? '';
    await tidemark.add(ID, source);
    const archiver = await tidemark.serve();
    await archiver.until('node-facts');
    await client.set('cache:1', 'before');
    const before = await passSecond(client);
    await change(tidemark, client);
    await client.set('cache:1', 'after');
    const after = await passSecond(client);
    await tidemark.untilProven(ID, after);
    await archiver.stop();
    return new Facts({ tidemark, source, client, alice, before, after });
  }

  restore(second: number, to: string, ...flags: readonly string[]): Promise<RestoreDocument> {
    const words = ['restore', ID, '--at', iso(second), '--to', to];
    return this.tidemark.json<RestoreDocument>(...words, '--with-acl', '--with-config', ...flags);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.tidemark[Symbol.asyncDispose]();
    await this.source[Symbol.asyncDispose]();
  }
}

const LINES = [
  ['redis', '7.0'],
  ['redis', '8.0'],
  ['valkey', '9.1'],
] as const;

for (const [product, line] of LINES) {
  describeWithServer(product, line, 'facts of a node', ({ binary, version }) => {
    it('come back with the data as they were before and after a change', async () => {
      await using facts = await Facts.record(binary);
      const { tidemark, before, after, alice } = facts;
      const then = await tidemark.json<FactsDocument>('instance', 'facts', ID, '--at', iso(before));
      expect(then).toMatchObject({ product, version, unread: [] });
      expect(then.secrets).toContain('masterauth');
      expect(then.config).toMatchObject({ 'slowlog-max-len': '77', appendonly: 'yes' });
      expect(then.commands).toBeGreaterThan(200);
      expect(JSON.stringify(then)).not.toMatch(HASH);
      expect(JSON.stringify(then)).not.toContain(SECRET);

      await using target = await startRedis({ binary, aof: false });
      const client = await target.connect();
      const url = `redis://127.0.0.1:${target.port}`;
      const planned = await facts.restore(before, url, '--dry-run');
      expect(planned.facts.acl.written).toEqual(['alice']);
      expect(await rulesOf(client, 'alice')).toBeUndefined();
      const { facts: first } = await facts.restore(before, url);
      expect(await client.get('cache:1')).toBe('before');
      expect(first.acl.written).toEqual(['alice']);
      expect(await rulesOf(client, 'alice')).toBe(alice);
      expect(first.config.written).toEqual(
        expect.arrayContaining(['maxmemory-policy', 'slowlog-max-len']),
      );
      expect(await settingOf(client, 'slowlog-max-len')).toBe('77');
      expect(await settingOf(client, 'masterauth')).toBe('');
      const reasons = new Map(first.config.left.map(({ name, reason }) => [name, reason]));
      expect(reasons.get('masterauth')).toMatch(/secret/);
      expect(reasons.get('dir')).toMatch(/machine/);
      expect(reasons.get('appendonly')).toMatch(/persistence/);
      expect(await settingOf(client, 'appendonly')).toBe('no');

      const { facts: second } = await facts.restore(after, url, '--yes');
      expect(second.acl.written).toEqual(['alice', 'bob']);
      expect(await rulesOf(client, 'bob')).toBe(await rulesOf(facts.client, 'bob'));
      expect(await settingOf(client, 'slowlog-max-len')).toBe('99');
      const visitor = await target.connect({
        username: 'alice',
        password: PASSWORD,
        enableReadyCheck: false,
      });
      expect(await visitor.get('cache:1')).toBe('after');
      await expect(visitor.del('cache:1')).rejects.toThrow(/NOPERM/);
    });
  });
}

describe('facts of a node', () => {
  it('stand in a new server and stay there over its restart', async () => {
    await using facts = await Facts.record('redis-server');
    const dir = join(facts.tidemark.dir, 'restored');
    const shown = await facts.tidemark.run('instance', 'facts', ID);
    expect(shown.out).toContain('~cache:* ');
    expect(shown.out).toContain('set, but not stored: masterauth');
    expect(shown.out).not.toMatch(HASH);
    const at = ['--at', iso(facts.before), '--to', 'new', '--dry-run', '--with-acl'];
    const planned = await facts.tidemark.run('restore', ID, ...at);
    expect(planned.out).toMatch(/facts of redis 7\.0\.\d+, as of /);
    const { target, facts: done } = await facts.restore(facts.before, 'new', '--dir', dir);
    const port = Number(new URL(target).port);
    const client = await facts.source.connect({ port, host: '127.0.0.1' });
    try {
      expect(done.acl.written).toEqual(['alice']);
      expect(await rulesOf(client, 'alice')).toBe(facts.alice);
      await client.call('DEBUG', 'RESTART').catch(() => undefined);
      const again = await facts.source.connect({
        port,
        host: '127.0.0.1',
        retryStrategy: () => 100,
      });
      expect(await rulesOf(again, 'alice')).toBe(facts.alice);
      expect(await settingOf(again, 'slowlog-max-len')).toBe('77');
      await again.call('SHUTDOWN', 'NOSAVE').catch(() => undefined);
      again.disconnect();
    } finally {
      client.disconnect();
    }
  });

  it('that the user may not read are named, and never restored as if they were there', async () => {
    await using tidemark = await Tidemark.init();
    await using source = await startRedis();
    const client = await source.connect();
    await client.call(
      ...(['ACL', 'SETUSER', 'capture', 'on', '>pw', 'resetkeys', '-@all'] as const),
      ...['+info', '+time', '+multi', '+exec', '+discard', '+config|get', '+config|set'],
    );
    await client.call('CONFIG', 'SET', 'maxmemory-policy', 'allkeys-lru');
    const passFile = join(tidemark.dir, 'pass');
    await writeFile(passFile, 'pw\n', { mode: 0o600 });
    const url = `redis://capture@127.0.0.1:${source.port}`;
    const flags = ['--aof-dir', source.aofDir, '--pass-file', passFile, '--yes'];
    await tidemark.json('instance', 'add', ID, '-u', url, ...flags);
    const archiver = await tidemark.serve();
    await archiver.until('node-facts');
    const second = await passSecond(client);
    await tidemark.untilProven(ID, second);
    await archiver.stop();
    const found = await tidemark.json<FactsDocument>('instance', 'facts', ID);
    expect(found).toMatchObject({ users: null, commands: null });
    expect(found.unread).toEqual(
      ['modules', 'commands', 'acl'].map((part) => ({ part, code: 'TM_NODE_RIGHTS' })),
    );
    // Nothing has changed: they are not stored again.
    const again = await tidemark.serve();
    await delay(500);
    await again.stop();
    expect(again.log).not.toContain('node-facts');
    await using target = await startRedis({ aof: false });
    const to = ['restore', ID, '--at', iso(second), '--to', `redis://127.0.0.1:${target.port}`];
    const refused = await tidemark.refused(10, ...to, '--with-acl', '--with-config');
    expect(refused).toMatchObject({
      code: 'TM_NOT_FOUND',
      context: { part: 'acl', code: 'TM_NODE_RIGHTS' },
    });
    const text = await tidemark.run(...to, '--with-config', '--dry-run');
    expect(text.out).toMatch(/^settings to be written: maxmemory-policy \(\d+ were the same\)$/m);
    expect(text.out).toMatch(/^ {2}left: dir: it belongs to the machine$/m);
    const done = await tidemark.json<RestoreDocument>(...to, '--with-config');
    expect(done.facts).toMatchObject({ acl: null, config: { written: ['maxmemory-policy'] } });
  });
});
