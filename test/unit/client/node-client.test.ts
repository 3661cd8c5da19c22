import { createServer, type Server, type Socket } from 'node:net';
import { inspect } from 'node:util';
import { checkRights, connectNode, takeSample, type NodeAddress } from '@tidemark/client';
import { describe, expect, it } from 'vitest';

/** A listening socket that answers as the test says; it is no server, only its manners. */
class Listener implements AsyncDisposable {
  readonly address: NodeAddress;
  private readonly server: Server;
  private readonly sockets: Set<Socket>;

  private constructor(server: Server, sockets: Set<Socket>, port: number) {
    this.server = server;
    this.sockets = sockets;
    this.address = { host: '127.0.0.1', port };
  }

  static async start(onData: (seen: string, socket: Socket) => void): Promise<Listener> {
    const sockets = new Set<Socket>();
    const server = createServer((socket) => {
      let seen = '';
      sockets.add(socket);
      socket.on('error', () => undefined);
      socket.on('data', (chunk: Buffer) => {
        seen += chunk.toString('latin1');
        onData(seen, socket);
      });
    });
    const port = await new Promise<number>((resolve) => {
      server.listen(0, '127.0.0.1', () => {
        const address = server.address();
        resolve(typeof address === 'object' && address !== null ? address.port : 0);
      });
    });
    return new Listener(server, sockets, port);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    await new Promise((resolve) => this.server.close(resolve));
  }
}

/** Answers the greeting of connectNode() and hands on what comes after it. */
function afterGreeting(then: (rest: string, socket: Socket) => void) {
  return (seen: string, socket: Socket): void => {
    const end = seen.indexOf('PING\r\n');
    if (end < 0) return;
    const rest = seen.slice(end + 6);
    if (rest === '') socket.write('+OK\r\n+PONG\r\n');
    else then(rest, socket);
  };
}

describe('connectNode()', () => {
  it('gives up on a socket that never answers after timeoutMs', async () => {
    await using listener = await Listener.start(() => undefined);
    const begin = performance.now();
    await expect(connectNode(listener.address, { timeoutMs: 150 })).rejects.toMatchObject({
      code: 'TM_NODE_UNREACHABLE',
      retryable: true,
      context: { node: `redis://127.0.0.1:${listener.address.port}` },
    });
    expect(performance.now() - begin).toBeLessThan(2_000);
  });

  it('stops with the reason of its signal', async () => {
    await using listener = await Listener.start(() => undefined);
    const controller = new AbortController();
    const reason = new Error('stop');
    setTimeout(() => controller.abort(reason), 20);
    await expect(connectNode(listener.address, { signal: controller.signal })).rejects.toBe(reason);
    await expect(connectNode(listener.address, { signal: controller.signal })).rejects.toBe(reason);
  });

  it('names the reason when nobody listens', async () => {
    const listener = await Listener.start(() => undefined);
    await listener[Symbol.asyncDispose]();
    await expect(connectNode(listener.address)).rejects.toMatchObject({
      code: 'TM_NODE_UNREACHABLE',
      context: { errno: 'ECONNREFUSED' },
    });
    await expect(
      connectNode({ host: 'localhost', port: 1, path: '/nonexistent/x.sock' }),
    ).rejects.toMatchObject({ code: 'TM_NODE_UNREACHABLE', context: { errno: 'ENOENT' } });
  });

  it('takes a refusal because of protected mode for one of rights to enter', async () => {
    await using listener = await Listener.start((_, socket) => {
      socket.end('-DENIED Redis is running in protected mode\r\n-DENIED x\r\n');
    });
    await expect(connectNode(listener.address)).rejects.toMatchObject({ code: 'TM_NODE_AUTH' });
  });

  it('does not take bytes that are not RESP for an answer', async () => {
    await using listener = await Listener.start((_, socket) => {
      socket.write('HTTP/1.1 400 Bad Request\r\n\r\n');
    });
    await expect(connectNode(listener.address, { timeoutMs: 500 })).rejects.toMatchObject({
      code: 'TM_NODE_UNREACHABLE',
    });
  });
});

