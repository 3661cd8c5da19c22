import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { openNodeTls, type NodeAddress, type NodeTls } from '@tidemark/client';
import { NodeError } from '@tidemark/core';
import { systemClock } from '@tidemark/system';
import { describe, expect, it, vi } from 'vitest';
import type { CaptureStatus } from '../../../services/archiver/src/capture/capture-status.ts';
import { INSTANCE, type RunningArchiver } from '../../support/archiver-run.ts';
import { CuttingProxy } from '../../support/cutting-proxy.ts';
import { NodeLife, type LifeOptions } from '../../support/node-life.ts';
import { swapFile, writeCertificates } from '../../support/tls/certificate-files.ts';
import { freePort } from '../../support/tls/tls-server.ts';
import { TlsWorld } from '../../support/tls/tls-world.ts';

const STARTS_MAX = 5;
const RDB_BYTES = 6 << 20;
const CUT_BYTES = 2 << 20;

describe('capture by replication over TLS', () => {
  it('loses no byte while the authority of both sides is rotated under load', async () => {
    await using world = await TlsWorld.create();
    const caFile = join(world.dir, 'trusted.pem');
    await swapFile(caFile, world.caA.cert);
    const settings = await world.settings({ caFiles: [caFile] });
    const reloads: number[] = [];
    using tls = await openNodeTls(settings, {
      pauses: { settleMs: 20, pollMs: 60_000 },
      onReload: (dropped) => void reloads.push(dropped),
    });
    await using life = await startLife(world, tls, { 'repl-backlog-size': '32mb' });
    const recording = life.record(4);
    await systemClock.sleep(700); // well into the first recorded second

    await swapFile(caFile, `${world.caA.cert}\n${world.caB.cert}`);
    await until(() => reloads.length === 1);
    expect(reloads).toEqual([0]); // the old one is still good: nothing was ended
    await showB(life, world);
    const next = await world.caB.issueKind('client');
    await swapFile(settings.certFile ?? '', next.cert);
    await swapFile(settings.keyFile ?? '', next.key);
    await swapFile(caFile, world.caB.cert);
    await until(() => reloads.some((dropped) => dropped > 0));
    await recording;

    await until(async () => (await linkOf(life.archiver))?.state === 'streaming');
    await life.record(1);
    const status = await life.archiver.status();
    expect(status.link).toMatchObject({ state: 'streaming', fullResyncs: 1, error: null });
    expect(status.link?.partialResyncs).toBeGreaterThan(0);
    expect(tls.peers).toMatchObject([{ verifiedBy: { subject: 'CA B' } }]);
    await life.expectHistory({ closed: [], holes: [] });
  });

  it('comes to a whole snapshot when the connection breaks in the middle of it', async () => {
    await using world = await TlsWorld.create();
    using tls = await openNodeTls(await world.settings());
    const config = { 'repl-backlog-size': '16kb', 'repl-timeout': '60' };
    await using life = await startLife(world, tls, config);
    await life.record();
    await life.leave();
    const redis = await life.server.connect();
    await redis.set('more', randomBytes(RDB_BYTES)); // does not compress, and is past the backlog
    await using proxy = await CuttingProxy.to(await tlsPortOf(life));
    proxy.breakAt = CUT_BYTES; // no other connection carries as much as the snapshot
    const address: NodeAddress = { host: '127.0.0.1', port: proxy.port, secure: true, tls };
    await life.attach({ instances: [{ id: INSTANCE, address }] });
    await life.untilTimeline(2);
    expect(proxy.breakAt).toBeNull(); // it did break
    await life.record();
    await life.expectHistory({ closed: ['backlog-overrun'] });
  });

  it('tells a link that the node refuses, and comes back as soon as other files are there', async () => {
    await using world = await TlsWorld.create();
    using good = await openNodeTls(await world.settings());
    await using life = await startLife(world, good, {});
    await life.record();
    await life.leave();
    const settings = await world.settings({}, await world.caA.issue({ uses: ['server'] }));
    using tls = await openNodeTls(settings, { pauses: { settleMs: 20, pollMs: 60_000 } });
    const port = await tlsPortOf(life);
    const address: NodeAddress = { host: '127.0.0.1', port, secure: true, tls };
    const archiver = life.bench.start({ instances: [{ id: INSTANCE, address }] });
    await until(async () => (await linkOf(archiver))?.error?.code === 'TM_TLS_CLIENT_CERT');
    await swapFile(settings.certFile ?? '', world.client.cert);
    await swapFile(settings.keyFile ?? '', world.client.key);
    await until(async () => (await linkOf(archiver))?.state === 'streaming');
    await archiver.stop();
    await life.attach();
    await life.record();
    await life.expectHistory({ closed: [], holes: [] });
  });
});

/** Waits for long: the machine may be short of time. */
async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  await vi.waitFor(async () => expect(await holds()).toBe(true), { timeout: 90_000, interval: 50 });
}

/** The link of a capture; undefined before the archiver answers. */
async function linkOf(archiver: RunningArchiver): Promise<CaptureStatus['link'] | undefined> {
  return (await archiver.status().catch(() => undefined))?.link;
}

/** A node that is captured over its TLS port; tests look into it over its plain one. */
async function startLife(
  world: TlsWorld,
  tls: NodeTls,
  config: Readonly<Record<string, string>>,
): Promise<NodeLife> {
  const trusted = [world.caA.cert, world.caB.cert];
  const files = await writeCertificates(world.dir, 'node', trusted, await world.caA.issue());
  for (let attempt = 1; ; attempt++) {
    const port = await freePort();
    const address: NodeAddress = { host: '127.0.0.1', port, secure: true, tls };
    const options: LifeOptions = {
      source: 'psync',
      config: {
        ...config,
        'tls-port': port.toString(),
        'tls-ca-cert-file': files.caFile,
        'tls-cert-file': files.certFile,
        'tls-key-file': files.keyFile,
      },
      archiver: { instances: [{ id: INSTANCE, address }] },
    };
    try {
      return await NodeLife.start(options);
    } catch (error) {
      // Somebody else was faster with the port.
      const taken = error instanceof NodeError && /in use/i.test(String(error.context.log));
      if (!taken || attempt >= STARTS_MAX) throw error;
    }
  }
}

/** The node shows a certificate of the new authority from the next connection on. */
async function showB(life: NodeLife, world: TlsWorld): Promise<void> {
  const trusted = [world.caA.cert, world.caB.cert];
  const files = await writeCertificates(world.dir, 'node-b', trusted, await world.caB.issue());
  const redis = await life.server.connect();
  const pair = ['tls-cert-file', files.certFile, 'tls-key-file', files.keyFile] as const;
  await redis.call('CONFIG', 'SET', ...pair);
  redis.disconnect();
}

async function tlsPortOf(life: NodeLife): Promise<number> {
  const redis = await life.server.connect();
  const [, port] = (await redis.call('CONFIG', 'GET', 'tls-port')) as [string, string];
  redis.disconnect();
  return Number(port);
}
