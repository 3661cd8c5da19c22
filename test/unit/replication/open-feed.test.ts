import { TidemarkError, type ByteSource } from '@tidemark/core';
import { openFeed, type Feed, type FeedOptions, type FeedProgress } from '@tidemark/replication';
import { encodeCommand } from '@tidemark/resp';
import { systemClock } from '@tidemark/system';
import { afterEach, describe, expect, it } from 'vitest';
import { FakeReplica } from '../../support/fake-replica.ts';
import { inChunks } from '../../support/pattern.ts';

const ID = '0123456789abcdef0123456789abcdef01234567';
const CREDENTIALS = { user: 'feed', password: 'one-time-password' };
const RDB = Buffer.from('REDIS0011-not-really');
const COMMANDS = Buffer.concat([
  encodeCommand(['SELECT', '0']),
  encodeCommand(['SET', 'a', '1']),
  encodeCommand(['INCR', 'a']),
]);
const BASE = 1000n;
const END = BASE + BigInt(COMMANDS.length);

const open: Feed[] = [];
const replicas: FakeReplica[] = [];
afterEach(async () => {
  for (const replica of replicas.splice(0)) replica[Symbol.dispose]();
  for (const feed of open.splice(0)) await feed[Symbol.asyncDispose]();
});

async function start(changes: Partial<FeedOptions> = {}): Promise<Feed> {
  const feed = await openFeed({
    listenHost: '127.0.0.1',
    ...CREDENTIALS,
    replicationId: ID,
    baseOffset: BASE,
    snapshot: () => inChunks(RDB, 7),
    commands: (from) => inChunks(COMMANDS.subarray(Number(from)), 5),
    clock: systemClock,
    signal: new AbortController().signal,
    ...changes,
  });
  open.push(feed);
  return feed;
}

async function replicaOf(feed: Feed): Promise<FakeReplica> {
  const replica = await FakeReplica.to(feed.port);
  replicas.push(replica);
  return replica;
}

const attach = async (feed: Feed, id = '?', next = '-1'): Promise<FakeReplica> => {
  const replica = await replicaOf(feed);
  await replica.attach({ ...CREDENTIALS, psync: [id, next] });
  return replica;
};

const FULL = new RegExp(`^\\+FULLRESYNC ${ID} 1000\\r\\n\\n*\\$EOF:([0-9a-f]{40})\\r\\n`);

/** Waits for the whole snapshot and returns the mark. */
async function snapshotOf(replica: FakeReplica): Promise<string> {
  const text = await replica.until((seen) => {
    const mark = FULL.exec(seen)?.[1];
    return mark !== undefined && seen.split(mark).length === 3;
  });
  const [head, mark] = FULL.exec(text)!;
  expect(text.slice(head.length)).toBe(`${RDB.toString()}${mark}`);
  replica.received = Buffer.alloc(0);
  return mark!;
}

const GETACK = encodeCommand(['REPLCONF', 'GETACK', '*']).toString();
const errorOf = async (work: Promise<unknown>): Promise<TidemarkError> => {
  const error: unknown = await work.then(
    () => new Error('resolved'),
    (reason: unknown) => reason,
  );
  if (error instanceof TidemarkError) return error;
  throw error;
};

async function* failing(bytes: Buffer, error: Error): ByteSource {
  yield await Promise.resolve(bytes);
  throw error;
}

