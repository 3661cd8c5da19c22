import { createConnection } from 'node:net';

/** What a stranger is answered until the connection ends. */
export function knock(
  port: number,
  commands: readonly (readonly string[])[],
): Promise<{ readonly connected: boolean; readonly said: string }> {
  return new Promise((resolve) => {
    let [connected, said] = [false, ''];
    const socket = createConnection(port, '127.0.0.1', () => (connected = true));
    socket.setTimeout(1_500, () => socket.destroy());
    socket.on('data', (data) => (said += data.toString('latin1')));
    socket.on('error', () => socket.destroy());
    socket.on('close', () => resolve({ connected, said }));
    for (const words of commands) {
      const parts = words.map((word) => `$${word.length}\r\n${word}\r\n`);
      socket.write(`*${words.length}\r\n${parts.join('')}`);
    }
  });
}
