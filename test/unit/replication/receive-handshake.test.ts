import { once } from 'node:events';
import { connect } from 'node:net';
import { NodeError, TidemarkError } from '@tidemark/core';
import { openReplicaLink, type ReplicaLink, type ReplicaLinkOptions } from '@tidemark/replication';
import { systemClock } from '@tidemark/system';
import { afterEach, describe, expect, it } from 'vitest';
import { PiecewiseSocket, ScriptedPrimary, type Answer } from '../../support/scripted-primary.ts';

const ID = '0123456789abcdef0123456789abcdef01234567';
const NEW_ID = '89abcdef0123456789abcdef0123456789abcdef';
const AT = { replid: ID, offset: 999n };
const cleanup: AsyncDisposable[] = [];
afterEach(async () => {
  for (const one of cleanup.splice(0)) await one[Symbol.asyncDispose]();
});

const primaryOf = async (answer: Answer): Promise<ScriptedPrimary> => {
  const primary = await ScriptedPrimary.start(answer);
  cleanup.push(primary);
  return primary;
};

async function open(
  primary: ScriptedPrimary,
  changes: Partial<ReplicaLinkOptions> = {},
): Promise<ReplicaLink> {
  const link = await openReplicaLink({
    dial: () => primary.dial(),
    node: 'scripted',
    resume: null,
    clock: systemClock,
    signal: new AbortController().signal,
    ...changes,
  });
  cleanup.push(link);
  return link;
}

const faultOf = async (work: Promise<unknown>): Promise<TidemarkError> => {
  const error: unknown = await work.then(
    () => new Error('resolved'),
    (reason: unknown) => reason,
  );
  if (error instanceof TidemarkError) return error;
  throw error;
};

/** Answers as a server does; `changes` are said instead, by the first words of a command. */
const usual =
  (changes: Record<string, string | null> = {}): Answer =>
  (command) => {
    for (const [start, said] of Object.entries(changes)) if (command.startsWith(start)) return said;
    return command.startsWith('PSYNC') ? `+FULLRESYNC ${ID} 1000\r\n` : '+OK\r\n';
  };

describe('what a link says before the data', () => {
  it.each([0, 1, 2, 7])('is one command after the other, in pieces of %d bytes', async (pieces) => {
    const early: string[] = [];
    const primary = await primaryOf((command, end) => {
      // A PSYNC while a reply is pending is refused by a server.
      const expected = end.heard.indexOf(command);
      if (expected !== end.heard.length - 1) early.push(command);
      return `\n\n${usual()(command, end) ?? ''}`;
    });
    const link = await open(primary, {
      username: 'tidemark',
      password: 'secret',
      ...(pieces === 0
        ? {}
        : { dial: async () => new PiecewiseSocket(await primary.dial(), pieces) }),
    });
    expect(link.start).toEqual({ kind: 'full', replid: ID, offset: 1000n });
    expect(early).toEqual([]);
    expect(primary.end.heard.filter((one) => one !== '\n')).toEqual([
      'AUTH tidemark secret',
      'REPLCONF capa eof capa psync2',
      'REPLCONF version 255.255.255',
      'PSYNC ? -1',
    ]);
  });

  it('asks for what follows the offset that it names, and takes a new name', async () => {
    for (const [answer, replid] of [
      ['+CONTINUE\r\n', ID],
      [`+CONTINUE ${NEW_ID}\r\n`, NEW_ID],
    ] as const) {
      const primary = await primaryOf(usual({ PSYNC: answer }));
      const link = await open(primary, { resume: AT, password: 'secret' });
      expect(link.start).toEqual({ kind: 'continued', replid, offset: 999n });
      expect(primary.end.heard[0]).toBe('AUTH secret');
      expect(primary.end.heard).toContain(`PSYNC ${ID} 1000`);
    }
  });

  it('takes a full resync where it asked for a partial one', async () => {
    const primary = await primaryOf(usual({ PSYNC: `+FULLRESYNC ${NEW_ID} 5\r\n` }));
    const link = await open(primary, { resume: AT });
    expect(link.start).toEqual({ kind: 'full', replid: NEW_ID, offset: 5n });
  });

  it('asks for the snapshot alone, also a server that does not know how', async () => {
    const primary = await primaryOf(
      usual({
        'REPLCONF rdb-only': '-ERR Unrecognized REPLCONF option: rdb-only\r\n',
        'REPLCONF version': '-ERR Unrecognized REPLCONF option: version\r\n',
      }),
    );
    await open(primary, { snapshotOnly: true });
    expect(primary.end.heard).toContain('REPLCONF rdb-only 1');
    expect(primary.end.heard.indexOf('PSYNC ? -1')).toBeGreaterThan(0);
  });

  it('does without a password that nobody asks for', async () => {
    const text = '-ERR AUTH <password> called without any password configured for the default user';
    const primary = await primaryOf(usual({ AUTH: `${text}. Are you sure?\r\n` }));
    expect((await open(primary, { password: 'secret' })).start.kind).toBe('full');
  });
});

