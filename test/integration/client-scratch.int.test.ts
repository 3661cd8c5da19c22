import { once } from 'node:events';
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { connectNode, startServer } from '@tidemark/client';
import { describe, expect, it } from 'vitest';
import { describeWithServer, serverBinaries } from '../support/servers.ts';
import { TempDir } from '../support/temp-dir.ts';
import { spawnTypeScript } from '../support/ts-child.ts';

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

describe('a scratch server', () => {
  it('ends with the process that started it, even by SIGKILL', async () => {
    await using temp = await TempDir.create();
    const script = new URL('../support/start-scratch.ts', import.meta.url);
    const starter = spawnTypeScript(script, [temp.path]);
    const [line] = (await once(starter.stdout!, 'data')) as [Buffer];
    const { pid } = JSON.parse(line.toString()) as { readonly pid: number };
    expect(isAlive(pid)).toBe(true);
    starter.kill('SIGKILL');
    await once(starter, 'exit');
    for (let waited = 0; isAlive(pid) && waited < 100; waited++) await delay(20);
    expect(isAlive(pid)).toBe(false);
  });

  it('is reached by a socket of its user alone, and writes no core file', async () => {
    await using temp = await TempDir.create();
    await using server = await startServer({ dir: temp.path, tcp: false, scratch: true });
    expect(server.port).toBe(0);
    expect((await stat(join(temp.path, 'server.sock'))).mode & 0o777).toBe(0o700);
    const limits = await readFile(`/proc/${server.pid.toString()}/limits`, 'utf8');
    expect(limits).toMatch(/Max core file size +0 +0/);
    expect(await readFile(`/proc/${server.pid.toString()}/comm`, 'utf8')).toMatch(/redis-server/);
    expect((await server.stop()).code).toBe(0);
  });

  const modern = serverBinaries().filter(({ name }) => name !== 'redis 6.0');
  it.each(modern)('writes nothing of a command that it crashes at: $name', async ({ binary }) => {
    await using temp = await TempDir.create();
    await using server = await startServer({
      ...{ binary, dir: temp.path, tcp: false, scratch: true },
      config: { 'enable-debug-command': 'local' },
    });
    const address = { host: 'localhost', port: 0, path: server.socketPath ?? '' };
    await using client = await connectNode(address);
    await expect(client.call('DEBUG', 'SEGFAULT', 'canary-of-a-value')).rejects.toMatchObject({
      code: 'TM_NODE_UNREACHABLE',
    });
    expect((await server.exited).signal).toBe('SIGSEGV');
    const log = await readFile(server.logPath, 'utf8');
    expect(log).not.toMatch(/canary|BUG REPORT/);
    expect(log).toMatch(/ready to accept connections/i); // this is the log
  });

  it('says that its program is missing', async () => {
    await using temp = await TempDir.create();
    const starting = startServer({ dir: temp.path, binary: '/nonexistent/server', scratch: true });
    await expect(starting).rejects.toMatchObject({
      code: 'TM_SERVER_START',
      hint: expect.stringContaining('not found') as string,
    });
  });
});

describeWithServer('redis', '6.0', 'a scratch server that knows no such setting', ({ binary }) => {
  it('starts all the same', async () => {
    await using temp = await TempDir.create();
    await using server = await startServer({ binary, dir: temp.path, tcp: false, scratch: true });
    const address = { host: 'localhost', port: 0, path: server.socketPath ?? '' };
    await using client = await connectNode(address);
    expect(await client.configGet('crash-*')).toEqual({});
    expect((await server.stop()).code).toBe(0);
  });
});
