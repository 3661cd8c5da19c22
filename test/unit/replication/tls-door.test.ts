import { X509Certificate } from 'node:crypto';
import { connect as connectPlain, type Socket } from 'node:net';
import { connect, type ConnectionOptions } from 'node:tls';
import { systemClock } from '@tidemark/system';
import { beforeAll, describe, expect, it } from 'vitest';
import { Gate } from '../../../libs/replication/src/feed/gate.ts';
import { TestCa, type TestCertificate } from '../../support/tls/certificates.ts';

describe('TlsDoor', () => {
  let ca: TestCa;
  let feed: TestCertificate;
  let peer: TestCertificate;
  beforeAll(async () => {
    ca = await TestCa.create('feed');
    [feed, peer] = await Promise.all([ca.issue(), ca.issue()]);
  });

  async function listen(allowFrom = '127.0.0.1', authenticateMs = 5_000) {
    const gate = await Gate.listen({
      ...{ host: '127.0.0.1', port: 0, user: 'feed', password: 'one-time-password' },
      ...{ allowFrom, authenticateMs, clock: systemClock, onArrival: () => undefined },
      tls: {
        ...{ ...feed, ca: [ca.cert] },
        peerFingerprint: new X509Certificate(peer.cert).fingerprint256,
      },
    });
    return Object.assign(gate, { [Symbol.dispose]: () => gate.close() });
  }

  /** What a client hears in answer to a PING, until it is closed. */
  function ask(gate: Gate, options: ConnectionOptions): Promise<string> {
    return new Promise((resolve) => {
      const socket = connect({
        host: '127.0.0.1',
        port: gate.address.port,
        ca: ca.cert,
        ...options,
      });
      let heard = '';
      socket.on('data', (chunk: Buffer) => {
        heard += chunk.toString();
        socket.destroy();
      });
      socket.on('error', () => undefined);
      socket.on('close', () => resolve(heard));
      socket.write('*1\r\n$4\r\nPING\r\n');
    });
  }

  const until = async (test: () => boolean): Promise<void> => {
    for (let i = 0; i < 400 && !test(); i++) await systemClock.sleep(25);
    expect(test()).toBe(true);
  };

  it.each(['TLSv1.2', 'TLSv1.3'] as const)(
    'lets the pinned certificate in, %s',
    async (version) => {
      using gate = await listen();
      const heard = await ask(gate, { ...peer, minVersion: version, maxVersion: version });
      expect(heard).toMatch(/^-NOAUTH/);
      expect(gate.trouble).toBeNull();
    },
  );

  it.each(['TLSv1.2', 'TLSv1.3'] as const)(
    'has no word for a client without a certificate, %s',
    async (version) => {
      using gate = await listen();
      expect(await ask(gate, { minVersion: version, maxVersion: version })).toBe('');
      await until(() => gate.trouble !== null);
      expect(gate.trouble).toMatchObject({ reason: 'no-certificate', attempts: 1 });
    },
  );

  it('goes on with no session of an earlier connection', async () => {
    using gate = await listen();
    const sessions: Buffer[] = [];
    await new Promise<void>((resolve) => {
      const { port } = gate.address;
      const socket = connect({ host: '127.0.0.1', port, ca: ca.cert, ...peer });
      socket.on('session', (session: Buffer) => sessions.push(session));
      socket.on('data', () => socket.destroy());
      socket.on('close', () => resolve());
      socket.write('*1\r\n$4\r\nPING\r\n');
    });
    expect(sessions.length).toBeGreaterThan(0);
    expect(await ask(gate, { session: sessions.at(-1)! })).toBe('');
    await until(() => gate.trouble !== null);
  });

  it('speaks no TLS 1.1', async () => {
    using gate = await listen();
    const old = { minVersion: 'TLSv1.1', maxVersion: 'TLSv1.1' } as const;
    expect(await ask(gate, { ...peer, ...old, ciphers: 'DEFAULT@SECLEVEL=0' })).toBe('');
    await until(() => gate.trouble !== null);
    expect(gate.trouble?.reason).toBe('version');
  });

  it('shakes no hands with another address', async () => {
    using gate = await listen('127.0.0.2');
    expect(await ask(gate, peer)).toBe('');
    expect(gate.rejections).toMatchObject({ address: 1, tls: 0 });
    expect(gate.trouble).toBeNull();
  });

  /** A connection that says something, or nothing, in plain. */
  async function knock(gate: Gate, text: string): Promise<Socket> {
    const socket = connectPlain({ host: '127.0.0.1', port: gate.address.port });
    socket.on('error', () => undefined).resume();
    await new Promise<void>((resolve) => socket.once('connect', resolve));
    if (text !== '') socket.write(text);
    return socket;
  }
  const closed = (socket: Socket): Promise<unknown> =>
    socket.closed ? Promise.resolve() : new Promise((resolve) => socket.once('close', resolve));

  it.each([
    ['*1\r\n$4\r\nPING\r\n', 'plain-target'],
    ['*3\r\n$8\r\nREPLCONF\r\n$14\r\nlistening-port\r\n$4\r\n6379\r\n', 'plain-target'],
    ['*3\r\n$4\r\nAUTH\r\n$4\r\nfeed\r\n$1\r\nx\r\n', 'plain-target'],
    ['GET / HTTP/1.1\r\n\r\n', null],
    ['PING\r\n', null],
  ])('takes only a replica for a target without TLS: %j', async (text, reason) => {
    using gate = await listen();
    await closed(await knock(gate, text));
    expect(gate.trouble?.reason ?? null).toBe(reason);
    expect(gate.rejections.protocol).toBe(reason === null ? 1 : 0);
  });

  it('takes no crowd that says nothing for trouble, and lets the right one in among it', async () => {
    using gate = await listen('127.0.0.1', 60_000);
    const crowd: Socket[] = [];
    for (let i = 0; i < 60; i++) crowd.push(await knock(gate, ''));
    expect(await ask(gate, peer)).toMatch(/^-NOAUTH/);
    await until(() => crowd.filter((one) => !one.closed).length <= 16);
    expect(gate.trouble).toBeNull();
    for (const socket of crowd) socket.destroy();
  });

  it('lets no newcomer push out who is amid a handshake, and counts none whom it dropped', async () => {
    using gate = await listen('127.0.0.1', 60_000);
    // The head of a ClientHello: the rest of it is to come.
    const begun: Socket[] = [];
    for (let i = 0; i < 16; i++) begun.push(await knock(gate, '\x16\x03\x01\x02\x00\x01'));
    // All in one process: what was written is read some turns later.
    await systemClock.sleep(100);
    await closed(await knock(gate, ''));
    expect(begun.filter((one) => one.closed)).toEqual([]);
    // One that takes its time makes room after all.
    while (!begun.some((one) => one.closed)) {
      (await knock(gate, '')).destroy();
      await systemClock.sleep(100);
    }
    expect(begun.findIndex((one) => one.closed)).toBe(0);
    expect(gate.trouble).toBeNull();
    for (const socket of begun) socket.destroy();
  });

  it('closes a connection on which no handshake begins', async () => {
    using gate = await listen('127.0.0.1', 60);
    const socket = connectPlain({ host: '127.0.0.1', port: gate.address.port });
    socket.on('error', () => undefined);
    await new Promise((resolve) => socket.on('close', resolve).resume());
    expect(gate.rejections.time).toBe(1);
  });
});