const refusals = [
  ['AUTH', '-WRONGPASS invalid username-password pair or user is disabled.', 'TM_NODE_AUTH'],
  ['AUTH', "-ERR unknown command 'AUTH', with args beginning with: 'secret'", 'TM_NODE_AUTH'],
  ['AUTH', '-DENIED Redis is running in protected mode', 'TM_NODE_AUTH'],
  ['REPLCONF', '-NOAUTH Authentication required.', 'TM_NODE_AUTH'],
  ['REPLCONF', "-NOPERM User x has no permissions to run the 'replconf' command", 'TM_NODE_RIGHTS'],
  [
    'REPLCONF',
    '-ERR unknown command `REPLCONF`, with args beginning with: ',
    'TM_REPLICATION_PEER',
  ],
  ['REPLCONF', '-ERR max number of clients reached', 'TM_REPLICATION'],
  ['PSYNC', "-NOPERM this user has no permissions to run the 'psync' command", 'TM_NODE_RIGHTS'],
  ['PSYNC', '-LOADING Redis is loading the dataset in memory', 'TM_NODE_LOADING'],
  ['PSYNC', "-NOMASTERLINK Can't SYNC while not connected with my master", 'TM_REPLICA_LINK_DOWN'],
  ['PSYNC', '-MASTERDOWN Link with MASTER is down', 'TM_REPLICA_LINK_DOWN'],
  ['PSYNC', "-ERR unknown command 'PSYNC', with args beginning with: '?' ", 'TM_REPLICATION_PEER'],
  ['PSYNC', '-ERR SYNC and PSYNC are invalid with pending output', 'TM_REPLICATION'],
] as const;

describe('an answer that is no yes', () => {
  it.each(refusals)('%s %s is %s', async (command, text, code) => {
    const primary = await primaryOf(usual({ [command]: `${text}\r\n` }));
    const fault = await faultOf(open(primary, { username: 'tidemark', password: 'secret' }));
    expect(fault).toBeInstanceOf(NodeError);
    expect(fault.code).toBe(code);
    expect(fault.context).toMatchObject({ node: 'scripted', phase: 'handshake', command });
    expect(JSON.stringify([fault.message, fault.hint, fault.context])).not.toContain('secret');
    if (code === 'TM_NODE_RIGHTS') expect(fault.hint).toContain('+psync +replconf +ping');
    await primary.end.untilClosed();
  });

  const foreign: [string, string, string][] = [
    ['AUTH', 'HTTP/1.1 400 Bad Request\r\n\r\n', 'an answer to AUTH'],
    ['REPLCONF', ':5\r\n', 'an answer to REPLCONF'],
    ['REPLCONF', 'a'.repeat(5000), 'a line without an end'],
    ['PSYNC', '\0\x01\xff\r\n', 'an answer to PSYNC'],
    ['PSYNC', `+FULLRESYNC ${ID}\r\n`, 'an answer to PSYNC'],
    ['PSYNC', `+FULLRESYNC ${ID.toUpperCase()} 1\r\n`, 'an answer to PSYNC'],
    ['PSYNC', `+FULLRESYNC ${ID} 9007199254740992\r\n`, 'an answer to PSYNC'],
    ['PSYNC', `+FULLRESYNC ${ID} -1\r\n`, 'an answer to PSYNC'],
    ['PSYNC', '+CONTINUE\r\n', 'an answer to PSYNC'],
    ['PSYNC', `+${'x'.repeat(8192)}`, 'a line without an end'],
  ];
  it.each(foreign)('%s answered by what no server says, case %#', async (command, text, what) => {
    const primary = await primaryOf(usual({ [command]: text }));
    const fault = await faultOf(open(primary, { password: 'secret' }));
    expect(fault.code).toBe('TM_REPLICATION_PEER');
    expect(fault.context.phase).toBe('handshake');
    expect(fault.message).toContain(what);
    expect(String(fault.context.reply)).toMatch(/^[ -~]{1,300}$/);
    await primary.end.untilClosed();
  });
});

