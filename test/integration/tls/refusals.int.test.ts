import { once } from 'node:events';
import { createServer } from 'node:net';
import { connect, createServer as createTlsServer } from 'node:tls';
import { connectNode, dialNode, openNodeTls, type NodeAddress } from '@tidemark/client';
import type { NodeError } from '@tidemark/core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { writeCertificates } from '../../support/tls/certificate-files.ts';
import { CERTIFICATE_KINDS, TestCa } from '../../support/tls/certificates.ts';
import { TlsWorld } from '../../support/tls/tls-world.ts';

/** A server that is there, but not as it should be: each is told apart, with what to do about it. */
describe('a connection with TLS that must not come about', () => {
  let world: TlsWorld;
  beforeAll(async () => {
    world = await TlsWorld.create();
  });
  afterAll(async () => {
    await world[Symbol.asyncDispose]();
  });

  it.each([
    ['expired', 'expired'],
    ['not-yet-valid', 'not-yet-valid'],
    ['wrong-name', 'wrong-name'],
    ['wrong-use', 'wrong-use'],
  ] as const)('refuses a server whose certificate is %s', async (kind, reason) => {
    const certificate = await world.caA.issueKind(kind);
    await using server = await world.start({ certificate, clients: 'no' });
    const error = await refusalOf(await world.address(server.tlsPort));
    expect(error).toMatchObject({ code: 'TM_TLS_VERIFY', context: { reason } });
    expect(error.context['subject']).toBe('node');
    expect(error.hint).toBeTruthy();
    expect(error.retryable).toBe(false);
  });

  it('refuses a server whose authority is not trusted, or does not sign itself', async () => {
    await using server = await world.start();
    const other = await world.address(server.tlsPort, { caFiles: [world.caFileB] });
    const unknown = { code: 'TM_TLS_VERIFY', context: { reason: 'unknown-ca', subject: 'node' } };
    expect(await refusalOf(other)).toMatchObject(unknown);
    // Without a file: the authorities of the system, who do not know this one either.
    const system = await world.address(server.tlsPort, { caFiles: [] });
    expect(await refusalOf(system)).toMatchObject(unknown);
  });

  it('takes a name of the certificate that is not the host, and only that one', async () => {
    const certificate = await world.caA.issue({ dns: ['node-1.example'], ips: [] });
    await using server = await world.start({ certificate });
    const named = await world.address(server.tlsPort, { serverName: 'node-1.example' });
    await using client = await connectNode(named);
    expect(await client.call('PING')).toBe('PONG');
    for (const serverName of ['node-2.example', '127.0.0.1', 'example']) {
      const error = await refusalOf(await world.address(server.tlsPort, { serverName }));
      expect(error).toMatchObject({ context: { reason: 'wrong-name', name: serverName } });
    }
  });

  it('takes no common name for a name of the host', async () => {
    for (const ips of [[], ['127.0.0.1']]) {
      const certificate = await world.caA.issue({ commonName: 'localhost', dns: [], ips });
      await using server = await world.start({ certificate, clients: 'no' });
      const named = await world.address(server.tlsPort, { serverName: 'localhost' });
      for (const address of [
        named,
        { ...(await world.address(server.tlsPort)), host: 'localhost' },
      ])
        expect(await refusalOf(address)).toMatchObject({
          ...{ code: 'TM_TLS_VERIFY', context: { reason: 'wrong-name', name: 'localhost' } },
        });
      // An address needs an entry for addresses, no other one.
      if (ips.length === 0) continue;
      await using client = await connectNode(await world.address(server.tlsPort));
      expect(await client.call('PING')).toBe('PONG');
    }
  });

  it.each(['TLSv1.2', 'TLSv1.3'])(
    'tells a certificate that a server with %s wants or refuses',
    async (protocols) => {
      await using server = await world.start({ protocols });
      const without = await refusalOf(await world.address(server.tlsPort, {}, null));
      expect(without).toMatchObject({ code: 'TM_TLS_CLIENT_CERT', context: { shown: false } });
      expect(without.hint).toContain('--tls-cert');
      const foreign = await TestCa.create('unknown to the server');
      const expired = await world.caA.issue({ ...CERTIFICATE_KINDS.client, toDays: -0.5 });
      const shown = [
        [await foreign.issueKind('client'), 'unknown-ca'],
        [await world.caA.issue({ uses: ['server'] }), 'unsupported-certificate'],
      ] as const;
      for (const [certificate, reason] of shown) {
        const error = await refusalOf(await world.address(server.tlsPort, {}, certificate));
        expect(error).toMatchObject({
          code: 'TM_TLS_CLIENT_CERT',
          context: { shown: true, reason },
        });
      }
      // What has expired is not even shown: it is refused when the settings are read.
      const files = await writeCertificates(world.dir, 'late', [world.caA.cert], expired);
      await expect(
        openNodeTls({ caFiles: [files.caFile], certFile: files.certFile, keyFile: files.keyFile }),
      ).rejects.toMatchObject({ code: 'TM_TLS_SETTINGS' });
    },
  );

  it('speaks nothing older than TLS 1.2, and nothing older than asked for', async () => {
    await using old = await world.start({ protocols: 'TLSv1.2' });
    const newer = await refusalOf(await world.address(old.tlsPort, { minVersion: '1.3' }));
    const version = { code: 'TM_TLS_PROTOCOL', context: { reason: 'version' } };
    expect(newer).toMatchObject(version);
    const none = { ciphers: 'ECDHE-RSA-AES128-GCM-SHA256' }; // its key is an elliptic curve
    const cipher = await refusalOf(await world.address(old.tlsPort, none));
    expect(cipher).toMatchObject({ code: 'TM_TLS_PROTOCOL', context: { reason: 'handshake' } });
    // OpenSSL 3 speaks TLS 1.1 only at security level 0, which no server setting reaches: Node.js does.
    const certificate = await world.caA.issue();
    const peer = createTlsServer({
      ...certificate,
      ...{ minVersion: 'TLSv1.1', maxVersion: 'TLSv1.1', ciphers: 'ALL:@SECLEVEL=0' },
    });
    peer.on('tlsClientError', () => undefined);
    peer.listen(0, '127.0.0.1');
    await once(peer, 'listening');
    const { port } = peer.address() as { port: number };
    expect(await refusalOf(await world.address(port))).toMatchObject(version);
    const versions = { minVersion: 'TLSv1.1', maxVersion: 'TLSv1.1' } as const;
    const careless = connect({ port, ca: world.caA.cert, ciphers: 'ALL:@SECLEVEL=0', ...versions });
    await once(careless, 'secureConnect'); // it does speak it, to whoever wants to
    expect(careless.getProtocol()).toBe('TLSv1.1');
    careless.destroy();
    peer.close();
  });

  it('tells a plain port that is spoken to with TLS, and the reverse', async () => {
    await using server = await world.start({ plain: true, clients: 'no' });
    const plain = await refusalOf(await world.address(server.port));
    expect(plain).toMatchObject({ code: 'TM_TLS_PROTOCOL', context: { reason: 'plain-port' } });
    expect(plain.hint).toContain(`redis://127.0.0.1:${server.port}`);
    const address = { host: '127.0.0.1', port: server.tlsPort };
    const reverse = { code: 'TM_TLS_PROTOCOL', context: { reason: 'tls-port' } };
    const byClient = await refusalOf(address);
    expect(byClient).toMatchObject(reverse);
    expect(byClient.hint).toContain(`rediss://127.0.0.1:${server.tlsPort}`);
    await expect(dialNode(address, { timeoutMs: 10_000 })).rejects.toMatchObject(reverse);
    const secured = { host: '127.0.0.1', port: server.port, secure: true as const };
    // No settings for TLS: not plain instead.
    await expect(connectNode(secured)).rejects.toMatchObject({ code: 'TM_TLS_SETTINGS' });
  });

  it('ends in time when the other side says nothing or closes, and heeds the signal', async () => {
    const silent = createServer().listen(0, '127.0.0.1');
    await once(silent, 'listening');
    const { port } = silent.address() as { port: number };
    const address = await world.address(port);
    const unreachable = { code: 'TM_NODE_UNREACHABLE', retryable: true };
    await expect(dialNode(address, { timeoutMs: 300 })).rejects.toMatchObject(unreachable);
    const stop = new AbortController();
    const dialled = dialNode(address, { timeoutMs: 30_000, signal: stop.signal });
    const reason = new Error('enough');
    stop.abort(reason);
    await expect(dialled).rejects.toBe(reason);
    silent.on('connection', (socket) => socket.destroy());
    await expect(dialNode(address, { timeoutMs: 10_000 })).rejects.toMatchObject(unreachable);
    silent.close();
    await expect(dialNode(address, { timeoutMs: 10_000 })).rejects.toMatchObject(unreachable);
  });

  it('sends the name of a host, and never an address, for the server to choose by', async () => {
    const names: (string | false | null)[] = [];
    const certificate = await world.caA.issue({ dns: ['localhost', 'node-1.example'] });
    const peer = createTlsServer(certificate, (socket) => {
      names.push(socket.servername);
      socket.end('+PONG\r\n');
    });
    peer.listen(0, '127.0.0.1');
    await once(peer, 'listening');
    const { port } = peer.address() as { port: number };
    const byAddress = await world.address(port);
    const named = await world.address(port, { serverName: 'node-1.example' });
    for (const address of [byAddress, { ...byAddress, host: 'localhost' }, named]) {
      (await dialNode(address, { timeoutMs: 10_000 })).destroy();
    }
    expect(names).toEqual([false, 'localhost', 'node-1.example']);
    peer.close();
  });

  it('takes a close right after the handshake for a refusal of the certificate', async () => {
    const peer = createTlsServer({ ...(await world.caA.issue()) }, (socket) => socket.destroy());
    peer.on('tlsClientError', () => undefined);
    peer.listen(0, '127.0.0.1');
    await once(peer, 'listening');
    const { port } = peer.address() as { port: number };
    expect(await refusalOf(await world.address(port))).toMatchObject({
      code: 'TM_TLS_CLIENT_CERT',
      context: { reason: 'closed' },
    });
    peer.close();
  });
});

async function refusalOf(address: NodeAddress): Promise<NodeError> {
  try {
    await using client = await connectNode(address);
    throw new Error(`connected to ${client.remoteAddress}`);
  } catch (error) {
    return error as NodeError;
  }
}
