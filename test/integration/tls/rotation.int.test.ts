import { symlink, mkdir, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  connectNode,
  openNodeTls,
  type NodeAddress,
  type NodeTls,
  type TlsHooks,
  type TlsSettings,
} from '@tidemark/client';
import { TidemarkError } from '@tidemark/core';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { serverBinaries } from '../../support/servers.ts';
import { swapFile } from '../../support/tls/certificate-files.ts';
import type { TestCertificate } from '../../support/tls/certificates.ts';
import { TlsWorld } from '../../support/tls/tls-world.ts';

const SOON = { settleMs: 20, pollMs: 60_000 };
const WAIT = { timeout: 30_000, interval: 20 };

/** Certificates and authorities change while connections are open; nothing is restarted. */
describe('certificates that change on disk', () => {
  let world: TlsWorld;
  beforeAll(async () => {
    world = await TlsWorld.create();
  });
  afterAll(async () => {
    await world[Symbol.asyncDispose]();
  });

  it('follow a rotation of the authority: old, both, new', async () => {
    await using server = await world.start({ trusted: [world.caA.cert, world.caB.cert] });
    const caFile = join(world.dir, 'rotation.pem');
    await swapFile(caFile, world.caA.cert);
    const reloads: number[] = [];
    const onReload = (dropped: number): void => void reloads.push(dropped);
    using tls = await open(world, { caFiles: [caFile] }, { onReload });
    const address = addressOf(server.tlsPort, tls);
    const both = `${world.caA.cert}\n${world.caB.cert}`;

    await using long = await connectNode(address);
    await swapFile(caFile, both);
    await vi.waitFor(() => expect(reloads).toEqual([0]), WAIT);
    expect(await long.call('PING')).toBe('PONG'); // it was not touched
    await expectVerifiedBy(address, tls, 'CA A');

    await server.show(await world.caB.issue(), [world.caA.cert, world.caB.cert]);
    await expectVerifiedBy(address, tls, 'CA B');
    expect(await long.call('PING')).toBe('PONG');

    await swapFile(caFile, world.caB.cert);
    await vi.waitFor(() => expect(reloads).toEqual([0, 1]), WAIT);
    await long.closed; // nobody vouches for its peer any more
    await expect(long.call('PING')).rejects.toMatchObject({
      ...{ code: 'TM_NODE_UNREACHABLE', retryable: true },
      context: { reason: 'unknown-ca' },
    });
    await expectVerifiedBy(address, tls, 'CA B');
  });

  it.each(['TLSv1.2', 'TLSv1.3'])(
    'end sessions of %s: a resumed one proves nothing of a peer',
    async (protocols) => {
      await using server = await world.start({ protocols });
      const caFile = join(world.dir, `sessions-${protocols}.pem`);
      await swapFile(caFile, world.caA.cert);
      using tls = await open(world, { caFiles: [caFile] });
      const address = addressOf(server.tlsPort, tls);
      await once(address);
      await vi.waitFor(() => expect(tls.sessions).toBe(1), WAIT);
      await once(address);
      expect(tls.peers).toMatchObject([
        { resumed: true, protocol: protocols, verifiedBy: { subject: 'CA A' } },
      ]);

      await swapFile(caFile, world.caB.cert);
      await tls.reload();
      expect(tls.sessions).toBe(0);
      const refused = { code: 'TM_TLS_VERIFY', context: { reason: 'unknown-ca' } };
      await expect(connectNode(address)).rejects.toMatchObject(refused);
      await swapFile(caFile, world.caA.cert);
      await tls.reload();
      await once(address);
      expect(tls.peers).toMatchObject([{ resumed: false }]);
    },
  );

  it('are shown from the next connection on, also where a link of the folder is swapped', async () => {
    await using server = await world.start({ trusted: [world.caB.cert] });
    // As Kubernetes mounts a secret: the files link through `..data`, and only that link moves.
    const mount = join(world.dir, 'mount');
    await mkdir(mount);
    await layDown(mount, 'first', await world.caA.issueKind('client'));
    for (const name of ['tls.crt', 'tls.key']) await symlink(`..data/${name}`, join(mount, name));
    const onReload = vi.fn();
    const files = { certFile: join(mount, 'tls.crt'), keyFile: join(mount, 'tls.key') };
    using tls = await openNodeTls(
      { caFiles: [world.caFileA], ...files },
      { pauses: SOON, onReload },
    );
    const address = addressOf(server.tlsPort, tls);
    await expect(connectNode(address)).rejects.toMatchObject({
      code: 'TM_TLS_CLIENT_CERT',
      context: { reason: 'unknown-ca' },
    });
    await layDown(mount, 'second', await world.caB.issueKind('client'));
    await vi.waitFor(() => expect(onReload).toHaveBeenCalled(), WAIT);
    await once(address);
    expect(tls.ownCertificate).toMatchObject({ issuer: 'CA B' });
  });

  it('that cannot be used leave the old ones in force, and are told of once', async () => {
    await using server = await world.start();
    const settings = await world.settings({ caFiles: [join(world.dir, 'broken.pem')] });
    const [caFile = ''] = settings.caFiles ?? [];
    await swapFile(caFile, world.caA.cert);
    const faults: TidemarkError[] = [];
    const onFault = (fault: TidemarkError): void => void faults.push(fault);
    using tls = await openNodeTls(settings, { pauses: SOON, onFault });
    const address = addressOf(server.tlsPort, tls);
    const before = tls.fingerprint;
    await writeFile(caFile, 'half a certificate');
    await vi.waitFor(() => expect(faults).toHaveLength(1), WAIT);
    await tls.reload();
    expect(faults).toMatchObject([{ code: 'TM_TLS_SETTINGS' }]);
    expect(tls.fingerprint).toBe(before);
    await once(address);
    // The certificate is swapped before its key: neither half is used without the other.
    const next = await world.caA.issueKind('client');
    await swapFile(caFile, world.caA.cert);
    await swapFile(settings.certFile ?? '', next.cert);
    await vi.waitFor(() => expect(faults).toHaveLength(2), WAIT);
    expect(faults[1]?.message).toContain('does not belong');
    await once(address);
    await swapFile(settings.keyFile ?? '', next.key);
    await vi.waitFor(() => expect(tls.fingerprint).not.toBe(before), WAIT);
    await once(address);
  });

  it('that are half written end no connection: those before stay in force', async () => {
    await using server = await world.start();
    const caFile = join(world.dir, 'growing.pem');
    const whole = world.caB.cert + world.caA.cert; // the node is of the second one
    await swapFile(caFile, whole);
    const [onFault, onReload] = [vi.fn(), vi.fn()];
    using tls = await open(world, { caFiles: [caFile] }, { onFault, onReload });
    const address = addressOf(server.tlsPort, tls);
    await using long = await connectNode(address);
    await swapFile(caFile, whole.slice(0, -100));
    await vi.waitFor(() => expect(onFault).toHaveBeenCalledTimes(1), WAIT);
    expect(onFault.mock.calls).toMatchObject([
      [{ code: 'TM_TLS_SETTINGS', message: expect.stringContaining('not whole') as string }],
    ]);
    expect(await long.call('PING')).toBe('PONG');
    await swapFile(caFile, whole);
    await tls.reload();
    expect(onReload).not.toHaveBeenCalled();
    await expectVerifiedBy(address, tls, 'CA A');
  });

  it('tell in time that they end: ours, an authority, and that of a node', async () => {
    await using server = await world.start({ certificate: await world.caA.issue({ toDays: 25 }) });
    const shown = await world.caA.issue({ uses: ['client'], fromDays: -60, toDays: 6 });
    const onExpiry = vi.fn();
    using tls = await openNodeTls(await world.settings({}, shown), { onExpiry });
    const address = addressOf(server.tlsPort, tls);
    await once(address);
    await once(address);
    expect(onExpiry.mock.calls).toMatchObject([
      [{ what: 'own', level: 7, daysLeft: 5, node: null }],
      // 25 of 26 days are left: that is no alarm. A server that is renewed late is one.
    ]);
    await server.show(await world.caA.issue({ fromDays: -150, toDays: 25 }));
    await once(address); // goes on with the session, and tells nothing new
    await tls.reload();
    using other = await openNodeTls(await world.settings(), { onExpiry });
    await once(addressOf(server.tlsPort, other));
    expect(onExpiry.mock.calls[1]).toMatchObject([
      { what: 'peer', level: 30, daysLeft: 24, node: `127.0.0.1:${server.tlsPort}` },
    ]);
  });
});

