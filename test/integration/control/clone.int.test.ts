import { lstat, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { connectNode, openNodeTls, type NodeAddress } from '@tidemark/client';
import { selectorToJson } from '@tidemark/selector';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { cloneHandler } from '../../../services/control/src/clone/clone-handler.ts';
import { refuseOpenClone } from '../../../services/control/src/clone/open-source.ts';
import { sourceNeeds } from '../../../services/control/src/clone/source-needs.ts';
import type { Json } from '../../../services/control/src/jobs/job.ts';
import { endProcesses } from '../../../services/control/src/provision/local-folder.ts';
import { checkPassword } from '../../../services/control/src/provision/password-rules.ts';
import { attempt, CloneBench, type Attempt } from '../../support/control-clone/clone-bench.ts';
import { diffOracle, readOracle, type Oracle } from '../../support/oracle.ts';
import { startRedis } from '../../support/redis-server.ts';
import { TestCa } from '../../support/tls/certificates.ts';

const PASSWORD = 'Clone-pass-1';

let bench: CloneBench;
let source: Oracle;
let ca: TestCa;

interface Report {
  readonly url: string;
  readonly keys: number;
  readonly compared: number;
  readonly warnings: readonly string[];
}

const reportOf = (outcome: { readonly result: unknown } | null): Report =>
  outcome?.result as Report;

async function fill(client: Redis): Promise<void> {
  for (const db of [0, 3]) {
    await client.select(db);
    const pipeline = client.pipeline();
    for (let i = 0; i < 300; i++) pipeline.set(`cart:${i}`, `value ${i}`);
    pipeline.hset('hash', 'a', '1', 'b', '2').rpush('list', '1', '2').zadd('z', 1, 'm');
    pipeline.set('ttl', 'x', 'EX', 3_600).xadd('stream', '*', 'f', 'v');
    await pipeline.exec();
  }
  await client.select(0);
}

beforeAll(async () => {
  // Facts of a node are taken when it is attached.
  const config = {
    ...{ maxmemory: '200mb', 'hash-max-listpack-entries': '77' },
    user: 'app on >App-pass-1 ~cart:* +get',
  };
  bench = await CloneBench.open({}, { config });
  const client = await bench.archive.server.connect();
  await fill(client);
  await bench.settled();
  source = await readOracle(client);
  ca = await TestCa.create('CA');
  const { cert, key } = await ca.issue();
  await bench.secret('clone.pem', cert);
  await bench.secret('clone.key', key);
  await bench.secret('ca.pem', ca.cert);
});

afterAll(async () => {
  const root = join(bench.archive.dir, 'c');
  for (const name of await readdir(root).catch(() => []))
    await endProcesses(join(root, name), false);
  await bench[Symbol.asyncDispose]();
});

/** Keys by a glob, as a request names them. */
function keysLike(pattern: string, dbs: readonly number[] | null): Json {
  const rest = { exclude: [], excludeDbs: [], types: null, excludeTypes: [] };
  return selectorToJson({ include: [{ kind: 'glob', pattern }], dbs, ...rest }) as Json;
}

const LATEST = { kind: 'latest' } as const;

/** The data of a clone by its unix socket, as its owner may read them. */
async function oracleOf(id: string, password?: string): Promise<Oracle> {
  const path = join(bench.archive.dir, 'c', id, 'server.sock');
  const client = new Redis({
    ...{ path, lazyConnect: true, retryStrategy: () => null },
    ...(password === undefined ? {} : { password }),
  });
  client.on('error', () => undefined);
  await client.connect();
  try {
    return await readOracle(client);
  } finally {
    client.disconnect();
  }
}

/** What a server says to somebody who knows no password. */
async function withoutPassword(id: string): Promise<unknown> {
  const path = join(bench.archive.dir, 'c', id, 'server.sock');
  return getWithout({ host: 'localhost', port: 0, path });
}

async function getWithout(address: NodeAddress): Promise<unknown> {
  await using client = await connectNode(address);
  return await client.call('GET', 'cart:7');
}

/** Without the digest of DEBUG, which a clone does not allow. */
function sameData(clone: Oracle): readonly string[] {
  const plain = (oracle: Oracle): Oracle => ({
    ...oracle,
    digest: null,
    databases: new Map(
      [...oracle.databases].map(([db, facts]) => [
        db,
        {
          ...facts,
          keys: new Map([...facts.keys].map(([key, each]) => [key, { ...each, digest: null }])),
        },
      ]),
    ),
  });
  return diffOracle(plain(source), plain(clone));
}

describe('a clone into a server that is started here', () => {
  it('holds what the source held, speaks TLS only, and lets in who knows its password', async () => {
    const { outcome, error, job } = await bench.clone({
      ...{ source: LATEST, name: 'orders-copy', password: PASSWORD, sample: 40 },
      target: { kind: 'local', tls: { cert: 'clone.pem', key: 'clone.key', ca: ['ca.pem'] } },
      // The password of the source, which has none, does not come: one is given.
      keep: ['users', 'password', 'params'],
    });
    expect(error).toBeNull();
    const report = reportOf(outcome);
    expect(report.compared).toBeGreaterThan(20);
    // So a rebuild of it would not keep its password either, but have one made up.
    const { workspace } = await bench.parts();
    const needs = await sourceNeeds('orders', workspace, new AbortController().signal);
    expect(needs).toMatchObject({ isOpen: true, hasUsers: true });
    expect(JSON.stringify([outcome, job])).not.toContain(PASSWORD);
    expect(sameData(await oracleOf(job.id, PASSWORD))).toEqual([]);

    const port = Number(report.url.split(':').at(-1));
    expect(report.url).toBe(`rediss://127.0.0.1:${port}`);
    const over = { host: '127.0.0.1', port, lazyConnect: true, retryStrategy: () => null };
    const secure = new Redis({ ...over, tls: { ca: ca.cert }, password: PASSWORD });
    const plain = new Redis({ ...over, password: PASSWORD });
    for (const client of [secure, plain]) client.on('error', () => undefined);
    try {
      await secure.connect();
      expect(await secure.get('cart:7')).toBe('value 7');
      expect(await secure.call('ACL', 'USERS')).toEqual(['app', 'default']);
      expect(await secure.config('GET', 'maxmemory')).toEqual(['maxmemory', '209715200']);
      expect(await secure.config('GET', 'hash-max-listpack-entries')).toContain('77');
      expect(await secure.config('GET', 'appendonly')).toContain('yes');
      await expect(plain.connect()).rejects.toThrow();
      using tls = await openNodeTls({ caFiles: [join(bench.archive.dir, 'secrets', 'ca.pem')] });
      await expect(getWithout({ host: '127.0.0.1', port, tls })).rejects.toMatchObject({
        code: 'TM_NODE_AUTH',
      });
    } finally {
      for (const client of [secure, plain]) client.disconnect();
    }
    const conf = await readFile(join(bench.archive.dir, 'c', job.id, 'server.conf'), 'utf8');
    expect(conf).not.toContain('tidemark-loader');
    expect(await readdir(join(bench.archive.dir, 'secrets'))).not.toContain(
      `loader-${job.id}.pass`,
    );
  });

  it('gets selected keys only, and a password, that nobody gave', async () => {
    const handler = cloneHandler(await bench.parts());
    const job = await bench.job(handler, {
      ...{ source: LATEST, name: 'carts', keep: ['users'] },
      selector: keysLike('cart:1*', [0]),
      target: { kind: 'local' },
    });
    const closed = { code: 'TM_NODE_AUTH' };
    const closedAt: string[] = [];
    const { outcome, error } = await attempt(handler, job, {
      // Nobody gets in at any moment.
      onKeep: async (next) => {
        const at = next as { readonly phase: string; readonly provisioned: unknown } | null;
        if (at === null || at.provisioned === null) return;
        await expect(withoutPassword(job.id)).rejects.toMatchObject(closed);
        closedAt.push(at.phase);
      },
    });
    expect(error).toBeNull();
    expect(closedAt).toEqual(expect.arrayContaining(['replaying', 'replayed', 'registering']));
    await expect(withoutPassword(job.id)).rejects.toMatchObject(closed);
    const passwordRef = `clone-${job.id}.pass`;
    expect(reportOf(outcome)).toMatchObject({ keys: 111, password: 'set', passwordRef });
    const file = join(bench.archive.dir, 'secrets', passwordRef);
    expect((await lstat(file)).mode & 0o777).toBe(0o600);
    const password = (await readFile(file, 'utf8')).trim();
    expect(() => checkPassword(password)).not.toThrow();
    const { databases } = await oracleOf(job.id, password);
    expect(databases.get(0)?.dbSize).toBe(111);
    expect(databases.get(3)).toBeUndefined();
  });
});

describe('what is refused leaves nothing behind', () => {
  const local = { source: LATEST, name: 'small', target: { kind: 'local' } } as const;

  it.each([
    [{ ...local, memoryBytes: 1_000_000 }, 'TM_TARGET_MEMORY'],
    [{ ...local, name: 'carts' }, 'TM_EXISTS'],
    [{ ...local, target: { kind: 'local', port: 1 } }, 'TM_USAGE'],
    [{ ...local, source: { kind: 'second', second: 1_000 } }, 'TM_TIME_NOT_RESTORABLE'],
    [
      {
        ...local,
        selector: keysLike('nothing*', null),
      },
      'TM_NOT_FOUND',
    ],
  ])('%j: %s', async (request, code) => {
    const before = await readdir(join(bench.archive.dir, 'c'));
    const { error, job } = await bench.clone(request);
    expect(error).toMatchObject({ code });
    expect(await readdir(join(bench.archive.dir, 'c'))).toEqual(before);
    const secrets = await readdir(join(bench.archive.dir, 'secrets'));
    expect(secrets).not.toContain(`clone-${job.id}.pass`);
  });

  it.each([
    [{ ...local, password: 'weak' }, 'TM_PASSWORD'],
    // Its source has none: everybody would get in.
    [{ ...local, keep: ['password'] }, 'TM_PASSWORD'],
    [{ ...local, keep: ['users', 'password'], target: { kind: 'hook' } }, 'TM_PASSWORD'],
    [{ ...local, shards: 3 }, 'TM_TARGET_TOPOLOGY'],
    [{ ...local, passwordRef: 'no-such-file' }, 'TM_NOT_FOUND'],
    [{ ...local, passwordRef: '../ring' }, 'TM_USAGE'],
    [{ ...local, name: '../x' }, 'TM_USAGE'],
    [{ ...local, unknown: 1 }, 'TM_USAGE'],
    [{ ...local, target: { kind: 'elsewhere' } }, 'TM_USAGE'],
  ])('%j is no request: %s', async (request, code) => {
    await expect(bench.clone(request)).rejects.toMatchObject({ code });
  });
});

describe('a clone into a server that is given', () => {
  it('is written only where the configuration allows it, into an empty server, and gets its password', async () => {
    await using target = await startRedis({ aof: false });
    const client = await target.connect();
    const url = `redis://127.0.0.1:${target.port}`;
    const request = {
      ...{ source: LATEST, name: 'given', password: PASSWORD },
      target: { kind: 'address', url },
    };
    expect((await bench.clone(request)).error).toMatchObject({ code: 'TM_TARGET_DENIED' });
    await bench.configure({ allowTargets: ['127.0.0.0/8:1024-65535'] });

    await client.set('mine', '1');
    expect((await bench.clone(request)).error).toMatchObject({ code: 'TM_TARGET_NOT_EMPTY' });
    expect(await client.get('mine')).toBe('1');
    await client.flushall();
    await client.config('SET', 'maxmemory', '100mb');
    expect((await bench.clone(request)).error).toMatchObject({ code: 'TM_TARGET_MEMORY' });
    await client.config('SET', 'maxmemory', '0');

    const { error } = await bench.clone(request);
    expect(error).toBeNull();
    expect(diffOracle(source, await readOracle(client.duplicate({ password: PASSWORD })))).toEqual(
      [],
    );
  });

  it('is not handed over open in place of the password of its source', async () => {
    await using target = await startRedis({ aof: false });
    await using client = await connectNode({ host: '127.0.0.1', port: target.port });
    const wish = { keep: ['password'], passwordRef: null } as const;
    await expect(refuseOpenClone(wish, client)).rejects.toMatchObject({
      ...{ code: 'TM_PASSWORD', context: { rule: 'source' } },
    });
    await refuseOpenClone({ ...wish, keep: [] }, client);
    await client.configSet('requirepass', PASSWORD);
    await refuseOpenClone(wish, client);
  });

  it('ends empty when it is called off, at whatever phase', async () => {
    await using target = await startRedis({ aof: false });
    const client = await target.connect();
    for (const phase of ['replaying', 'promoting', 'settling']) {
      const { error, checkpoint } = await calledOffAt(phase, {
        ...{ source: LATEST, name: 'given' },
        target: { kind: 'address', url: `redis://127.0.0.1:${target.port}` },
      });
      expect(error?.message, phase).toBe('called off');
      // Asked for once more it begins anew.
      expect(checkpoint).toBeNull();
      expect(await client.dbsize(), phase).toBe(0);
      expect(String(await client.role()), phase).toMatch(/^master/);
    }
  });

  it('is left as it is once it is allowed no more, and what is left to do is said', async () => {
    await using target = await startRedis({ aof: false });
    const client = await target.connect();
    const url = `redis://127.0.0.1:${target.port}`;
    const request = { source: LATEST, name: 'given', target: { kind: 'address', url } };
    const { error, lines } = await calledOffAt('promoting', request, () => bench.configure({}));
    expect(error?.message).toBe('called off');
    const said = lines.find((line) => line.includes('was left as it is'));
    expect(said).toMatch(/restorer\.allow_targets|not among the servers/);
    expect(said).toMatch(/restore --abort rs-[a-z0-9]+, or there: REPLICAOF NO ONE, FLUSHALL/);
    expect(String(await client.role())).toMatch(/^slave/);
    expect(await client.dbsize()).toBeGreaterThan(0);
  });

  it('is not gone on with once it is allowed no more, and is when it is again', async () => {
    await using target = await startRedis({ aof: false });
    const client = await target.connect();
    const allowTargets = [`127.0.0.1:${target.port}`];
    const url = `redis://127.0.0.1:${target.port}`;
    await bench.configure({ allowTargets });
    const handler = cloneHandler(await bench.parts());
    const request = { source: LATEST, name: 'given', target: { kind: 'address', url } };
    const job = await bench.job(handler, request);
    const unclean = { cleanUp: () => Promise.resolve() };
    const killed = await attempt({ ...handler, ...unclean }, job, {
      onKeep: (next) => {
        if ((next as { readonly phase: string }).phase === 'promoting') throw new Error('killed');
      },
    });
    expect(killed.error?.message).toBe('killed');
    const { checkpoint } = killed;
    await bench.configure({});
    const without = { ...cloneHandler(await bench.parts()), ...unclean };
    const refused = await attempt(without, job, { checkpoint });
    expect(refused.error).toMatchObject({ code: 'TM_TARGET_DENIED' });
    expect(String(await client.role())).toMatch(/^slave/);
    await bench.configure({ allowTargets });
    const again = await attempt(cloneHandler(await bench.parts()), job, { checkpoint });
    expect(again.error).toBeNull();
    expect(await client.dbsize()).toBeGreaterThan(0);
  });

  it('is given a stored password only where that is for it', async () => {
    await using target = await startRedis({ aof: false, config: { requirepass: PASSWORD } });
    const allowTargets = [`127.0.0.1:${target.port}`];
    const url = `redis://127.0.0.1:${target.port}`;
    await bench.configure({ allowTargets });
    const clone = (passwordRef: string): ReturnType<CloneBench['clone']> =>
      bench.clone({
        ...{ source: LATEST, name: 'given', selector: keysLike('cart:1', [0]) },
        target: { kind: 'address', url, passwordRef },
      });
    const stranger = await target.connect({ password: PASSWORD });
    await stranger.config('RESETSTAT');
    await bench.secret('orders.pass', `${PASSWORD}\n`);
    expect((await clone('orders.pass')).error).toMatchObject({
      ...{ code: 'TM_TARGET_DENIED', context: { file: 'orders.pass' } },
    });
    expect(await stranger.info('stats')).toContain('total_connections_received:0');
    const own = await bench.secret(`127.0.0.1_${target.port}.pass`, `${PASSWORD}\n`);
    expect((await clone(own)).error).toBeNull();
    expect(await stranger.dbsize()).toBe(1);
  });
});

async function calledOffAt(
  phase: string,
  request: Parameters<CloneBench['clone']>[0],
  before: () => Promise<void> = () => Promise.resolve(),
): Promise<Attempt> {
  const handler = cloneHandler(await bench.parts());
  const job = await bench.job(handler, request);
  const cancel = new AbortController();
  return attempt(handler, job, {
    signal: cancel.signal,
    onKeep: async (checkpoint) => {
      const at = (checkpoint as { readonly phase: string } | null)?.phase;
      if (at !== phase) return;
      await before();
      cancel.abort(new Error('called off'));
    },
  });
}
