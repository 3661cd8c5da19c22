import { readFile, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { connectNode, openNodeTls, type NodeAddress } from '@tidemark/client';
import type { TidemarkError } from '@tidemark/core';
import {
  abortRestore,
  restore,
  resumeRestore,
  type RestoreReport,
  type RestoreRequest,
} from '@tidemark/restorer';
import { systemClock, systemRandom } from '@tidemark/system';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type {
  Feeder,
  FeederPorts,
  RunningFeed,
} from '../../../services/restorer/src/feeder/feeder.ts';
import { LocalFeeder } from '../../../services/restorer/src/feeder/local-feeder.ts';
import { useDebugServers } from '../../support/debug-servers.ts';
import { diffOracle, readOracle } from '../../support/oracle.ts';
import { record, requestFor, type Recorded } from '../../support/replay-run.ts';
import { ARCHIVED } from '../../support/test-archive.ts';
import { TempDir } from '../../support/temp-dir.ts';
import { writeCertificates } from '../../support/tls/certificate-files.ts';
import type { StartTlsOptions, TlsServer } from '../../support/tls/tls-server.ts';
import { TlsWorld } from '../../support/tls/tls-world.ts';

/** A feeder whose feed is gone at once, and that says nothing of it. */
class DyingFeeder extends LocalFeeder {
  override async feed(...args: Parameters<LocalFeeder['feed']>): Promise<RunningFeed> {
    const feed = await super.feed(...args);
    await feed[Symbol.asyncDispose]();
    return {
      port: feed.port,
      finished: () => new Promise<never>(() => undefined),
      [Symbol.asyncDispose]: () => Promise.resolve(),
    };
  }
}

const noPassword = (): Promise<string> => Promise.resolve('');

/** Whole restores whose feed goes over TLS: into servers that run, and into those started for it. */
describe('a restore over TLS', () => {
  let world: TlsWorld;
  let recorded: Recorded;
  beforeAll(async () => {
    world = await TlsWorld.create();
    recorded = await record({
      before: (client) => client.mset({ a: '1', b: '2', kept: 'x' }),
      during: [
        (client) => client.rpush('list', 1, 2, 3),
        (client) => client.pexpire('kept', 3_600_000),
        (client) => client.call('INCR', 'a'),
      ],
    });
  });
  afterAll(async () => {
    await recorded[Symbol.asyncDispose]();
    await world[Symbol.asyncDispose]();
  });

  async function run(changes: Partial<RestoreRequest>): Promise<RestoreReport> {
    const request = requestFor(recorded.archive, recorded.source, changes);
    return restore(request, await environment());
  }
  async function environment() {
    const made = await recorded.archive.environment();
    return { ...made, clock: systemClock, random: systemRandom };
  }
  const errorOf = async (work: Promise<unknown>): Promise<TidemarkError> => {
    try {
      await work;
    } catch (error) {
      return error as TidemarkError;
    }
    throw new Error('it did not fail');
  };

  const startTarget = (more: Partial<StartTlsOptions> = {}): Promise<TlsServer> =>
    world.start({ config: { 'enable-debug-command': 'yes', save: '' }, ...more });

  /** A server that runs already, as a user names it. */
  async function into(server: TlsServer): Promise<{ target: RestoreRequest['target'] }> {
    const tls = await world.settings();
    const address: NodeAddress = {
      ...{ host: '127.0.0.1', port: server.tlsPort, secure: true },
      tls: await openNodeTls(tls),
    };
    const url = `rediss://127.0.0.1:${server.tlsPort}`;
    return { target: { kind: 'server', url, address, passwordFile: null, tls } };
  }
  async function feedTls(uses: readonly ('server' | 'client')[] = ['server']) {
    const certificate = await world.caA.issue({ commonName: 'feed', uses });
    return writeCertificates(world.dir, `feed-${uses.join('-')}`, [world.caA.cert], certificate);
  }
  async function expectEqual(client: Redis): Promise<void> {
    expect(diffOracle(await readOracle(recorded.client), await readOracle(client))).toEqual([]);
  }

  it('goes into a server that replicates over TLS, with a certificate that it trusts', async () => {
    await using server = await startTarget();
    const client = await server.connect();
    const before = await client.config('GET', '*');
    const { certFile, keyFile } = await feedTls();
    const report = await run({ ...(await into(server)), feedTls: { certFile, keyFile } });
    expect(report).toMatchObject({ state: 'succeeded', warnings: [] });
    await expectEqual(client);
    expect(await client.config('GET', '*')).toEqual(before);
  });

  it('switches a server to TLS for its time when a certificate is given for the feed', async () => {
    await using server = await startTarget();
    const client = await server.connect();
    await client.config('SET', 'tls-replication', 'no');
    const { certFile, keyFile } = await feedTls();
    const wish = { certFile, keyFile };
    const frozen = await run({ ...(await into(server)), feedTls: wish, promote: false });
    expect(await client.config('GET', 'tls-replication')).toEqual(['tls-replication', 'yes']);
    const promoted = await resumeRestore(ARCHIVED, frozen.id, noPassword, await environment());
    expect(promoted.state).toBe('succeeded');
    expect(await client.config('GET', 'tls-replication')).toEqual(['tls-replication', 'no']);
    await expectEqual(client);
  });

  it('shows the certificate of the control connection where that is good for a server', async () => {
    await using server = await startTarget();
    const place = await into(server);
    const refused = await errorOf(run(place));
    // The client's own one is for clients only.
    expect(refused).toMatchObject({
      ...{ code: 'TM_TARGET_SETTING', context: { setting: 'tls-replication' } },
      hint: expect.stringContaining('--feed-cert') as unknown,
    });
    const pinned = await errorOf(run({ ...place, feedTls: { pin: 'AA' } }));
    expect(pinned).toMatchObject({ code: 'TM_TLS_SETTINGS' });
    const both = await feedTls(['server', 'client']);
    const tls = { ...both, caFiles: [both.caFile] };
    const address = { ...place.target } as Extract<RestoreRequest['target'], { kind: 'server' }>;
    const own = { ...address.address, tls: await openNodeTls(tls) };
    const report = await run({ target: { ...address, address: own, tls } });
    expect(report.state).toBe('succeeded');
    await expectEqual(await server.connect());
  });

  it('gives nothing away to a server whose certificate for clients was not named', async () => {
    await using server = await startTarget();
    const client = await server.connect();
    const other = await world.caA.issue();
    const shown = await writeCertificates(world.dir, 'other', [], other);
    await client.call(
      ...(['CONFIG', 'SET', 'tls-client-key-file', shown.keyFile] as const),
      ...(['tls-client-cert-file', shown.certFile] as const),
    );
    const { certFile, keyFile } = await feedTls();
    const place = await into(server);
    const unknown = await errorOf(run({ ...place, feedTls: { certFile, keyFile } }));
    expect(unknown).toMatchObject({
      ...{ code: 'TM_TLS_SETTINGS', hint: expect.stringContaining('--feed-pin') as unknown },
    });
    const { X509Certificate } = await import('node:crypto');
    const pin = new X509Certificate(other.cert).fingerprint256;
    const report = await run({ ...place, feedTls: { certFile, keyFile, pin } });
    expect(report.state).toBe('succeeded');
    await expectEqual(client);
  });

  it('ends as it began when the server does not trust the certificate of the feed', async () => {
    await using server = await startTarget();
    const client = await server.connect();
    const before = await client.config('GET', '*');
    const foreign = await world.caB.issue({ uses: ['server'] });
    const { certFile, keyFile } = await writeCertificates(world.dir, 'foreign', [], foreign);
    const error = await errorOf(run({ ...(await into(server)), feedTls: { certFile, keyFile } }));
    expect(error).toMatchObject({ code: 'TM_FEED_TLS', context: { reason: 'feed-refused' } });
    expect(await client.info('replication')).toContain('role:master');
    expect(await client.config('GET', '*')).toEqual(before);
  });

  describe('into a new server with TLS only', () => {
    let debug: AsyncDisposable;
    beforeAll(async () => {
      debug = await useDebugServers();
    });
    afterAll(() => debug[Symbol.asyncDispose]());
    async function newServer(
      dir: string,
    ): Promise<Extract<RestoreRequest['target'], { kind: 'new' }>> {
      // A certificate for servers alone: what the server shows the feed is minted.
      const certificate = await world.caA.issue({ uses: ['server'] });
      const files = await writeCertificates(dir, 'new', [world.caA.cert], certificate);
      const { certFile, keyFile, caFile } = files;
      const tls = { certFile, keyFile, caFiles: [caFile, world.caFileB] };
      return { kind: 'new', port: 0, dir: join(dir, 'server'), tls };
    }
    /** A client over the unix socket of the server. */
    async function connect(dir: string): Promise<Redis & AsyncDisposable> {
      const path = join(dir, 'server', 'server.sock');
      const options = { protocol: 2, lazyConnect: true, disableClientInfo: true } as const;
      const client = new Redis({ ...options, path, retryStrategy: () => null });
      client.on('error', () => undefined);
      await client.connect();
      const end = async (): Promise<void> => {
        await client.call('SHUTDOWN', 'NOSAVE').catch(() => undefined);
        client.disconnect();
      };
      return Object.assign(client, { [Symbol.asyncDispose]: end });
    }
    const setting = async (client: Redis, name: string): Promise<string | undefined> =>
      (await client.config('GET', name))[1];

    it('makes an equal server that knows neither a plain port nor the authority of the feed', async () => {
      await using temp = await TempDir.create();
      const target = await newServer(temp.path);
      const report = await run({ target });
      await using client = await connect(temp.path);
      expect(report).toMatchObject({ state: 'succeeded', warnings: [] });
      await expectEqual(client);
      expect(await setting(client, 'port')).toBe('0');
      expect(await setting(client, 'tls-replication')).toBe('yes');
      expect(await setting(client, 'tls-client-cert-file')).toBe('');
      const trusted = (await setting(client, 'tls-ca-cert-file')) ?? '';
      expect((await stat(trusted)).mode & 0o777).toBe(0o600);
      expect(await readFile(trusted, 'utf8')).not.toContain('feed');
      const names = await readdir(join(temp.path, 'server'));
      expect(names.filter((name) => name.startsWith('feed'))).toEqual([]);
      const config = await readFile(join(temp.path, 'server', 'server.conf'), 'utf8');
      expect(config).not.toContain('feed-');
      const port = Number(new URL(report.target).port);
      await using user = await connectNode(await world.address(port));
      expect(await user.call('GET', 'a')).toBe('2');
      const nobody = await errorOf(connectNode(await world.address(port, {}, null)));
      expect(nobody.code).toBe('TM_TLS_CLIENT_CERT');
    });

    it('is left frozen, with its users let in, and promoted by another call', async () => {
      await using temp = await TempDir.create();
      const frozen = await run({ target: await newServer(temp.path), promote: false });
      await using client = await connect(temp.path);
      expect(frozen.state).toBe('replayed');
      // With the authority of its users back it dials nobody who could show a certificate of that.
      expect(await client.info('replication')).toMatch(/role:slave[^]*master_port:0\r/);
      await using user = await connectNode(
        await world.address(Number(new URL(frozen.target).port)),
      );
      expect(await user.call('GET', 'a')).toBe('2');
      const promoted = await resumeRestore(ARCHIVED, frozen.id, noPassword, await environment());
      expect(promoted).toMatchObject({ state: 'succeeded', target: frozen.target });
      await expectEqual(client);
    });

    it('takes new certificates of the feed when another process goes on', async () => {
      await using temp = await TempDir.create();
      const made = await environment();
      const request = requestFor(recorded.archive, recorded.source, {
        target: await newServer(temp.path),
      });
      // As a command that was killed after the target was attached leaves it.
      const openFeeder = (_: string, ports: FeederPorts): Feeder => new DyingFeeder(made, ports);
      const killed = restore(request, { ...made, openFeeder }).catch(() => null);
      const records = join(made.stateDir, 'restores');
      let names: string[] = [];
      while (names.length === 0) {
        await systemClock.sleep(25);
        const found = await readdir(records).catch(() => []);
        names = found.filter((name) => name.endsWith('.json'));
      }
      const text = await readFile(join(records, names[0]!), 'utf8');
      expect(text).not.toContain('PRIVATE KEY');
      {
        await using client = await connect(temp.path);
        while (!(await client.info('replication')).includes('role:slave')) {
          await systemClock.sleep(25);
        }
        const shown = join(temp.path, 'server', 'feed-client.pem');
        expect((await stat(shown)).mode & 0o777).toBe(0o600);
        const id = names[0]!.replace('.json', '');
        // Its key is nowhere: only new certificates can be shown.
        const going = await resumeRestore(ARCHIVED, id, noPassword, await environment());
        expect(going).toMatchObject({ state: 'succeeded', warnings: [] });
        await expectEqual(client);
        expect(await setting(client, 'tls-client-cert-file')).toBe('');
      }
      await killed;
    });

    it('leaves no key behind when it was killed and the restore is called off', async () => {
      await using temp = await TempDir.create();
      const frozen = await run({ target: await newServer(temp.path), promote: false });
      const folder = join(temp.path, 'server');
      expect(await readdir(folder)).toContain('feed-client.pem');
      {
        await using client = await connect(temp.path);
        expect(await client.ping()).toBe('PONG');
      }
      const aborted = await abortRestore(ARCHIVED, frozen.id, noPassword, await environment());
      expect(aborted).toMatchObject({ state: 'aborted', warnings: [] });
      expect(await readdir(folder)).toEqual([]);
    });

    it('has a record before its keys are written', async () => {
      await using temp = await TempDir.create();
      const made = await environment();
      const target = await newServer(temp.path);
      const request = requestFor(recorded.archive, recorded.source, { target });
      const seen: (readonly [keys: boolean, port: unknown])[] = [];
      class WatchedFeeder extends LocalFeeder {
        override async feed(): Promise<RunningFeed> {
          const names = await readdir(join(temp.path, 'server'));
          const [name] = await readdir(join(made.stateDir, 'restores'));
          const text = await readFile(join(made.stateDir, 'restores', name!), 'utf8');
          const { feed } = JSON.parse(text) as { feed: { port: number } };
          seen.push([names.includes('feed-client.pem'), feed.port]);
          throw new Error('nobody listens');
        }
      }
      const openFeeder = (_: string, ports: FeederPorts): Feeder => new WatchedFeeder(made, ports);
      const error = await errorOf(restore(request, { ...made, openFeeder }));
      expect(error.message).toBe('nobody listens');
      expect(seen).toEqual([[true, 0]]);
      expect(await readdir(join(made.stateDir, 'restores'))).toEqual([]);
      expect(await readdir(join(temp.path, 'server'))).toEqual([]);
    });

    it('is ended, and its files go, when the restore is called off', async () => {
      await using temp = await TempDir.create();
      const frozen = await run({ target: await newServer(temp.path), promote: false });
      const aborted = await abortRestore(ARCHIVED, frozen.id, noPassword, await environment());
      expect(aborted).toMatchObject({ state: 'aborted', warnings: [] });
      expect(await readdir(join(temp.path, 'server'))).toEqual([]);
    });
  });
});