describe('openFeed()', () => {
  it('sends snapshot, commands and GETACK, and ends when the last byte is acknowledged', async () => {
    const phases: string[] = [];
    const feed = await start({ onProgress: (p: FeedProgress) => void phases.push(p.phase) });
    const replica = await attach(feed, 'f'.repeat(40), '77');
    await snapshotOf(replica);
    replica.ack(BASE);
    const text = await replica.until((seen) => seen.endsWith(GETACK));
    expect(text).toBe(COMMANDS.toString() + GETACK);
    replica.ack(END - 1n);
    replica.ack(END);
    expect(await feed.finished()).toEqual({
      rdbBytes: RDB.length,
      commandBytes: BigInt(COMMANDS.length),
      offset: END,
      sentOffset: END + 37n,
      restarts: 0,
      resumes: 0,
    });
    expect([...new Set(phases)]).toEqual(['snapshot', 'commands', 'acknowledge', 'done']);
    expect(replica.closed).toBe(false);
  });

  it('sends no byte between the end of the snapshot and the first ACK', async () => {
    const feed = await start({ timeouts: { keepaliveMs: 10 } });
    const replica = await attach(feed);
    await snapshotOf(replica);
    await systemClock.sleep(100);
    expect(replica.received).toHaveLength(0);
  });

  it('sends newlines while the snapshot is being prepared, and not before FULLRESYNC', async () => {
    async function* slow(): ByteSource {
      await systemClock.sleep(100);
      yield* inChunks(RDB, 3);
    }
    const feed = await start({ snapshot: slow, timeouts: { keepaliveMs: 10 } });
    const replica = await attach(feed);
    await replica.until((seen) => seen.includes('$EOF:'));
    expect(replica.received.toString()).toMatch(/^\+FULLRESYNC [^\r]+\r\n\n\n+\$EOF:/);
  });

  it('continues after the last applied command, without loss or repetition', async () => {
    const feed = await start();
    const first = await attach(feed);
    await snapshotOf(first);
    first.ack(BASE);
    await first.until((seen) => seen.endsWith(GETACK));
    const applied = encodeCommand(['SELECT', '0']).length;
    first.socket.destroy();
    const second = await attach(feed, ID, String(BASE + BigInt(applied) + 1n));
    const text = await second.until((seen) => seen.endsWith(GETACK));
    expect(text).toBe(`+CONTINUE ${ID}\r\n${COMMANDS.subarray(applied).toString()}${GETACK}`);
    second.ack(END);
    expect(await feed.finished()).toMatchObject({ offset: END, resumes: 1, restarts: 0 });
  });

  it('counts its keepalives in the offset and leaves them out of the position', async () => {
    let go = (): void => undefined;
    const gate = new Promise<void>((resolve) => (go = resolve));
    const half = encodeCommand(['SELECT', '0']).length;
    const asked: bigint[] = [];
    async function* stalling(from: bigint): ByteSource {
      asked.push(from);
      yield COMMANDS.subarray(Number(from), half);
      await gate;
      yield COMMANDS.subarray(half);
    }
    const feed = await start({
      commands: (from) => (from === 0n ? stalling(from) : inChunks(COMMANDS.subarray(half), 9)),
      timeouts: { keepaliveMs: 20 },
    });
    const replica = await attach(feed);
    await snapshotOf(replica);
    replica.ack(BASE);
    await replica.until((seen) => seen.length >= half);
    await systemClock.sleep(80);
    expect(replica.received).toHaveLength(half); // not acknowledged: it could be within a command
    replica.ack(BASE + BigInt(half));
    const ping = encodeCommand(['PING']).toString();
    await replica.until((seen) => seen.endsWith(ping));
    const at = BASE + BigInt(half + ping.length);
    replica.socket.destroy();
    const second = await attach(feed, ID, String(at + 1n));
    const text = await second.until((seen) => seen.endsWith(GETACK));
    expect(text).toBe(`+CONTINUE ${ID}\r\n${COMMANDS.subarray(half).toString()}${GETACK}`);
    second.ack(END + BigInt(ping.length));
    expect(await feed.finished()).toMatchObject({ offset: END + BigInt(ping.length) });
    expect(asked).toEqual([0n]);
    go();
  });

  it('takes over from an earlier feed where the server stands', async () => {
    const applied = encodeCommand(['SELECT', '0']).length;
    const feed = await start({ resume: true });
    const replica = await attach(feed, ID, String(BASE + BigInt(applied) + 1n));
    const text = await replica.until((seen) => seen.endsWith(GETACK));
    expect(text).toBe(`+CONTINUE ${ID}\r\n${COMMANDS.subarray(applied).toString()}${GETACK}`);
    replica.ack(END);
    expect(await feed.finished()).toMatchObject({ offset: END, rdbBytes: 0, restarts: 0 });
  });

  it('takes over from an earlier feed that had sent everything and GETACK', async () => {
    const feed = await start({ resume: true });
    const replica = await attach(feed, ID, String(END + 37n + 1n));
    await replica.until((seen) => seen === `+CONTINUE ${ID}\r\n${GETACK}`);
    expect(await feed.finished()).toMatchObject({ offset: END + 37n });
  });

  it('sends the snapshot after all when the server has not loaded that of the earlier feed', async () => {
    const feed = await start({ resume: true });
    await snapshotOf(await attach(feed));
  });

  it('puts nothing of its own among the commands when it is to be resumable', async () => {
    const half = encodeCommand(['SELECT', '0']).length;
    async function* stalling(): ByteSource {
      yield COMMANDS.subarray(0, half);
      await systemClock.sleep(150);
      yield COMMANDS.subarray(half);
    }
    const feed = await start({
      commands: stalling,
      resumable: true,
      timeouts: { keepaliveMs: 10 },
    });
    const replica = await attach(feed);
    await snapshotOf(replica);
    replica.ack(BASE);
    await replica.until((seen) => seen.length === half);
    replica.ack(BASE + BigInt(half));
    const text = await replica.until((seen) => seen.endsWith(GETACK));
    expect(text).toBe(COMMANDS.toString() + GETACK);
  });

  it('lets the server that opened a new link take over from a link that still seems alive', async () => {
    const feed = await start();
    const first = await attach(feed);
    await snapshotOf(first);
    first.ack(BASE);
    await first.until((seen) => seen.endsWith(GETACK));
    const second = await attach(feed, ID, String(END + 1n));
    await first.untilClosed();
    expect(await second.until((seen) => seen.endsWith(GETACK))).toBe(
      `+CONTINUE ${ID}\r\n${GETACK}`,
    );
    second.ack(END);
    await feed.finished();
  });

  it('refuses a second server while one is served, and every full resync after the end', async () => {
    const feed = await start();
    const first = await attach(feed);
    await snapshotOf(first);
    const second = await attach(feed);
    expect(await second.untilClosed()).toMatch(/^-NOMASTERLINK /);
    first.ack(BASE);
    await first.until((seen) => seen.endsWith(GETACK));
    first.ack(END);
    await feed.finished();
    first.socket.destroy();
    const third = await attach(feed);
    expect(await third.untilClosed()).toMatch(/^-NOMASTERLINK /);
  });

  it('never answers CONTINUE to a server that did not load our snapshot', async () => {
    const feed = await start();
    const replica = await attach(feed, ID, String(BASE + 1n));
    await snapshotOf(replica);
  });

  it('sends the snapshot three times at most', async () => {
    async function* halting(): ByteSource {
      yield await Promise.resolve(RDB);
      await new Promise<never>(() => undefined);
    }
    const feed = await start({ snapshot: halting });
    const failure = errorOf(feed.finished());
    for (let i = 0; i < 4; i++) {
      const replica = await attach(feed);
      if (i < 3) await replica.until((seen) => seen.includes('$EOF'));
      replica.socket.destroy();
    }
    expect(await failure).toMatchObject({
      code: 'TM_FEED',
      context: { phase: 'snapshot', rdbBytes: RDB.length },
    });
  });

  it('fails at once when a server asks again right after it got the whole snapshot', async () => {
    const feed = await start();
    const first = await attach(feed);
    await snapshotOf(first);
    first.socket.destroy();
    await attach(feed);
    const error = await errorOf(feed.finished());
    expect(error).toMatchObject({ code: 'TM_FEED', context: { phase: 'snapshot' } });
    expect(error.hint).toMatch(/log of the target/);
  });

  it('fails with the phase and the bytes when the server leaves and stays away', async () => {
    const feed = await start({ timeouts: { reconnectMs: 50 } });
    const replica = await attach(feed);
    await snapshotOf(replica);
    replica.ack(BASE);
    await replica.until((seen) => seen.endsWith(GETACK));
    replica.socket.destroy();
    expect(await errorOf(feed.finished())).toMatchObject({
      code: 'TM_FEED',
      context: {
        phase: 'acknowledge',
        rdbBytes: RDB.length,
        commandBytes: BigInt(COMMANDS.length),
        ackedOffset: BASE,
      },
    });
  });

  it('fails when no server comes, and says how many strangers there were', async () => {
    const feed = await start({ timeouts: { connectMs: 150 } });
    const wrong = await replicaOf(feed);
    wrong.send('AUTH', 'feed', 'wrong');
    expect(await wrong.untilClosed()).toMatch(/^-WRONGPASS /);
    expect(await errorOf(feed.finished())).toMatchObject({
      code: 'TM_FEED',
      context: { phase: 'handshake', wrongPasswords: 1 },
    });
  });

  it('fails when the server acknowledges nothing for too long', async () => {
    const feed = await start({ timeouts: { stallMs: 100 } });
    const replica = await attach(feed);
    await snapshotOf(replica);
    replica.ack(BASE);
    expect(await errorOf(feed.finished())).toMatchObject({
      code: 'TM_FEED',
      context: { phase: 'acknowledge', stallMs: 100 },
    });
  });

  it('fails when the server takes no bytes for too long, and not while the source is slow', async () => {
    async function* endless(): ByteSource {
      await systemClock.sleep(200);
      for (;;) yield await Promise.resolve(Buffer.alloc(1 << 20));
    }
    const feed = await start({ snapshot: endless, timeouts: { stallMs: 100 } });
    const replica = await attach(feed);
    replica.socket.pause();
    const error = await errorOf(feed.finished());
    expect(error).toMatchObject({ code: 'TM_FEED', context: { phase: 'snapshot' } });
    expect(error.context.rdbBytes).toBeGreaterThan(1 << 20);
    expect(error.context.rdbBytes).toBeLessThan(64 << 20); // back-pressure reached the source
  });

  it('passes on the error of a source as it is, and closes the link', async () => {
    const cause = new Error('damaged');
    for (const source of ['snapshot', 'commands'] as const) {
      const feed = await start({ [source]: () => failing(Buffer.from('REDIS'), cause) });
      const replica = await attach(feed);
      if (source === 'commands') {
        await snapshotOf(replica);
        replica.ack(BASE);
      }
      await expect(feed.finished()).rejects.toBe(cause);
      await replica.untilClosed();
      const late = await replicaOf(feed);
      expect(await late.untilClosed()).toBe('');
    }
  });

  it('refuses an empty snapshot and a server without capa eof', async () => {
    const feed = await start({ snapshot: () => inChunks(Buffer.alloc(0), 1) });
    await attach(feed);
    expect(await errorOf(feed.finished())).toMatchObject({ code: 'TM_FEED' });
    const other = await start();
    const replica = await replicaOf(other);
    replica.send('AUTH', CREDENTIALS.user, CREDENTIALS.password);
    replica.send('PSYNC', '?', '-1');
    expect(await replica.untilClosed()).toMatch(/^\+OK\r\n-ERR /);
    expect(await errorOf(other.finished())).toMatchObject({ code: 'TM_FEED' });
  });

  it('rejects with the reason of the signal, and with TM_FEED when disposed', async () => {
    const abort = new AbortController();
    const feed = await start({ signal: abort.signal });
    const replica = await attach(feed);
    await snapshotOf(replica);
    const reason = new Error('stop');
    abort.abort(reason);
    await expect(feed.finished()).rejects.toBe(reason);
    await replica.untilClosed();
    const other = await start();
    await other[Symbol.asyncDispose]();
    expect(await errorOf(other.finished())).toMatchObject({ code: 'TM_FEED' });
  });

  it.each([
    ['an id in upper case', { replicationId: ID.toUpperCase() }],
    ['a short password', { password: 'short' }],
    ['a negative offset', { baseOffset: -1n }],
    ['a name instead of an address', { allowFrom: 'localhost' }],
  ])('refuses %s', async (_name, changes) => {
    expect(await errorOf(start(changes))).toMatchObject({ code: 'TM_USAGE' });
  });

  it('says when it cannot listen', async () => {
    const feed = await start();
    const error = await errorOf(start({ listenPort: feed.port }));
    expect(error).toMatchObject({ code: 'TM_FEED_LISTEN', context: { port: feed.port } });
  });
});
