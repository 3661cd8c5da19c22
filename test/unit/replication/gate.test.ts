import { systemClock } from '@tidemark/system';
import { afterEach, describe, expect, it } from 'vitest';
import { Gate, type GateOptions } from '../../../libs/replication/src/feed/gate.ts';
import type { ReplicaLink } from '../../../libs/replication/src/feed/replica-link.ts';
import { FakeReplica } from '../../support/fake-replica.ts';

const CREDENTIALS = { user: 'feed', password: 'one-time-password' };
const cleanup: (() => void)[] = [];
afterEach(() => {
  for (const run of cleanup.splice(0)) run();
});

async function listen(changes: Partial<GateOptions> = {}) {
  const arrivals: ReplicaLink[] = [];
  const gate = await Gate.listen({
    host: '127.0.0.1',
    port: 0,
    ...CREDENTIALS,
    allowFrom: '127.0.0.1',
    tls: null,
    authenticateMs: 5000,
    clock: systemClock,
    onArrival: (link) => void arrivals.push(link),
    ...changes,
  });
  cleanup.push(() => {
    gate.close();
    for (const link of arrivals) link.close('test ends');
  });
  const stranger = async (host?: string): Promise<FakeReplica> => {
    const replica = await FakeReplica.to(gate.address.port, host);
    cleanup.push(() => replica[Symbol.dispose]());
    return replica;
  };
  return { gate, arrivals, stranger };
}

const turn = (): Promise<void> => systemClock.sleep(20);

describe('Gate', () => {
  it('lets in a server that authenticates and asks', async () => {
    const { gate, arrivals, stranger } = await listen();
    const replica = await stranger();
    await replica.attach({ ...CREDENTIALS, psync: ['?', '-1'] });
    await turn();
    expect(arrivals).toHaveLength(1);
    expect(arrivals[0]?.request.eof).toBe(true);
    expect(gate.rejections).toEqual({ address: 0, password: 0, protocol: 0, time: 0, tls: 0 });
  });

  it('says nothing to another address', async () => {
    const { gate, stranger } = await listen({ allowFrom: '127.0.0.2' });
    expect(await (await stranger()).untilClosed()).toBe('');
    expect(gate.rejections.address).toBe(1);
  });

  it('takes an IPv4 address that is written as IPv6 for the same', async () => {
    const { arrivals, stranger } = await listen({ allowFrom: '::ffff:127.0.0.1' });
    const replica = await stranger();
    await replica.attach({ ...CREDENTIALS, psync: ['?', '-1'] });
    await turn();
    expect(arrivals).toHaveLength(1);
  });

  it.each([
    ['an HTTP request', 'GET / HTTP/1.1\r\nHost: x\r\n\r\n'],
    ['an inline command', 'SYNC\r\n'],
    ['random bytes', Buffer.from([0x17, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3])],
    ['an array of integers', '*1\r\n:1\r\n'],
    ['a claim of 512 MB', '*1\r\n$536870912\r\n'],
    ['a claim of a million arguments', '*1000000\r\n'],
  ])('answers %s with an error and closes', async (_name, bytes) => {
    const { gate, stranger, arrivals } = await listen();
    const replica = await stranger();
    replica.socket.write(bytes);
    expect(await replica.untilClosed()).toBe('-ERR Protocol error\r\n');
    expect(gate.rejections.protocol).toBe(1);
    expect(arrivals).toHaveLength(0);
  });

  it('notes a TLS handshake at a plain gate, and forgets it with the next that gets in', async () => {
    const { gate, stranger } = await listen();
    for (const attempts of [1, 2]) {
      const replica = await stranger();
      replica.socket.write(Buffer.from([0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3]));
      expect(await replica.untilClosed()).toBe('');
      expect(gate.trouble).toMatchObject({ reason: 'tls-target', attempts });
    }
    expect(gate.rejections).toMatchObject({ protocol: 0, tls: 2 });
    const right = await stranger();
    await right.attach({ ...CREDENTIALS, psync: ['?', '-1'] });
    await turn();
    expect(gate.trouble).toBeNull();
  });

  it('closes a connection after 64 KiB', async () => {
    const { gate, stranger } = await listen();
    const replica = await stranger();
    replica.socket.write(Buffer.alloc(70_000, '\n'));
    await replica.untilClosed();
    expect(gate.rejections.protocol).toBe(1);
  });

  it('closes a connection that sends its bytes too slowly', async () => {
    const { gate, stranger } = await listen({ authenticateMs: 60 });
    const replica = await stranger();
    const drip = setInterval(() => replica.socket.write('\n'), 10);
    cleanup.push(() => clearInterval(drip));
    expect(await replica.untilClosed()).toBe('');
    expect(gate.rejections.time).toBe(1);
  });

  it('keeps a few strangers waiting at once, and lets the right one in among many', async () => {
    const { arrivals, stranger } = await listen();
    const crowd: FakeReplica[] = [];
    for (let i = 0; i < 40; i++) crowd.push(await stranger());
    const right = await stranger();
    await right.attach({ ...CREDENTIALS, psync: ['?', '-1'] });
    await turn();
    expect(arrivals).toHaveLength(1);
    expect(crowd.filter((one) => !one.closed).length).toBeLessThanOrEqual(4);
    for (let i = 0; i < 10; i++) await stranger();
    await turn();
    expect(right.closed).toBe(false);
  });
});