describe('TLS with every server', () => {
  it.each(serverBinaries().map((server) => [server.name, server.binary] as const))(
    '%s: both sides show certificates, in both versions, and sessions are gone on with',
    async (_, binary) => {
      await using world = await TlsWorld.create();
      await using server = await world.start({ binary });
      for (const minVersion of ['1.2', '1.3'] as const) {
        const address = await world.address(server.tlsPort, { minVersion });
        await once(address);
        await vi.waitFor(() => expect(address.tls?.sessions).toBe(1), WAIT);
        await once(address);
        expect(address.tls?.peers).toMatchObject([{ protocol: 'TLSv1.3', resumed: true }]);
      }
      await expect(connectNode(await world.address(server.tlsPort, {}, null)))
        .rejects //
        .toMatchObject({ code: 'TM_TLS_CLIENT_CERT' });
      await expect(connectNode({ host: '127.0.0.1', port: server.tlsPort }))
        .rejects //
        .toMatchObject({ code: 'TM_TLS_PROTOCOL', context: { reason: 'tls-port' } });
    },
  );
});

async function open(
  world: TlsWorld,
  settings: TlsSettings,
  hooks: TlsHooks = {},
): Promise<NodeTls> {
  return openNodeTls(await world.settings(settings), { pauses: SOON, ...hooks });
}

function addressOf(port: number, tls: NodeTls): NodeAddress {
  return { host: '127.0.0.1', port, secure: true, tls };
}

async function once(address: NodeAddress): Promise<void> {
  await using client = await connectNode(address);
  expect(await client.call('PING')).toBe('PONG');
}

async function expectVerifiedBy(address: NodeAddress, tls: NodeTls, ca: string): Promise<void> {
  await once(address);
  expect(tls.peers.at(-1)?.verifiedBy).toMatchObject({ subject: ca });
}

async function layDown(mount: string, name: string, { cert, key }: TestCertificate): Promise<void> {
  await mkdir(join(mount, name));
  await writeFile(join(mount, name, 'tls.crt'), cert);
  await writeFile(join(mount, name, 'tls.key'), key, { mode: 0o600 });
  await symlink(name, join(mount, '..data.new'));
  await rename(join(mount, '..data.new'), join(mount, '..data'));
}