describe('a connection that goes before the answer to PSYNC', () => {
  it('is told as broken, wherever it is cut', async () => {
    const whole = ['+OK\r\n', '+OK\r\n', '+OK\r\n', `+FULLRESYNC ${ID} 1000\r\n`];
    for (let cut = 0; cut < whole.join('').length; cut += 3) {
      let left = cut;
      let turn = 0;
      const primary = await primaryOf((_, end) => {
        const text = whole[turn++]!.slice(0, left);
        left -= text.length;
        end.send(text);
        if (left <= 0) end.socket.end();
        return null;
      });
      const fault = await faultOf(open(primary, { password: 'secret' }));
      expect(fault).toMatchObject({ code: 'TM_REPLICATION', context: { phase: 'handshake' } });
      expect(fault.retryable).toBe(true);
    }
  });

  it('is given up after a silence, unless newlines say that the server lives', async () => {
    const primary = await primaryOf(usual({ 'REPLCONF capa': null }));
    await expect(open(primary, { timeouts: { handshakeMs: 300 } })).rejects.toMatchObject({
      code: 'TM_REPLICATION',
      message: expect.stringContaining('nothing was heard for 300 ms') as string,
    });
    const slow = await primaryOf(usual({ PSYNC: null }));
    const opening = open(slow, { timeouts: { snapshotMs: 1500 } });
    while (!slow.ends[0]?.heard.includes('PSYNC ? -1')) await systemClock.sleep(10);
    for (let i = 0; i < 10; i++) {
      await systemClock.sleep(200);
      slow.end.send('\n');
    }
    slow.end.send(`+FULLRESYNC ${ID} 7\r\n`);
    expect((await opening).start.offset).toBe(7n);
  });

  it('is given up when newlines are all that comes', async () => {
    const primary = await primaryOf(usual({ PSYNC: null }));
    const opening = faultOf(open(primary, { timeouts: { waitMs: 1000 } }));
    const newlines = setInterval(() => primary.ends[0]?.send('\n'), 50);
    try {
      expect(await opening).toMatchObject({ code: 'TM_REPLICATION' });
    } finally {
      clearInterval(newlines);
    }
  });

  it('ends with the reason of the signal', async () => {
    const stop = new AbortController();
    const reason = new Error('enough');
    const primary = await primaryOf(usual({ PSYNC: null }));
    const opening = open(primary, { signal: stop.signal });
    while (!primary.ends[0]?.heard.includes('PSYNC ? -1')) await systemClock.sleep(10);
    stop.abort(reason);
    await expect(opening).rejects.toBe(reason);
    await primary.end.untilClosed();
    await expect(open(primary, { signal: stop.signal })).rejects.toBe(reason);
  });

  it('is named by the caller where he knows better', async () => {
    const better = new NodeError('TM_NODE_AUTH', 'the certificate is refused');
    const primary = await primaryOf((_, end) => {
      end.socket.resetAndDestroy();
      return null;
    });
    await expect(open(primary, { explain: () => better })).rejects.toBe(better);
    await expect(open(primary, { explain: () => null })).rejects.toMatchObject({
      code: 'TM_REPLICATION',
      context: { errno: 'ECONNRESET' },
    });
  });

  it('was never made', async () => {
    const primary = await primaryOf(usual());
    const { port } = primary;
    await primary[Symbol.asyncDispose]();
    cleanup.splice(0);
    const dial = async (): Promise<ReturnType<typeof connect>> => {
      const socket = connect({ port, host: '127.0.0.1' });
      await once(socket, 'connect');
      return socket;
    };
    await expect(open(primary, { dial })).rejects.toMatchObject({
      code: 'TM_NODE_UNREACHABLE',
      context: { node: 'scripted', errno: 'ECONNREFUSED' },
    });
    const named = new NodeError('TM_NODE_AUTH', 'named');
    await expect(open(primary, { dial: () => Promise.reject(named) })).rejects.toBe(named);
  });

  it.each<[string, Partial<ReplicaLinkOptions>]>([
    ['a snapshot that is resumed', { resume: AT, snapshotOnly: true }],
    ['an id that is none', { resume: { replid: '?', offset: 1n } }],
    ['a negative offset', { resume: { replid: ID, offset: -1n } }],
  ])('is not tried for %s', async (_, changes) => {
    const primary = await primaryOf(usual());
    await expect(open(primary, changes)).rejects.toMatchObject({ code: 'TM_USAGE' });
    expect(primary.ends).toEqual([]);
  });
});
