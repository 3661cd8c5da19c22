import { spawn } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { TempDir } from './temp-dir.ts';

/** A Sentinel that watches the server on a loopback port; it listens on a unix socket only. */
export async function startSentinel(port: number): Promise<AsyncDisposable> {
  const dir = await TempDir.create('tidemark-sentinel-');
  const path = join(dir.path, 'sentinel.conf');
  const lines = [
    'port 0',
    `unixsocket ${join(dir.path, 's')}`,
    `dir ${dir.path}`,
    `sentinel monitor watched 127.0.0.1 ${port} 1`,
  ];
  await writeFile(path, `${lines.join('\n')}\n`);
  const child = spawn('redis-server', [path, '--sentinel'], { stdio: 'ignore' });
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  return {
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL');
      await exited;
      await dir[Symbol.asyncDispose]();
    },
  };
}
