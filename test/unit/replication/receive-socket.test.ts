import { Duplex } from 'node:stream';
import { systemClock } from '@tidemark/system';
import { afterEach, describe, expect, it } from 'vitest';
import { LinkSocket } from '../../../libs/replication/src/receive/link-socket.ts';

/** A connection whose other end is the test. */
class FedSocket extends Duplex {
  override _read(): void {
    // The test pushes.
  }

  override _write(_: Buffer, __: BufferEncoding, done: () => void): void {
    done();
  }
}

const open: LinkSocket[] = [];
afterEach(() => {
  for (const socket of open.splice(0)) socket.close(new Error('the test is over'));
});

function socketOn(duplex: Duplex): LinkSocket {
  const options = { node: 'fed', clock: systemClock, explain: () => null };
  const socket = new LinkSocket(duplex, 60_000, options);
  open.push(socket);
  return socket;
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('the socket of a link', () => {
  it.each([
    ['bytes', 64 * 1024, 16],
    ['chunks', 1, 2048],
  ])('is not read when much is held, counted in %s, until it is little', async (_, bytes, most) => {
    const duplex = new FedSocket();
    const socket = socketOn(duplex);
    for (let i = 0; i < most - 1; i++) duplex.push(Buffer.alloc(bytes, i));
    await turn();
    expect(duplex.isPaused()).toBe(false);
    duplex.push(Buffer.alloc(bytes, most - 1));
    await turn();
    expect(duplex.isPaused()).toBe(true);
    let read = 0;
    for (; duplex.isPaused(); read++) {
      expect((await socket.read()).equals(Buffer.alloc(bytes, read))).toBe(true);
    }
    // Not at the first room: reading would start and stop for each chunk.
    expect(read).toBeGreaterThan(most / 2);
    expect(read).toBeLessThan(most);
  });

  it('is read though whoever dialled has paused it', async () => {
    const duplex = new FedSocket();
    duplex.pause();
    const socket = socketOn(duplex);
    duplex.push(Buffer.from('here'));
    expect((await socket.read()).toString()).toBe('here');
  });

  it('is lost when it was gone before', async () => {
    const duplex = new FedSocket();
    duplex.destroy();
    await turn();
    await expect(socketOn(duplex).read()).rejects.toMatchObject({ code: 'TM_REPLICATION' });
  });
});
