import { X509Certificate, randomBytes } from 'node:crypto';
import type { ByteSource, TidemarkError } from '@tidemark/core';
import { openFeed, type Feed, type FeedOptions, type FeedProgress } from '@tidemark/replication';
import { systemClock } from '@tidemark/system';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CuttingProxy } from '../../support/cutting-proxy.ts';
import { MATRIX_SERVERS, matrixBinary, whyNoBinary } from '../../support/matrix/matrix-server.ts';
import { diffOracle, readOracle } from '../../support/oracle.ts';
import { inChunks } from '../../support/pattern.ts';
import { serversRequired } from '../../support/servers.ts';
import { feedSource, type FeedSource } from '../../support/tls/feed-source.ts';
import type { TestCertificate } from '../../support/tls/certificates.ts';
import type { StartTlsOptions, TlsServer } from '../../support/tls/tls-server.ts';
import { TlsWorld } from '../../support/tls/tls-world.ts';

const pinOf = ({ cert }: TestCertificate): string => new X509Certificate(cert).fingerprint256;
const SHORT = { timeouts: { tlsMs: 1_500, connectMs: 30_000 } };

/** The master's end of TLS, with real servers at the other: who gets the data, and who does not. */
describe('a feed over TLS', () => {
  let world: TlsWorld;
  /** Of the target. */
  let own: TestCertificate;
  /** Of the feed. */
  let shown: TestCertificate;

  beforeAll(async () => {
    world = await TlsWorld.create();
    own = await world.caA.issue();
    shown = await world.caA.issue({ commonName: 'feed', uses: ['server'] });
  });
  afterAll(async () => {
    await world[Symbol.asyncDispose]();
  });

  const startTarget = (more: Partial<StartTlsOptions> = {}): Promise<TlsServer> =>
    world.start({
      certificate: own,
      config: { 'repl-diskless-load': 'on-empty-db', 'enable-debug-command': 'yes' },
      ...more,
    });

  async function feedOf(
    source: Pick<FeedSource, 'rdb' | 'log'>,
    changes: Partial<FeedOptions> = {},
  ): Promise<Feed & { password: string }> {
    const password = randomBytes(20).toString('hex');
    const feed = await openFeed({
      ...{ listenHost: '127.0.0.1', allowFrom: '127.0.0.1', user: 'feed', password },
      replicationId: randomBytes(20).toString('hex'),
      baseOffset: 1n,
      tls: { ...shown, ca: [world.caA.cert], peerFingerprint: pinOf(own) },
      snapshot: () => inChunks(source.rdb, 65_536),
      commands: (from) => inChunks(source.log.subarray(Number(from)), 65_536),
      clock: systemClock,
      signal: new AbortController().signal,
      ...changes,
    });
    return Object.assign(feed, { password });
  }

  async function attach(
    target: TlsServer,
    feed: { port: number; password: string },
    port = feed.port,
  ): Promise<void> {
    const client = await target.connect();
    await client.config('SET', 'masteruser', 'feed');
    await client.config('SET', 'masterauth', feed.password);
    await client.call('REPLICAOF', '127.0.0.1', port);
    client.disconnect();
  }

  async function expectEqual(source: FeedSource, target: TlsServer): Promise<void> {
    const client = await target.connect();
    await client.call('REPLICAOF', 'NO', 'ONE');
    expect(diffOracle(await readOracle(source.client), await readOracle(client))).toEqual([]);
  }

  /** The error of a feed that a target must not get through to. */
  async function refusal(
    target: Partial<StartTlsOptions>,
    changes: Partial<FeedOptions> = {},
    between: (target: TlsServer) => Promise<void> = () => Promise.resolve(),
  ): Promise<TidemarkError> {
    const nothing = { rdb: Buffer.alloc(10), log: Buffer.alloc(0) };
    await using server = await startTarget(target);
    await using feed = await feedOf(nothing, { ...SHORT, ...changes });
    const client = await server.connect();
    await client.set('old', '1');
    await between(server);
    await attach(server, feed);
    const error = await feed.finished().then(
      () => null,
      (cause: unknown) => cause as TidemarkError,
    );
    expect(error).toMatchObject({ code: 'TM_FEED_TLS', context: { phase: 'handshake' } });
    expect(await client.get('old')).toBe('1');
    return error!;
  }

  it.each(MATRIX_SERVERS)('makes an equal server of %s', async (name) => {
    const server = matrixBinary(name);
    if (server === null) {
      expect(serversRequired(), whyNoBinary(name)).toBe(false);
      return;
    }
    await using source = await feedSource(server.binary, 3);
    // A setting that no server before 7.0 knows; there DEBUG needs none.
    const config = { 'repl-diskless-load': 'on-empty-db' };
    const { binary } = server;
    await using target = await startTarget({
      binary,
      ...(name === 'redis 6.0' ? { config } : {}),
    });
    await using feed = await feedOf(source);
    await attach(target, feed);
    expect(await feed.finished()).toMatchObject({ rdbBytes: source.rdb.length, restarts: 0 });
    await expectEqual(source, target);
  });

  it('goes on where it was when the link is cut, in the snapshot and among commands', async () => {
    await using source = await feedSource(undefined, 8);
    await using target = await startTarget();
    let cuts = 0;
    let cut = (): void => undefined;
    async function* slow(from: bigint): ByteSource {
      for await (const chunk of inChunks(source.log.subarray(Number(from)), 16_001)) {
        yield chunk;
        await systemClock.sleep(100);
      }
    }
    const onProgress = ({ commandBytes }: FeedProgress): void => {
      if (Number(commandBytes) * 4 < source.log.length * (cuts + 1) || cuts >= 2) return;
      cuts++;
      cut();
    };
    await using feed = await feedOf(source, { commands: slow, onProgress });
    await using proxy = await CuttingProxy.to(feed.port);
    proxy.cuts.push(5 << 20);
    cut = () => proxy.cutAll();
    await attach(target, feed, proxy.port);
    const result = await feed.finished();
    expect(result).toMatchObject({ restarts: 1, commandBytes: BigInt(source.log.length) });
    expect(result.resumes).toBeGreaterThanOrEqual(1);
    await expectEqual(source, target);
  });

  it('serves the right server while strangers try, without a word to them', async () => {
    await using source = await feedSource(undefined, 3);
    await using target = await startTarget();
    const other = await world.caA.issue();
    await using stranger = await startTarget({ certificate: other });
    await using feed = await feedOf(source, { timeouts: { tlsMs: 60_000 } });
    await attach(stranger, feed);
    await systemClock.sleep(300);
    await attach(target, feed);
    await feed.finished();
    await expectEqual(source, target);
    const client = await stranger.connect();
    expect(await client.info('replication')).toContain('master_link_status:down');
  });

  it('waits for a server that is away, whoever fails in TLS meanwhile', async () => {
    await using source = await feedSource(undefined, 3);
    await using target = await startTarget();
    await using stranger = await startTarget({ certificate: await world.caA.issue() });
    const loaded = new AbortController();
    const back = new AbortController();
    const aborted = ({ signal }: AbortController): Promise<void> =>
      new Promise((resolve) => {
        if (signal.aborted) resolve();
        else signal.addEventListener('abort', () => resolve());
      });
    async function* halted(from: bigint): ByteSource {
      loaded.abort();
      await aborted(back);
      yield* inChunks(source.log.subarray(Number(from)), 65_536);
    }
    await using feed = await feedOf(source, { commands: halted, timeouts: { tlsMs: 500 } });
    await attach(target, feed);
    await aborted(loaded);
    const client = await target.connect();
    const away = client
      .pipeline()
      .call('CLIENT', 'KILL', 'TYPE', 'MASTER')
      .call('DEBUG', 'SLEEP', 5);
    const woken = away.exec();
    await attach(stranger, feed);
    await woken;
    back.abort();
    expect((await feed.finished()).resumes).toBeGreaterThanOrEqual(1);
    await expectEqual(source, target);
  });

  describe.concurrent('refuses', () => {
    it('a target with another certificate than the pinned one, though of the same CA', async () => {
      const error = await refusal({ certificate: await world.caA.issue() });
      expect(error.context['reason']).toBe('other-certificate');
      expect(error.hint).toContain('--feed-pin');
    });

    it('a target whose certificate comes from another authority', async () => {
      const certificate = await world.caB.issue();
      const tls = { ...shown, ca: [world.caA.cert], peerFingerprint: pinOf(certificate) };
      const error = await refusal({ certificate }, { tls });
      expect(error.context['reason']).toBe('untrusted-certificate');
    });

    it('a target whose certificate is not for clients', async () => {
      const certificate = await world.caA.issue({ uses: ['server'] });
      const tls = { ...shown, ca: [world.caA.cert], peerFingerprint: pinOf(certificate) };
      const error = await refusal({ certificate }, { tls });
      expect(error.context).toMatchObject({
        reason: 'untrusted-certificate',
        detail: 'INVALID_PURPOSE',
      });
    });

    it('a target without TLS', async () => {
      const error = await refusal({ plain: true }, {}, async (server) => {
        const client = await server.connect();
        await client.config('SET', 'tls-replication', 'no');
      });
      expect(error.context['reason']).toBe('plain-target');
    });

    it('over a plain feed, a target with TLS', async () => {
      const error = await refusal({}, { tls: null });
      expect(error.context['reason']).toBe('tls-target');
    });
  });

  describe.concurrent('tells a target that refuses it,', () => {
    it.each([
      ['comes from an authority that the target does not know', 'B', {}],
      ['has expired', 'A', { fromDays: -30, toDays: -1 }],
      ['is not yet valid', 'A', { fromDays: 1, toDays: 30 }],
      ['is not for servers', 'A', { uses: ['client'] as const }],
    ] as const)('because its certificate %s', async (_, ca, leaf) => {
      const authority = ca === 'A' ? world.caA : world.caB;
      const certificate = await authority.issue({ commonName: 'feed', ...leaf });
      const tls = { ...certificate, ca: [world.caA.cert], peerFingerprint: pinOf(own) };
      const error = await refusal({}, { tls });
      expect(error.context['reason']).toBe('feed-refused');
      expect(error.hint).toContain('tls-ca-cert-file');
    });
  });
});
