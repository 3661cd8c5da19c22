import { once } from 'node:events';
import { readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { useDebugServers } from '../support/debug-servers.ts';
import { diffOracle, readOracle } from '../support/oracle.ts';
import { startRedis, type RedisServer } from '../support/redis-server.ts';
import { iso, Tidemark, type RestoreDocument } from '../support/tidemark-cli.ts';
import { writeCertificates, type CertificateFiles } from '../support/tls/certificate-files.ts';
import { TlsWorld } from '../support/tls/tls-world.ts';

const ID = 'vault';

/** Data of an instance with TDE, over TLS only: into a new server, and into one that runs. */
describe('a restore over TLS', () => {
  /** What is to be ended, also when not everything came up. */
  const opened: AsyncDisposable[] = [];
  let tidemark: Tidemark;
  let source: RedisServer;
  let redis: Redis;
  let world: TlsWorld;
  let server: CertificateFiles;
  let second = 0;

  beforeAll(async () => {
    opened.push(await useDebugServers());
    opened.push((tidemark = await Tidemark.init([], '', 'ring')));
    opened.push((source = await startRedis()));
    opened.push((world = await TlsWorld.create()));
    const certificate = await world.caA.issue({ uses: ['server'] });
    server = await writeCertificates(world.dir, 'new-server', [world.caA.cert], certificate);
    redis = await source.connect();
    await tidemark.add(ID, source);
    const archiver = await tidemark.serve();
    await tidemark.json('tde', 'enable', ID, '--confirm', ID);
    await redis.mset({ a: '1', b: '2' });
    await redis.rpush('list', 1, 2, 3);
    second = Math.floor(Date.now() / 1000);
    await delay(1_100);
    await tidemark.untilProven(ID, second);
    await archiver.stop();
  });
  afterAll(async () => {
    for (const part of opened) await part[Symbol.asyncDispose]();
  });

  const flagsOf = ({ certFile, keyFile, caFile }: CertificateFiles): string[] => [
    ...['--tls-cert', certFile, '--tls-key', keyFile, '--tls-ca', caFile],
  ];
  const toNew = (dir: string): string[] => [
    ...['restore', ID, '--at', iso(second), '--to', 'new', '--dir', dir, ...flagsOf(server)],
  ];
  /** A client over the unix socket of a server; ends the server with the test. */
  async function connect(dir: string): Promise<Redis & AsyncDisposable> {
    const options = { protocol: 2, lazyConnect: true, disableClientInfo: true } as const;
    const path = join(dir, 'server.sock');
    const client = new Redis({ ...options, path, retryStrategy: () => null });
    client.on('error', () => undefined);
    await client.connect();
    const end = async (): Promise<void> => {
      await client.call('SHUTDOWN', 'NOSAVE').catch(() => undefined);
      client.disconnect();
    };
    return Object.assign(client, { [Symbol.asyncDispose]: end });
  }
  async function expectEqual(client: Redis): Promise<void> {
    expect(diffOracle(await readOracle(redis), await readOracle(client))).toEqual([]);
  }

  it('makes a server that speaks TLS only, and leaves nothing of its own in it', async () => {
    const dir = join(tidemark.dir, 'new');
    const report = await tidemark.json<RestoreDocument>(...toNew(dir));
    await using client = await connect(dir);
    expect(report.state).toBe('succeeded');
    // On a machine that is short of time the sample behind the second may have come late.
    const warnings = report.warnings.filter((said) => !said.startsWith('the cut is not exact'));
    expect(warnings).toEqual([]);
    expect(report.target).toMatch(/^rediss:/);
    await expectEqual(client);
    const config = await readFile(join(dir, 'server.conf'), 'utf8');
    expect(config).toMatch(/^port 0$/m);
    expect(config).not.toContain('feed-');
    expect((await readdir(dir)).filter((name) => /feed/.test(name))).toEqual([]);
  });

  it('goes on with new certificates after the command was killed', async () => {
    const dir = join(tidemark.dir, 'killed');
    const records = join(tidemark.dir, 'state', 'restores');
    // Where it was faster than the kill its record stays, and it is promoted from there.
    const child = tidemark.spawn(...toNew(dir), '--no-promote');
    const ended = once(child, 'close');
    for (const stream of [child.stdout, child.stderr]) stream?.resume();
    let names: string[] = [];
    while (names.length === 0 && child.exitCode === null) {
      await delay(2);
      const found = await readdir(records).catch(() => []);
      names = found.filter((name) => name.endsWith('.json'));
    }
    child.kill('SIGKILL');
    await ended;
    await using client = await connect(dir);
    const text = await readFile(join(records, names[0] ?? ''), 'utf8');
    expect(text).not.toContain('PRIVATE KEY');
    const id = (names[0] ?? '').replace('.json', '');
    const report = await tidemark.json<RestoreDocument>('restore', ID, '--resume', id);
    expect(report).toMatchObject({ state: 'succeeded' });
    await expectEqual(client);
    expect((await readdir(dir)).filter((name) => /feed/.test(name))).toEqual([]);
  });

  it('sends nothing in the clear off this host, and everything over TLS', async () => {
    await using target = await world.start({ config: { 'enable-debug-command': 'yes', save: '' } });
    const client = await target.connect();
    const { certFile = '', keyFile = '' } = await world.settings();
    const control = { certFile, keyFile, caFile: world.caFileA };
    const to = `rediss://127.0.0.1:${target.tlsPort}`;
    // An address that leads here, and that nobody knows to.
    const wide = ['--to', to, ...flagsOf(control), '--feed-advertise', '127.1', '--no-promote'];
    const restore = ['restore', ID, '--at', iso(second), ...wide];
    const untrusted = await tidemark.refused(1, ...restore);
    expect(untrusted).toMatchObject({ code: 'TM_TARGET_SETTING' });
    await client.config('SET', 'tls-replication', 'no');
    const clear = await tidemark.refused(1, ...restore);
    expect(clear).toMatchObject({
      ...{ code: 'TM_TDE_DENIED', context: { operation: 'clear-transport' } },
    });
    const feed = ['--feed-cert', server.certFile, '--feed-key', server.keyFile];
    const report = await tidemark.json<RestoreDocument>(...restore, ...feed);
    expect(report.state).toBe('replayed');
    await expectEqual(client);
  });
});
