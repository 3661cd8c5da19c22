import { openReplicaLink, type ReplicaLink, type ReplicaLinkOptions } from '@tidemark/replication';
import { systemClock } from '@tidemark/system';
import { afterEach, describe, expect, it } from 'vitest';
import { patternBytes } from '../../support/pattern.ts';
import { linkTo, StreamTaker, takeSnapshot } from '../../support/replica-link.ts';
import {
  PiecewiseSocket,
  ScriptedPrimary,
  type PrimaryEnd,
} from '../../support/scripted-primary.ts';

const ID = '0123456789abcdef0123456789abcdef01234567';
const MARK = 'fedcba9876543210fedcba9876543210fedcba98';
const STREAM = '*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\n1\r\n';
const cleanup: AsyncDisposable[] = [];
afterEach(async () => {
  for (const one of cleanup.splice(0)) await one[Symbol.asyncDispose]();
});

interface Opened {
  readonly link: ReplicaLink;
  readonly end: PrimaryEnd;
}

/** A link whose primary said `answer` to PSYNC. */
async function opened(
  answer: string,
  changes: Partial<ReplicaLinkOptions> = {},
  pieces = 0,
): Promise<Opened> {
  const primary = await ScriptedPrimary.start((command) =>
    command.startsWith('PSYNC') ? answer : '+OK\r\n',
  );
  cleanup.push(primary);
  const link = await openReplicaLink({
    dial: async () => {
      const socket = await primary.dial();
      return pieces === 0 ? socket : new PiecewiseSocket(socket, pieces);
    },
    node: 'scripted',
    resume: null,
    clock: systemClock,
    signal: new AbortController().signal,
    ...changes,
  });
  cleanup.push(link);
  return { link, end: primary.end };
}

const FULL = `+FULLRESYNC ${ID} 1000\r\n`;
const CONTINUE = { resume: { replid: ID, offset: 1000n } };
const acks = (heard: readonly string[]): number =>
  heard.filter((one) => one === 'REPLCONF ACK 0').length;
const endOf = (bytes: number): bigint => 1000n + BigInt(bytes);

/** An RDB that begins the mark often and never ends it. */
const likeMark = (): Buffer => {
  const parts = [Buffer.from(MARK.slice(0, 39)), patternBytes(100)];
  for (let i = 1; i < 40; i++) parts.push(Buffer.from(MARK.slice(0, i)), Buffer.from([i]));
  parts.push(Buffer.from(`${MARK.slice(1)}\n${MARK.slice(0, 20)}`), Buffer.from(MARK.slice(0, 17)));
  return Buffer.concat(parts);
};

describe.each([0, 1, 3, 41])('the data of a link, in pieces of %d bytes', (pieces) => {
  it('is an RDB of a known length with the stream right behind it', async () => {
    const rdb = patternBytes(5000);
    const { link, end } = await opened(FULL, {}, pieces);
    expect(link.snapshotLength).toBeNull();
    end.send('\n', `\n$${rdb.length}\r\n`, rdb, STREAM);
    expect(await takeSnapshot(link)).toEqual(rdb);
    expect(link.snapshotLength).toBe(rdb.length);
    const taker = new StreamTaker(link);
    await taker.until(endOf(STREAM.length));
    expect(taker.taken.toString()).toBe(STREAM);
  });

  it('is an RDB up to a mark, and the stream after an ACK', async () => {
    const rdb = likeMark();
    const { link, end } = await opened(FULL, {}, pieces);
    end.send(`$EOF:${MARK}\r\n`, rdb);
    const taking = takeSnapshot(link);
    await systemClock.sleep(50);
    expect(acks(end.heard)).toBe(0);
    end.send(MARK);
    expect(await taking).toEqual(rdb);
    expect(link.snapshotLength).toBeNull();
    const taker = new StreamTaker(link);
    await end.until((heard) => acks(heard) > 0);
    end.send(STREAM);
    await taker.until(endOf(STREAM.length));
    expect(taker.taken.toString()).toBe(STREAM);
  });

  it('is an RDB up to a mark with the stream right behind it', async () => {
    const rdb = likeMark();
    const { link, end } = await opened(`${FULL}$EOF:${MARK}\r\n`, {}, pieces);
    end.send(rdb, MARK, STREAM);
    expect(await takeSnapshot(link)).toEqual(rdb);
    const taker = new StreamTaker(link);
    await taker.until(endOf(STREAM.length));
    expect(taker.taken.toString()).toBe(STREAM);
  });

  it('is the stream alone', async () => {
    const { link, end } = await opened(`+CONTINUE\r\n${STREAM}`, CONTINUE, pieces);
    const taker = new StreamTaker(link);
    await taker.until(endOf(STREAM.length));
    end.send(STREAM);
    await taker.until(endOf(2 * STREAM.length));
    expect(taker.taken.toString()).toBe(STREAM + STREAM);
  });
});

