import { once } from 'node:events';
import { createConnection, type Socket } from 'node:net';
import { command } from './commands.ts';

const END = 'tidemark-bench-end';

/** Sends RESP over a unix socket as fast as the server takes it, without looking at the replies. */
export async function sendAll(socketPath: string, blocks: Iterable<Buffer>): Promise<void> {
  const socket = createConnection({ path: socketPath });
  await once(socket, 'connect');
  try {
    const answered = untilAnswered(socket);
    for (const block of blocks) {
      if (!socket.write(block)) await once(socket, 'drain');
    }
    socket.write(command('ECHO', END));
    await answered;
  } finally {
    socket.destroy();
  }
}

/** Resolves when the reply to the last command came; an error reply before it is a fault. */
async function untilAnswered(socket: Socket): Promise<void> {
  let tail = '';
  for await (const chunk of socket as AsyncIterable<Buffer>) {
    const error = chunk.indexOf('\n-');
    if (error >= 0) throw new Error(chunk.toString('latin1', error + 1, error + 120));
    tail = (tail + chunk.toString('latin1', Math.max(0, chunk.length - 64))).slice(-64);
    if (tail.includes(END)) return;
  }
  throw new Error('the server closed the connection');
}