describe('a NodeClient', () => {
  it('rejects pending and later calls when the connection is lost, and does not reconnect', async () => {
    let greetings = 0;
    await using listener = await Listener.start(
      afterGreeting((rest, socket) => {
        greetings++;
        if (rest.includes('SLOW')) socket.destroy();
      }),
    );
    await using client = await connectNode(listener.address);
    const lost = { code: 'TM_NODE_UNREACHABLE' };
    const first = client.call('GET', 'x');
    const second = client.pipeline([['SLOW'], ['GET', 'y']]);
    await expect(first).rejects.toMatchObject(lost);
    await expect(second).rejects.toMatchObject(lost);
    await client.closed;
    expect(client.isOpen).toBe(false);
    await expect(client.call('PING')).rejects.toMatchObject(lost);
    await expect(client.pipeline([['PING']])).rejects.toMatchObject(lost);
    expect(greetings).toBe(1);
  });

  it('closes the connection when a reply does not come in time', async () => {
    await using listener = await Listener.start(afterGreeting(() => undefined));
    await using client = await connectNode(listener.address, { replyTimeoutMs: 100 });
    await expect(client.call('CONFIG', 'SET', 'a', 'b')).rejects.toMatchObject({
      code: 'TM_NODE_UNREACHABLE',
      context: { command: 'CONFIG SET' },
    });
    await client.closed;
  });

  it('keeps arguments and what repeats them out of errors', async () => {
    await using listener = await Listener.start(
      afterGreeting((_, socket) => {
        socket.write(
          "-ERR unknown command 'CONFIG', with args beginning with: 'SET' 'masterauth' 'hunter2'\r\n",
        );
      }),
    );
    await using client = await connectNode({ ...listener.address });
    const error = await client.call('CONFIG', 'SET', 'masterauth', 'hunter2').catch(String);
    const whole = await client
      .call('CONFIG', 'SET', 'masterauth', 'hunter2')
      .catch((e: unknown) => e);
    expect(error).toContain("unknown command 'CONFIG'");
    expect(whole).toMatchObject({ code: 'TM_NODE_REPLY', context: { command: 'CONFIG SET' } });
    expect(inspect(whole, { depth: 9, showHidden: true })).not.toContain('hunter2');
  });

  it('takes a sample in one round trip', async () => {
    // Answers nothing before it has seen the whole transaction.
    await using listener = await Listener.start(
      afterGreeting((rest, socket) => {
        const bulk = (text: string): string => `$${text.length}\r\n${text}\r\n`;
        if (rest.endsWith('INFO\r\n$6\r\nserver\r\n') && !rest.includes('MULTI')) {
          socket.write(bulk('redis_version:7.0.15\r\n'));
        }
        if (!rest.endsWith('$4\r\nEXEC\r\n')) return;
        socket.write(
          `+OK\r\n${'+QUEUED\r\n'.repeat(4)}*4\r\n*2\r\n${bulk('1700000000')}${bulk('000123')}` +
            bulk('# Persistence\r\nloading:0\r\naof_enabled:1\r\naof_current_size:700\r\n') +
            bulk(
              'role:slave\r\nmaster_link_status:up\r\nmaster_replid:ab\r\nmaster_repl_offset:9007199254740991\r\n',
            ) +
            bulk('run_id:cd\r\nuptime_in_seconds:5\r\n'),
        );
      }),
    );
    await using client = await connectNode(listener.address, { replyTimeoutMs: 2_000 });
    expect(await takeSample(client)).toEqual({
      timeUs: 1_700_000_000_000_123,
      runId: 'cd',
      uptimeSeconds: 5,
      role: 'replica',
      masterLinkUp: true,
      masterReplid: 'ab',
      masterReplOffset: Number.MAX_SAFE_INTEGER,
      loading: false,
      aofEnabled: true,
      aofCurrentSize: 700,
      aofBaseSize: 0,
      aofBufferLength: 0,
      aofRewriteInProgress: false,
      aofRewriteScheduled: false,
      aofRewrites: -1,
      lastWriteOk: false,
    });
  });

  it('takes a sample of a server before 7.0 without a transaction, which that would log', async () => {
    const bulk = (text: string): string => `$${text.length}\r\n${text}\r\n`;
    const time = (second: number, micros: number): string =>
      `*2\r\n${bulk(second.toString())}${bulk(micros.toString())}`;
    const seen: string[] = [];
    // The first answer lies on both sides of a second: it is asked for again.
    const times = [time(1_700_000_000, 999_990) + time(1_700_000_001, 4)];
    await using listener = await Listener.start(
      afterGreeting((rest, socket) => {
        const last = rest.slice(seen.join('').length);
        if (last.includes('server')) socket.write(bulk('redis_version:6.0.16\r\n'));
        else if (last.split('TIME').length === 3) {
          const both = times.pop() ?? time(1_700_000_001, 100) + time(1_700_000_001, 130);
          const at = both.indexOf('*', 1);
          const info = bulk(
            'role:master\r\nmaster_repl_offset:0\r\nrun_id:cd\r\naof_enabled:1\r\naof_current_size:7\r\n',
          );
          socket.write(both.slice(0, at) + info + both.slice(at));
        } else return;
        seen.push(last);
      }),
    );
    await using client = await connectNode(listener.address, { replyTimeoutMs: 2_000 });
    expect(await takeSample(client)).toMatchObject({
      ...{ timeUs: 1_700_000_001_000_130, runId: 'cd', aofCurrentSize: 7, masterReplOffset: 0 },
    });
    expect(seen).toHaveLength(3);
    expect(seen.join('')).not.toContain('MULTI');
  });

  it('never runs a command to try a right when it may not open a transaction', async () => {
    const seen: string[] = [];
    await using listener = await Listener.start(
      afterGreeting((rest, socket) => {
        seen.push(rest);
        const last = rest.slice(rest.lastIndexOf('*'));
        if (last.includes('ACL'))
          socket.write("-NOPERM no permissions to run the 'acl|whoami' command\r\n");
        if (last.includes('DISCARD')) {
          socket.write(
            "-NOPERM no permissions to run the 'multi' command\r\n-ERR DISCARD without MULTI\r\n",
          );
        }
      }),
    );
    await using client = await connectNode(listener.address, { replyTimeoutMs: 1_000 });
    await expect(checkRights(client, [['FLUSHALL']])).rejects.toMatchObject({
      code: 'TM_NODE_RIGHTS',
      context: { command: 'MULTI' },
    });
    expect(seen.join('')).not.toContain('FLUSHALL');
  });
});