describe('signs of life', () => {
  it('are newlines up to the end of the RDB, and ACKs of offset 0 from there on', async () => {
    const { link, end } = await opened(`${FULL}$5\r\n`);
    end.send('abc');
    const taking = takeSnapshot(link);
    await end.until((heard) => heard.filter((one) => one === '\n').length >= 2);
    expect(acks(end.heard)).toBe(0);
    end.send('de');
    expect((await taking).toString()).toBe('abcde');
    const before = end.heard.length;
    await end.until((heard) => acks(heard) >= 3);
    expect(new Set(end.heard.slice(before))).toEqual(new Set(['REPLCONF ACK 0']));
  });

  it('go on while nobody pulls, and what comes then is not read', async () => {
    const { link, end } = await opened('+CONTINUE\r\n', CONTINUE);
    // More than the buffers of two sockets, ours and the limit together.
    const sent = patternBytes(1 << 20);
    const count = 64;
    for (let i = 0; i < count; i++) end.send(sent);
    await end.until((heard) => acks(heard) >= 4);
    const gone = end.socket.bytesWritten - end.socket.writableLength;
    expect(gone).toBeLessThan(32 << 20);
    let bytes = 0;
    for await (const chunk of link.stream()) {
      expect(chunk.equals(sent.subarray(bytes % sent.length).subarray(0, chunk.length))).toBe(
        chunk.length <= sent.length - (bytes % sent.length),
      );
      bytes += chunk.length;
      if (bytes === count * sent.length) break;
    }
    expect(bytes).toBe(count * sent.length);
  });
});

describe('a link for the snapshot alone', () => {
  it.each([
    ['says nothing after PSYNC to a server that closes behind it', '+OK\r\n', 0],
    ['says that it lives to one that goes on', '-ERR Unrecognized REPLCONF option\r\n', 1],
  ])('%s', async (_, rdbOnly, signs) => {
    const primary = await ScriptedPrimary.start((command) => {
      if (command.startsWith('REPLCONF rdb-only')) return rdbOnly;
      return command.startsWith('PSYNC') ? FULL : '+OK\r\n';
    });
    cleanup.push(primary);
    const link = await linkTo(primary.port, { snapshotOnly: true });
    cleanup.push(link);
    primary.end.send('$5\r\nabc');
    const taking = takeSnapshot(link);
    if (signs > 0) await primary.end.until((heard) => heard.includes('\n'));
    else await systemClock.sleep(700); // a first sign is due within 0.2 s
    primary.end.send('de');
    expect((await taking).toString()).toBe('abcde');
    await primary.end.untilClosed();
    const { heard } = primary.end;
    expect(heard.slice(heard.indexOf('PSYNC ? -1') + 1).slice(0, 1)).toHaveLength(signs);
  });
});

describe('data that does not come whole', () => {
  it.each<[string, string, string]>([
    ['a length that is none', '$-1\r\n', 'TM_REPLICATION_PEER'],
    ['a length over all bounds', '$9999999999999999\r\n', 'TM_REPLICATION_PEER'],
    ['a mark that is too short', `$EOF:${MARK.slice(1)}\r\n`, 'TM_REPLICATION_PEER'],
    ['a line without an end', `$${'1'.repeat(5000)}`, 'TM_REPLICATION_PEER'],
    ['something else', 'REDIS0011', 'TM_REPLICATION'],
    ['an error', "-ERR BGSAVE failed, replication can't continue\r\n", 'TM_REPLICATION'],
  ])('because of %s', async (_, text, code) => {
    const { link, end } = await opened(FULL);
    end.send(text);
    if (text === 'REDIS0011') end.socket.end();
    await expect(takeSnapshot(link)).rejects.toMatchObject({
      code,
      context: { phase: 'snapshot' },
    });
    await end.untilClosed();
  });

  it.each([`$EOF:${MARK}\r\n`, '$4000\r\n'])('because the link is cut behind %j', async (frame) => {
    const { link, end } = await opened(`${FULL}${frame}`);
    end.send(patternBytes(3999));
    end.socket.end();
    let bytes = 0;
    const taking = (async () => {
      for await (const chunk of link.snapshot()) bytes += chunk.length;
    })();
    await expect(taking).rejects.toMatchObject({
      code: 'TM_REPLICATION',
      context: { node: 'scripted', phase: 'snapshot' },
      retryable: true,
    });
    expect(bytes).toBeGreaterThan(3900);
  });

  it('but what came of the stream is read before the error', async () => {
    const { link, end } = await opened('+CONTINUE\r\n', CONTINUE);
    end.send(STREAM);
    end.socket.end();
    await end.untilClosed();
    const taker = new StreamTaker(link);
    expect(await taker.ended).toMatchObject({
      code: 'TM_REPLICATION',
      context: { phase: 'stream' },
    });
    expect(taker.taken.toString()).toBe(STREAM);
  });

  it('because the server falls silent', async () => {
    const timeouts = { snapshotMs: 300, streamMs: 300 };
    const { link } = await opened(`${FULL}$5\r\nabc`, { timeouts });
    await expect(takeSnapshot(link)).rejects.toMatchObject({
      code: 'TM_REPLICATION',
      context: { phase: 'snapshot' },
    });
    const { link: later } = await opened('+CONTINUE\r\n', { ...CONTINUE, timeouts });
    expect(await new StreamTaker(later).ended).toMatchObject({
      code: 'TM_REPLICATION',
      context: { phase: 'stream' },
    });
  });

  it('because the signal aborts', async () => {
    const stop = new AbortController();
    const reason = new Error('enough');
    const { link, end } = await opened(`${FULL}$5\r\nabc`, { signal: stop.signal });
    const { link: later } = await opened('+CONTINUE\r\n', { ...CONTINUE, signal: stop.signal });
    const taker = new StreamTaker(later);
    const taking = takeSnapshot(link);
    await systemClock.sleep(20);
    stop.abort(reason);
    await expect(taking).rejects.toBe(reason);
    expect(await taker.ended).toBe(reason);
    await end.untilClosed();
  });
});

describe('a link that is used in another order', () => {
  it('gives each part once, the RDB first', async () => {
    const { link, end } = await opened(`${FULL}$3\r\nabc${STREAM}`);
    const wrong = { code: 'TM_INTERNAL' };
    expect(await new StreamTaker(link).ended).toMatchObject(wrong);
    await takeSnapshot(link);
    await expect(takeSnapshot(link)).rejects.toMatchObject(wrong);
    for await (const chunk of link.stream()) {
      expect(chunk.toString()).toBe(STREAM);
      break;
    }
    await end.untilClosed();
    expect(await new StreamTaker(link).ended).toMatchObject(wrong);
    const { link: later } = await opened('+CONTINUE\r\n', CONTINUE);
    await expect(takeSnapshot(later)).rejects.toMatchObject(wrong);
  });

  it('is closed when the RDB is left early, and behind it when it is all that is wanted', async () => {
    const { link, end } = await opened(`${FULL}$30\r\nabc`);
    for await (const chunk of link.snapshot()) {
      expect(chunk.length).toBeGreaterThan(0);
      break;
    }
    await end.untilClosed();
    const { link: alone, end: its } = await opened(`${FULL}$EOF:${MARK}\r\nabc${MARK}`, {
      snapshotOnly: true,
    });
    expect((await takeSnapshot(alone)).toString()).toBe('abc');
    await its.untilClosed();
    expect(acks(its.heard)).toBe(0);
  });
});
